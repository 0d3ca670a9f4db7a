"""The command line, `mlobs <command>`: one file per command."""

from mlobs.cli.dispatch import main

__all__ = ["main"]
