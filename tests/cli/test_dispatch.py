"""The command line's own manners: help, version, exit status, one line for what went wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from argparse import Namespace
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

import mlobs.cli.dispatch
from mlobs.cli import main
from mlobs.cli.dispatch import COMMANDS, FAILED, INTERRUPTED, Command
from mlobs.errors import ProfileError

if TYPE_CHECKING:
    from collections.abc import Callable


def command_that(run: Callable[[Namespace], int]) -> Command:
    """Return a command without arguments that does this."""
    return cast("Command", SimpleNamespace(add=lambda subparsers: subparsers.add_parser("profile"), run=run))


def raising(error: BaseException) -> Callable[[Namespace], int]:
    """Return a run that raises."""

    def run(_: Namespace) -> int:
        raise error

    return run


def test_every_file_is_a_command() -> None:
    """What the list of commands names and what lies in the folder are the same."""
    folder = Path(mlobs.cli.dispatch.__file__).parent
    assert {path.stem for path in folder.glob("*.py")} - {"__init__", "dispatch"} == set(COMMANDS)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """`mlobs --version` says the installed version."""
    with pytest.raises(SystemExit) as exit_:
        main(["--version"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out == f"mlobs {version('mlobs')}\n"


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["profile"], ["profile", "a.csv", "--nonsense"]])
def test_bad_arguments(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong or missing argument ends with status 2, the usage, and what was wrong."""
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == FAILED
    assert "usage: mlobs" in capsys.readouterr().err


def test_as_a_module() -> None:
    """`python -m mlobs` is `mlobs`, its name in the usage included."""
    done = subprocess.run([sys.executable, "-m", "mlobs", "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: mlobs ")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            ProfileError("ref.json cannot be read: it ends\ntoo early. Try: build it again"),
            "ref.json cannot be read: it ends too early. Try: build it again",
        ),
        (FileNotFoundError(2, "No such file or directory", "a.csv"), "a.csv: No such file or directory"),
        (OSError("no space"), "no space"),
    ],
)
def test_an_expected_error_is_one_line(
    error: Exception, line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bad input ends with status 2 and one line on standard error, without a traceback."""
    monkeypatch.setitem(sys.modules, "mlobs.cli.profile", command_that(raising(error)))
    assert main(["profile"]) == FAILED
    assert capsys.readouterr() == ("", f"mlobs profile: {line}\n")


def test_an_unexpected_error_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake of ours is not dressed up as the user's."""
    monkeypatch.setitem(sys.modules, "mlobs.cli.profile", command_that(raising(ZeroDivisionError())))
    with pytest.raises(ZeroDivisionError):
        main(["profile"])


def test_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends with the shell's own status for it."""
    monkeypatch.setitem(sys.modules, "mlobs.cli.profile", command_that(raising(KeyboardInterrupt())))
    assert main(["profile"]) == INTERRUPTED


def test_a_closed_pipe_is_quiet() -> None:
    """When the reader of the output goes away, as `head` does, nothing is said about it."""
    reader, writer = os.pipe()
    os.close(reader)
    script = (
        "import sys, types\n"
        "from mlobs.cli import main\n"
        "def run(arguments):\n    print('x' * 100_000)\n    return 0\n"
        "sys.modules['mlobs.cli.profile'] = types.SimpleNamespace(add=lambda s: s.add_parser('profile'), run=run)\n"
        "sys.exit(main(['profile']))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")
