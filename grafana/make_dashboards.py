"""Write the dashboards of this folder; with --check, say whether they are what this would write."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent / "prometheus"))  # metrics are named there

from boards import BOARDS  # noqa: E402 - after the path
from pieces import written  # noqa: E402 - after the path


def main() -> int:
    """Write, or check."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where a file is not up to date")
    chosen = parser.parse_args()
    stale = []
    for board in BOARDS:
        path, text = FOLDER / "dashboards" / f"{board.uid}.json", written(board)
        if not chosen.check:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text("utf-8") != text:
            stale.append(path.name)
    if stale:
        print(f"grafana: not up to date: {', '.join(stale)}. Try: make dashboards", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
