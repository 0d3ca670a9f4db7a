"""Write the dashboards of this folder; with --check, say whether they are what this would write.

    python grafana/make_dashboards.py [--check]

Needs grafana-foundation-sdk (Python 3.11 or later). Names of metrics come from the telemetry contract and from the rules
of prometheus/. Nothing here names a model or a feature.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

sys.path.append(str(Path(__file__).resolve().parents[1] / "prometheus"))  # the rules, and the names they go by

from board import Page, Variable, built
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from pages import budget, data, fleet, model, outcomes, releases, resources, telemetry, traces

FOLDER: Final = Path(__file__).resolve().parent / "dashboards"
PAGES: Final = (fleet, model, data, outcomes, releases, resources, budget, traces, telemetry)  # general to specific


def exact(text: str, page: Page) -> str:
    """Matches of variables with one value are equalities: Grafana does not escape that value for a regular expression."""
    for variable in page.variables:
        if isinstance(variable, Variable) and not variable.many:
            text = text.replace(f'=~\\"${variable.name}\\"', f'=\\"${variable.name}\\"')
    return text


def files() -> dict[Path, str]:
    """Every dashboard, with its text."""
    pages = [module.page() for module in PAGES]
    return {FOLDER / f"{page.uid}.json": exact(_written(page, pages), page) for page in pages}


def _written(page: Page, pages: Sequence[Page]) -> str:
    return json.dumps(built(page, pages), cls=JSONEncoder, indent=1, ensure_ascii=False) + "\n"


def main() -> int:
    """Write, or check."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where a file is not up to date")
    chosen = parser.parse_args()
    written = files()
    stale = [path.name for path in FOLDER.glob("*.json") if path not in written]
    if chosen.check:
        stale += [path.name for path, text in written.items() if not path.exists() or path.read_text("utf-8") != text]
        if stale:
            print(f"grafana: not up to date: {', '.join(stale)}. Try: make dashboards", file=sys.stderr)
        return 1 if stale else 0
    FOLDER.mkdir(exist_ok=True)
    for name in stale:
        (FOLDER / name).unlink()
    for path, text in written.items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
