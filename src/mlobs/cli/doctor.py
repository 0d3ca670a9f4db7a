"""`mlobs doctor`: does telemetry get from here to the dashboards? Each step is tried, and each failure has its cure."""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import sys
from pathlib import Path
from urllib.parse import urlsplit

FAILED = 1


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser(
        "doctor",
        help="say, step by step, whether telemetry gets where it should",
        description="Sends a canary through the exporter that an observed process started from here would use, and says "
        "what works. Exit status: 0 if nothing fails, 1 if something does, 2 for wrong arguments.",
    )
    parser.add_argument("--prometheus", type=_url, metavar="URL", help="look there for the canary, rules and data")
    parser.add_argument("--collector-health", type=_url, metavar="URL", help="the Collector's health (port 13133)")
    parser.add_argument("--endpoint", type=_url, metavar="URL", help="as endpoint= of mlobs.configure")
    parser.add_argument("--rules", type=Path, nargs="+", default=[], metavar="PATH", help="your rules, not mlobs' own")
    parser.add_argument("--dashboards", type=Path, nargs="+", default=[], metavar="PATH", help="your dashboards")
    parser.add_argument("--reference", type=Path, metavar="REF", help="estimate the series of this profile, too")
    parser.add_argument("--limit", type=_count, metavar="N", help="series that Prometheus may hold (default: 1000000)")
    parser.add_argument(
        "--timeout", type=_seconds, default=30.0, metavar="S", help="how long the canary may take (default: 30)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Examine; 1 if something does not work."""
    from mlobs.doctor.estimate import LIMIT
    from mlobs.doctor.examination import Asked, Examination
    from mlobs.doctor.report import colourful, failed, line, to_json, verdict

    asked = Asked(
        environ=dict(os.environ),
        endpoint=arguments.endpoint,
        prometheus=arguments.prometheus,
        health=arguments.collector_health,
        rules=tuple(arguments.rules),
        dashboards=tuple(arguments.dashboards),
        reference=arguments.reference,
        limit=arguments.limit or LIMIT,
        timeout=arguments.timeout,
    )
    colours = colourful(sys.stdout)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    found = []
    for one in Examination(asked).steps():
        found.append(one)
        if not arguments.json:
            print(line(one, colours=colours, width=width), flush=True)
    print(json.dumps(to_json(found), indent=2) if arguments.json else verdict(found))
    return FAILED if failed(found) else 0


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound:
        raise argparse.ArgumentTypeError("a URL is due, as http://localhost:9090")
    return text


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"a number of seconds above 0 is due, not {text!r}")
    return value


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number above 0 is due, not {text!r}")
    return int(text)
