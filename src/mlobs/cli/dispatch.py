"""Arguments in, exit status out: finds the command, and says what went wrong in one line."""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final, Protocol, cast

from mlobs.errors import MlobsError

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS: Final = (
    "assets",
    "cardinality",
    "demo",
    "doctor",
    "integrations",
    "profile",
)  # each the name of a file beside this one

FAILED: Final = 2
INTERRUPTED: Final = 130  # 128 + SIGINT, what a shell reports
PIPE_CLOSED: Final = 141  # 128 + SIGPIPE


class Command(Protocol):
    """What a file of this folder offers; it imports what is heavy inside `run`."""

    def add(self, subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
        """Add the command's own parser, named like the file."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Do the work; the exit status comes back."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status: 0 done, 2 bad input (said in one line on standard error)."""
    _streams()
    parser = argparse.ArgumentParser(prog="mlobs", description="See what a model does in production.")
    parser.add_argument("--version", action="version", version=f"mlobs {_version()}")
    subparsers = parser.add_subparsers(dest="command", metavar="command", required=True)
    commands = {name: cast("Command", importlib.import_module(f"mlobs.cli.{name}")) for name in COMMANDS}
    for command in commands.values():
        command.add(subparsers)
    arguments = parser.parse_args(argv)
    return _run(commands[arguments.command], arguments)


def _version() -> str:
    try:
        return version("mlobs")
    except PackageNotFoundError:  # a program that was frozen without it, say
        return "of unknown version"


def _streams() -> None:
    """Whatever the terminal cannot show is a question mark, and a stream that is closed takes everything."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123 - it stays open
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _run(command: Command, arguments: argparse.Namespace) -> int:
    try:
        status = command.run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, `head` say, has seen enough; keep the interpreter's last flush quiet
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except KeyboardInterrupt:
        return INTERRUPTED
    except (MlobsError, OSError) as error:
        print(f"mlobs {arguments.command}: {_one_line(error)}", file=sys.stderr)
        return FAILED
    return status


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split())
