"""Write docs/telemetry.md from `mlobs.otel.names`; with `--check` only say whether it is up to date."""

from __future__ import annotations

import sys
from pathlib import Path

from mlobs.otel import machine, names

TARGET = Path(__file__).with_name("telemetry.md")

HEAD = """\
# Telemetry

Everything that mlobs emits. This page is made from `src/mlobs/otel/names.py` and
`src/mlobs/otel/machine.py` by `make telemetry`.

A Prometheus label is the attribute with its dots turned to underscores: `model.name` is `model_name`.

## Metrics

| name | instrument | unit | attributes | what it says |
|---|---|---|---|---|
"""

ATTRIBUTES_HEAD = """
## Attributes

| key | what it says |
|---|---|
"""


def page() -> str:
    """Return the whole page."""
    metrics = (
        f"| `{one.name}` | {one.kind} | `{one.unit}` | {', '.join(f'`{key}`' for key in one.attributes)} | {one.description} |\n"
        for one in (*names.INSTRUMENTS, *machine.INSTRUMENTS)
    )
    attributes = (
        f"| `{key}` | {description} |\n" for key, description in {**names.ATTRIBUTES, **machine.ATTRIBUTES}.items()
    )
    return HEAD + "".join(metrics) + ATTRIBUTES_HEAD + "".join(attributes)


if __name__ == "__main__":
    if sys.argv[1:] != ["--check"]:
        TARGET.write_text(page(), encoding="utf-8")
    elif not TARGET.exists() or TARGET.read_text(encoding="utf-8") != page():
        sys.exit("docs/telemetry.md does not say what src/mlobs/otel/names.py says. Try: make telemetry")
