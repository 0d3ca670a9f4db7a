"""The first example does what its page shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "examples" / "quickstart"


def shape(text: str) -> str:
    """A text but for its fractions, which may differ between versions of numpy and scikit-learn."""
    return re.sub(r"\d\.\d+", "#", text)


def test_the_quickstart_prints_what_its_page_shows() -> None:
    """Names, counts and verdicts are those on the page, and nothing is said on standard error."""
    (shown,) = re.findall(r"```text\n(.*?)```", (FOLDER / "README.md").read_text("utf-8"), re.DOTALL)
    environment = {
        **os.environ,
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_TRACES_EXPORTER": "none",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-W", "error", str(FOLDER / "quickstart.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert shape(done.stdout) == shape(shown)
