"""Where flights land: a process of its own that reads of each landing, and tells mlobs by the prediction's ticket.

One line of it is mlobs. What it is sent is what such a process gets in earnest: here and there a ticket is damaged or
of another system, a truth is missing or comes twice.
"""

from __future__ import annotations

import json
import signal
import sys

import mlobs
from mlobs.demo import stakes
from mlobs.demo.orphan import end_with_parent
from mlobs.demo.place import Place


def main(parent: int) -> None:
    """Read landings from standard input, an array of ticket and truth a line, until it ends or the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends our input
    end_with_parent(parent)
    stakes.declare(Place.from_environment().calibration)
    for line in sys.stdin:
        ticket, late = json.loads(line)
        mlobs.outcome(ticket, actual=late)
    mlobs.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]))
