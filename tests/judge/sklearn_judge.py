"""scikit-learn's own tests as the judge: under `mlobs.instrument()` nothing fails that does not fail without it.

Runs the test modules that scikit-learn ships, its checks of every estimator among them; what fails is run again
without mlobs, and only what passes then is held against us. Words given on the command line are handed to pytest.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
MODULES = [
    "sklearn.tests.test_common",  # parametrize_with_checks over all estimators
    "sklearn.tests.test_metaestimators",
    "sklearn.tests.test_metaestimators_metadata_routing",
    "sklearn.tests.test_pipeline",
    "sklearn.tests.test_calibration",
    "sklearn.tests.test_multiclass",
    "sklearn.ensemble",
    "sklearn.model_selection",
]
OPTIONS = ["-m", "pytest", "-q", "--disable-warnings", "-p", "no:cacheprovider", "-n", "auto", "-rfE"]


def run(*words: str) -> tuple[int, str]:
    """The exit status and the output of pytest, both as they come and to be read."""
    quiet = {"OTEL_METRICS_EXPORTER": "none", "OTEL_TRACES_EXPORTER": "none", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *OPTIONS, *words]
    with tempfile.TemporaryDirectory() as empty:  # not in the repository: its own settings are not scikit-learn's
        process = subprocess.Popen(
            command, env={**os.environ, **quiet}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=empty
        )
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            sys.stdout.write(line)
            lines.append(line)
        return process.wait(), "".join(lines)


def main() -> int:
    """0 where nothing failed that passes without mlobs."""
    status, output = run("-p", "tests.judge.plugin", *sys.argv[1:], "--pyargs", *MODULES)
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", output, re.MULTILINE)
    if status not in (0, 1) or (status == 1 and not failed):
        return status
    if not failed:
        return 0
    print(f"\n{len(failed)} failed under mlobs; the same without it:")
    _, output = run(*failed)
    ours = sorted(set(failed) - set(re.findall(r"^(?:FAILED|ERROR) (\S+)", output, re.MULTILINE)))
    print("\n".join(["", "fails only under mlobs:", *ours]) if ours else "\nall of them fail without mlobs too")
    return 1 if ours else 0


if __name__ == "__main__":
    sys.exit(main())
