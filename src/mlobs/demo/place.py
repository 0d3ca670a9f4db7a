"""The folder of one run: where the service finds its model, and leaves notes for the process that started it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, NamedTuple

VARIABLE: Final = "MLOBS_DEMO_FOLDER"  # the environment variable that tells the service its folder


class Place(NamedTuple):
    """Files by name; a note appears whole or not at all."""

    folder: Path

    @classmethod
    def from_environment(cls) -> Place:
        """Return the folder that the process that started us has named."""
        return cls(Path(os.environ[VARIABLE]))

    @property
    def model(self) -> Path:
        """The trained model."""
        return self.folder / "model.joblib"

    @property
    def reference(self) -> Path:
        """The model's reference profile."""
        return self.folder / "reference.json"

    @property
    def calibration(self) -> Path:
        """Scores of flights that the model has not learnt from, and whether they were late."""
        return self.folder / "calibration.npz"

    @property
    def log(self) -> Path:
        """What the service writes to its standard output and error."""
        return self.folder / "service.log"

    @property
    def arrivals_log(self) -> Path:
        """What the arrivals process writes, likewise."""
        return self.folder / "arrivals.log"

    def leave(self, kind: str, text: str) -> None:
        """Leave a note: `port` from the supervisor, `ready` or `failed` from a worker."""
        note = self.folder / f"{os.getpid()}.writing"
        note.write_text(text, encoding="utf-8")
        note.replace(note.with_suffix(f".{kind}"))

    def notes(self, kind: str) -> list[str]:
        """Return the texts of all notes of a kind."""
        return [note.read_text("utf-8") for note in sorted(self.folder.glob(f"*.{kind}"))]

    @staticmethod
    def last_words(log: Path) -> str:
        """Return the last line that was written into a log, or nothing."""
        lines = log.read_text("utf-8", "replace").splitlines() if log.exists() else []
        return next((line.strip() for line in reversed(lines) if line.strip()), "")
