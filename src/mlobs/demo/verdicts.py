"""Drift over all workers: their summed counts against the reference profile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlobs.sketch import judge

if TYPE_CHECKING:
    from mlobs.demo.totals import Totals
    from mlobs.profile import Profile
    from mlobs.sketch import Drift


def verdicts(reference: Profile, totals: Totals) -> list[Drift]:
    """Return the drift of every input and output of the profile, in the profile's order."""
    features = [*reference.inputs, *reference.outputs]
    return judge(
        [
            (
                feature.name,
                feature.role,
                feature.partition.ordered,
                feature.counts,
                _counts(totals.observations.get((feature.role, feature.name), {}), feature.partition.keys),
            )
            for feature in features
        ]
    )


def _counts(bins: dict[str, int], keys: tuple[str, ...]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array([bins.get(key, 0) for key in keys], dtype=np.int64)
