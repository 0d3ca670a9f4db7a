"""Where a recording goes, and how it is opened with a Prometheus."""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from mlobs.errors import MlobsError

if TYPE_CHECKING:
    from mlobs.demo.recording import Recording

ADDRESS: Final = "127.0.0.1:9099"  # not 9090, where a Prometheus of one's own may be
_PROGRAMS: Final = ("prometheus", "promtool")


class Keeping(NamedTuple):
    """The file that a recording is written to when the run is over."""

    file: Path

    @classmethod
    def chosen(cls, asked: str | None, *, quiet: bool) -> Keeping | None:
        """The file that was asked for; else, where a Prometheus is installed and there is somebody to tell, one in the cache.

        MlobsError where a file that was asked for cannot be.
        """
        if asked is not None:
            return cls(_writable(Path(asked).absolute()))
        if quiet or not all(shutil.which(program) for program in _PROGRAMS):
            return None
        cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        folder = Path(cache).expanduser() / "mlobs"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return cls(_writable(folder / "demo.openmetrics"))
        except (OSError, MlobsError):
            return None  # nobody asked

    def keep(self, recording: Recording) -> str:
        """Write it, and return what to say: where it is, and the commands that open it."""
        try:
            recording.write(self.file)
        except OSError as error:
            raise MlobsError(f"{self.file} could not be written: {error.strerror or error}") from error
        return "\n".join((f"What mlobs sent is in {self.file}. To see it in Prometheus:", *self.commands()))

    def commands(self) -> tuple[str, str, str]:
        """Make a database of the file, start a Prometheus on it, and where to look."""
        file, folder = shlex.quote(str(self.file)), shlex.quote(str(self.file.with_name(f"{self.file.name}.tsdb")))
        return (
            f"promtool tsdb create-blocks-from openmetrics {file} {folder}",
            f"prometheus --config.file=/dev/null --storage.tsdb.path={folder} --web.listen-address={ADDRESS}",
            f"http://{ADDRESS}/graph?g0.expr=mlobs_drift_psi&g0.tab=0&g0.range_input=15m",
        )


def _writable(file: Path) -> Path:
    """The file itself, if it can be written: better told before the run than after."""
    folder = file.parent
    if not folder.is_dir():
        reason = f"{folder} is no folder"
    elif file.is_dir():
        reason = f"{file} is a folder"
    elif not os.access(folder, os.W_OK):
        reason = f"{folder} may not be written to"
    else:
        return file
    raise MlobsError(f"What the demo records cannot be kept: {reason}. Try another --record FILE.")
