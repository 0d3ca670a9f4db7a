"""The files of prometheus/ are what their script writes, and each alert has its page."""

from __future__ import annotations

import subprocess
import sys

from tests.backends.promtool import RULES


def test_the_files_are_up_to_date() -> None:
    """What is committed is what the script writes."""
    done = subprocess.run([sys.executable, str(RULES / "make_rules.py"), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_alert_has_its_page() -> None:
    """Each alert's runbook is a heading of docs/alerts.md."""
    page = (RULES.parent / "docs" / "alerts.md").read_text("utf-8")
    headings = {line.removeprefix("## ").lower() for line in page.splitlines() if line.startswith("## ")}
    alerts = "".join(file.read_text("utf-8") for file in RULES.glob("*.alerts.yml"))
    linked = {line.partition("#")[2].rstrip('"') for line in alerts.splitlines() if "runbook_url" in line}
    assert linked
    assert linked == headings
