"""Write the recording rules and alerts of this folder; with --check, say whether they are what this would write.

    python prometheus/make_rules.py [--check] [--runbooks https://wiki.example.org/mlobs/alerts]

The metrics' names come from the telemetry contract, the statistics' constants from where Python has them. Nothing here
names a model or a feature.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import drift
import quality
import serving
from vocabulary import Alert, Rule

FOLDER: Final = Path(__file__).parent
RUNBOOKS: Final = "docs/alerts.md"
SERVING: Final = "30s"


def written(group: str, every: str, entries: list[Rule] | list[Alert], runbooks: str) -> str:
    """One group as YAML."""
    lines = [
        "# Written by make_rules.py; `make rules` writes it anew.",
        "groups:",
        f"  - name: {group}",
        f"    interval: {every}",
        "    rules:",
    ]
    for entry in entries:
        kind, name = entry._fields[0], entry[0]
        lines += [
            f"      - {kind}: {name}",
            "        expr: |-",
            *(f"          {line}" for line in entry.expr.split("\n")),
        ]
        if isinstance(entry, Rule) and entry.labels:
            lines += _texts("labels", entry.labels)
        if isinstance(entry, Alert):
            lines += [f"        for: {entry.wait}", f"        keep_firing_for: {entry.keep}"]
            lines += _texts("labels", {"severity": entry.severity, "component": "mlobs"})
            about = {"summary": entry.summary, "description": entry.description}
            lines += _texts("annotations", {**about, "runbook_url": f"{runbooks}#{name.lower()}"})
    return "\n".join(lines) + "\n"


def _texts(key: str, texts: Mapping[str, str]) -> list[str]:
    return [f"        {key}:", *(f"          {name}: {json.dumps(text)}" for name, text in texts.items())]


def files(runbooks: str) -> dict[Path, str]:
    """Every file of this folder that is written, with its text."""
    return {
        FOLDER / "mlobs-drift.rules.yml": written("mlobs-drift", drift.TILE, drift.drift(), runbooks),
        FOLDER / "mlobs-drift.alerts.yml": written("mlobs-drift-alerts", drift.TILE, drift.alerts(), runbooks),
        FOLDER / "mlobs-quality.rules.yml": written("mlobs-quality", drift.TILE, quality.quality(), runbooks),
        FOLDER / "mlobs-quality.alerts.yml": written("mlobs-quality-alerts", drift.TILE, quality.alerts(), runbooks),
        FOLDER / "mlobs-serving.rules.yml": written("mlobs-serving", SERVING, serving.serving(), runbooks),
        FOLDER / "mlobs-serving.alerts.yml": written("mlobs-serving-alerts", SERVING, serving.alerts(), runbooks),
    }


def main() -> int:
    """Write, or check."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where a file is not up to date")
    parser.add_argument("--runbooks", default=RUNBOOKS, metavar="URL", help="where the alerts' pages are")
    chosen = parser.parse_args()
    stale = []
    for path, text in files(chosen.runbooks).items():
        if chosen.check:
            if not path.exists() or path.read_text("utf-8") != text:
                stale.append(path.name)
        else:
            path.write_text(text, encoding="utf-8")
    if stale:
        print(f"prometheus: not up to date: {', '.join(stale)}. Try: make rules", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
