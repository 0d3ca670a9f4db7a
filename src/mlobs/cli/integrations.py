"""`mlobs integrations`: which frameworks and servers are installed, which are hooked, and why one is not."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_TIMEOUT: Final = 180  # seconds for one framework's import


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser(
        "integrations",
        help="list what mlobs observes without a decorator, and why something is not",
        description="Import each framework that is installed, in a process of its own, hook it, and say what came of it.",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--only", metavar="NAME", help="this one alone, in this process, as JSON")


def run(arguments: argparse.Namespace) -> int:
    """List them; 1 where one that is installed cannot be hooked."""
    if arguments.only:
        print(json.dumps(_tried(arguments.only)))
        return 0
    broken = False
    if not arguments.json:
        print(f"{'integration':<22} {'installed':<12} {'from':<10} {'hooked':>6}  ")
    for told in _all():
        if arguments.json:
            print(json.dumps(told), flush=True)
        else:
            said = told["problem"] or ""
            line = f"{told['name']:<22} {told['installed'] or '-':<12} {told['lowest'] or '-':<10} {told['hooked'] or '-':>6}  {said}"
            print(line.rstrip(), flush=True)
        broken |= told["problem"] is not None and (told["usable"] or not told["distribution"])
    return 1 if broken else 0


def _all() -> Iterator[dict[str, Any]]:
    import mlobs

    for status in mlobs.integrations():
        if not status.usable:  # it cannot be loaded, or its framework is missing or too old
            yield status._asdict()
            continue
        command = [sys.executable, "-m", "mlobs", "integrations", "--only", status.name]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, check=False)  # noqa: S603 - ourselves
            yield json.loads(done.stdout.splitlines()[-1])
        except subprocess.TimeoutExpired:
            yield {**status._asdict(), "problem": f"its import took longer than {_TIMEOUT} s"}
        except (IndexError, ValueError):
            last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
            yield {**status._asdict(), "problem": f"its process ended: {last}"}


def _tried(name: str) -> dict[str, Any]:
    """Hook one framework in this process, importing what it waits for."""
    import mlobs

    before = {status.name: status.waiting for status in mlobs.integrations()}
    mlobs.instrument(name)  # of a name that nobody knows it says which there are
    problems = []
    with contextlib.redirect_stdout(io.StringIO()):
        for module in before[name]:
            try:
                importlib.import_module(module)
            except ModuleNotFoundError:  # of another version, or of an optional part
                continue
            except Exception as error:  # noqa: BLE001 - the framework's; it is what is to be told
                problems.append(f"import {module} raised {type(error).__name__}: {error}")
    (found,) = [status for status in mlobs.integrations() if status.name == name]
    if not found.hooked and not found.problem and not problems:
        problems.append(f"none of {', '.join(found.waiting)} could be imported")
    return found._replace(problem="; ".join([*([found.problem] if found.problem else []), *problems]) or None)._asdict()
