"""`mlobs assets export DIR`: the files for Collector, Prometheus, Grafana and deployment, written where you want them."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlobs.assets import Exported


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser(
        "assets",
        help="write the files for Collector, Prometheus, Grafana and deployment",
        description="The files for backends that come with mlobs.",
    )
    actions = parser.add_subparsers(dest="action", metavar="action", required=True)
    listing = "list the files, how large they are and what each is for"
    actions.add_parser("list", help=listing, description=f"{listing[0].upper()}{listing[1:]}.")
    export = actions.add_parser(
        "export",
        help="write them into a folder",
        description="Write the files into a folder. Nothing is replaced unless --force says so.",
    )
    export.add_argument("folder", type=_folder, metavar="DIR", help="where to; it is made if need be")
    export.add_argument("--force", action="store_true", help="replace files that differ")


def run(arguments: argparse.Namespace) -> int:
    """List or write."""
    from mlobs.assets import assets, export

    if arguments.action == "export":
        _tell(arguments.folder, export(arguments.folder, force=arguments.force))
        return 0
    found = assets()
    wide = max(len(str(asset.path)) for asset in found)
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else 10_000
    total = 0
    for asset in found:
        size = asset.source.stat().st_size
        total += size
        print(f"{asset.path!s:<{wide}}  {_size(size):>8}  {asset.purpose}"[:room].rstrip())
    print(f"{len(found)} files, {_size(total)}. Write them: mlobs assets export DIR")
    return 0


def _tell(folder: Path, done: Exported) -> None:
    for path in done.replaced:
        print(f"replaced {path}")
    counts = f"{len(done.written)} written, {len(done.replaced)} replaced, {len(done.same)} as they were"
    print(f"{folder}: {sum(map(len, done))} files, {counts}.")
    print(
        f"Next, on one machine with Docker: docker compose -f {folder / 'deploy' / 'compose.yaml'} up --build --detach\n"
        f"and open http://localhost:3000. With a Prometheus of your own: rule_files: [{folder / 'prometheus' / 'mlobs-*.yml'}]\n"
        f"Everything else, Kubernetes too: {folder / 'deploy' / 'README.md'}"
    )


def _folder(text: str) -> Path:
    if not text.strip():  # a variable that is not set, and 46 files among others
        raise argparse.ArgumentTypeError("the name of a folder is due; `.` is the current one")
    return Path(text)


def _size(size: int) -> str:
    return f"{size} B" if size < 1000 else f"{size / 1000:.1f} kB"
