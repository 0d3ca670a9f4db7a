"""`mlobs cardinality reference.json`: how many series a model will make, before it makes them."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlobs.doctor.estimate import Cost, Estimate

ABOVE = 1
SHOWN = 5


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser(
        "cardinality",
        help="estimate how many series a model makes in Prometheus",
        description="Counts the series of a model with this reference: in each process, in all of them, and those that "
        "the recording rules add. Exit status: 0 within the limit, 1 above it, 2 for wrong arguments.",
    )
    parser.add_argument("reference", type=Path, help="the reference profile, as `mlobs profile` writes it")
    for name, default, text in (
        ("replicas", 1, "processes that serve it"),
        ("versions", 1, "versions that a process serves"),
        ("variants", 1, "variants of each"),
        ("operations", 1, "observed operations, as predict and predict_proba"),
        ("errors", 1, "kinds of exceptions that an operation raises"),
        ("windows", 1, "windows of mlobs.configure"),
        ("classes", 2, "classes, with --task multiclass"),
        ("kpis", 0, "names of business events"),
        ("stages", 0, "names of stages, `queue` of a server among them"),
        ("gpus", 0, "GPUs that a process sees"),
    ):
        least = 2 if name == "classes" else min(default, 1)
        parser.add_argument(
            f"--{name}", type=_whole(least), default=default, metavar="N", help=f"{text} (default: {default})"
        )
    parser.add_argument("--task", choices=("binary", "multiclass", "regression"), help="as mlobs.objective has it")
    parser.add_argument("--priced", action="store_true", help="calls have a cost (cpu_price, gpu_price)")
    parser.add_argument("--limit", type=_whole(1), metavar="L", help="series there may be in all (default: 1000000)")
    parser.add_argument("--rules", type=Path, nargs="+", default=[], metavar="PATH", help="your rules, not mlobs' own")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Estimate; 1 if there may be more than the limit."""
    from mlobs.doctor.estimate import LIMIT, estimate
    from mlobs.doctor.rulefile import groups
    from mlobs.doctor.series import Fleet
    from mlobs.profile import Profile

    profile = Profile.load(arguments.reference)
    values = {name: getattr(arguments, name) for name in Fleet._fields}
    fleet = Fleet(**{**values, "task": arguments.task or ""})
    limit = arguments.limit or LIMIT
    found = estimate(profile, fleet, groups(arguments.rules))
    if arguments.json:
        print(json.dumps(_json(found, limit), indent=2))
    else:
        print("\n".join(_lines(found, limit)))
    return ABOVE if found.total.most > limit else 0


def _lines(found: Estimate, limit: int) -> list[str]:
    fleet = found.fleet
    rows = [("a process", "", "")]
    rows += [(f"  {part}", f"{count.sure:,}", f"{count.most:,}") for part, count in sorted(found.process.items())]
    rows += [
        ("  together", f"{found.per_process.sure:,}", f"{found.per_process.most:,}"),
        (_plural(fleet.replicas, "process", "processes"), f"{found.raw.sure:,}", f"{found.raw.most:,}"),
        ("recorded by rules", "", ""),
        *((f"  {group}", "", f"{count:,}") for group, count in found.recorded.items() if count),
        ("  together", "", f"{found.rules:,}"),
        ("all", f"{found.total.sure:,}", f"{found.total.most:,}"),
    ]
    wide = max(len(row[0]) for row in rows)
    lines = [f"{'series':<{wide}}  {'expected':>12}  {'at most':>12}"]
    lines += [f"{row[0]:<{wide}}  {row[1]:>12}  {row[2]:>12}".rstrip() for row in rows]
    lines.append(f"Memory of Prometheus for them: about {_size(found.memory)} (a rule of thumb, docs/doctor.md).")
    most = found.total.most
    if most > limit:
        lines.append(f"That is {most - limit:,} above the limit of {limit:,}.")
        lines += _cures(found)
    else:
        lines.append(f"Within the limit of {limit:,}: {most / limit:.1%} of it.")
    if found.features:
        lines.append(f"Of {len(found.features)} features the most expensive, in a process and recorded:")
        lines += [_line(cost) for cost in found.features[:SHOWN]]
    return lines


def _line(cost: Cost) -> str:
    return f"  {cost.name} ({cost.role}, {cost.bins} bins): {cost.raw} and {cost.recorded}"


def _cures(found: Estimate) -> list[str]:
    fleet, models = found.fleet, found.fleet.versions * found.fleet.variants
    lines = ["What helps:"]
    total = sum(cost.raw * fleet.replicas + cost.recorded for cost in found.features) * models
    if found.features and total * 2 > found.total.most:
        lines.append(
            f"  features make {total:,} of them: leave out of the reference those that nobody looks at "
            "(mlobs profile --drop), or build it with fewer bins (--bins 5)"
        )
    if fleet.replicas > 1 and found.raw.most > found.rules:
        lines.append(
            f"  {found.raw.most:,} are of single processes: let a Collector sum over service.instance.id, or keep "
            "raw series for hours only and the recorded ones for long"
        )
    if models > 1:
        lines.append(f"  {fleet.versions} versions and {fleet.variants} variants at a time: retire the old ones")
    if len(lines) == 1:
        lines.append("  fewer operations, kinds of errors and windows; or a larger Prometheus and --limit")
    return lines


def _json(found: Estimate, limit: int) -> dict[str, Any]:
    return {
        "fleet": found.fleet._asdict(),
        "process": {part: count._asdict() for part, count in found.process.items()},
        "per_process": found.per_process._asdict(),
        "raw": found.raw._asdict(),
        "recorded": {**found.recorded, "together": found.rules},
        "total": found.total._asdict(),
        "limit": limit,
        "within": found.total.most <= limit,
        "memory_bytes": found.memory,
        "features": [cost._asdict() for cost in found.features],
    }


def _plural(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


class _whole:  # noqa: N801 - a type of argparse, called as one
    """A whole number, at least so large."""

    def __init__(self, least: int) -> None:
        self._least = least

    def __call__(self, text: str) -> int:
        if not text.isdecimal() or int(text) < self._least:
            raise argparse.ArgumentTypeError(f"a whole number from {self._least} up is due, not {text!r}")
        return int(text)
