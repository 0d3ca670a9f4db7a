"""How much of the calls' inputs is read, so that reading them never takes more of a core than it may."""

from __future__ import annotations

from typing import Final

_SPARE: Final = 0.1  # seconds of a core that may be taken at once, where little was taken before
_SPENT: Final = 0.25  # of what is spare, how much one fold may use up
_LEAST: Final = 1 / 256


class Share:
    """Follows what reading takes, and says which part of the calls to read next.

    ``part`` is 1 while everything is read. Reading all that comes would take ``spent / part`` seconds; what it may take is
    ``share`` of the time that passes, and what was left of that before, up to a tenth of a second.
    """

    def __init__(self) -> None:
        self.part = 1.0
        self._spare = _SPARE

    def follow(self, spent: float, elapsed: float, share: float) -> float:
        """The part of the next calls to read, after reading this part of the last ones took ``spent`` seconds of CPU.

        ``elapsed`` are the seconds since the last time, ``share`` is what reading may take of them, 0 to 1.
        """
        self._spare = min(_SPARE, self._spare + share * elapsed - spent)
        wanted = spent / self.part
        allowed = share * elapsed + max(0.0, self._spare) * _SPENT
        part = 1.0 if wanted <= allowed else allowed / wanted
        self.part = max(_LEAST, part if part < self.part else min(part, 2 * self.part))
        return self.part
