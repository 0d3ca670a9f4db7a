"""What predictions were worth and cost, summed over all processes."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from mlobs.demo.durations import Durations
from mlobs.sketch import scores
from mlobs.sketch.scores import SIZE, Measured

if TYPE_CHECKING:
    from collections.abc import Mapping

    Counts = tuple[int, ...]

_NOTHING: Final[Mapping[str, int]] = MappingProxyType({})
_EMPTY: Final = (0,) * SIZE


class Worth(NamedTuple):
    """Counts and money as they were received."""

    given: int = 0  # predictions that had a ticket
    joined: int = 0  # truths that found theirs
    refused: Mapping[str, int] = _NOTHING  # truths that did not, by reason
    promised: Counts = _EMPTY  # predictions by the bin of their score
    negatives: Counts = _EMPTY  # joined truths that were not late, likewise
    positives: Counts = _EMPTY  # that were
    rates: tuple[float, ...] = ()  # the share of late flights that a bin stands for
    value: float = 0.0  # gains less losses
    delays: Durations = Durations()  # from prediction to truth
    cpu: float = 0.0  # seconds
    cost: float = 0.0  # of them
    rows: int = 0

    @property
    def rejected(self) -> int:
        """Truths that were refused, for whatever reason."""
        return sum(self.refused.values())

    @property
    def coverage(self) -> float | None:
        """The share of predictions whose truth has come; None where there were none."""
        return self.joined / self.given if self.given else None

    @property
    def auc(self) -> Measured | None:
        """What the truths say."""
        found = scores.realized(self.negatives, self.positives)
        return None if found is None else found.auc

    @property
    def expected_auc(self) -> Measured | None:
        """What the scores promised before any truth came."""
        found = scores.expected(self.promised, rates=self.rates) if len(self.rates) == SIZE else None
        return None if found is None else found.auc

    @property
    def net(self) -> float:
        """Money less what the predictions cost."""
        return self.value - self.cost

    @property
    def cost_per_1000(self) -> float | None:
        """What a thousand predictions cost in CPU time; None where there were none."""
        return self.cost / self.rows * 1000 if self.rows else None

    def since(self, earlier: Worth) -> Worth:
        """What was added after ``earlier``, an older reading of the same ledger."""
        return Worth(
            self.given - earlier.given,
            self.joined - earlier.joined,
            {reason: count - earlier.refused.get(reason, 0) for reason, count in self.refused.items()},
            _less(self.promised, earlier.promised),
            _less(self.negatives, earlier.negatives),
            _less(self.positives, earlier.positives),
            self.rates,
            self.value - earlier.value,
            self.delays.since(earlier.delays),
            self.cpu - earlier.cpu,
            self.cost - earlier.cost,
            self.rows - earlier.rows,
        )


def _less(now: Counts, then: Counts) -> Counts:
    return tuple(one - other for one, other in zip(now, then, strict=True))
