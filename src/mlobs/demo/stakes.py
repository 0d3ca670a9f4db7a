"""What is at stake: when passengers are warned, what right and wrong warnings are worth, what a CPU costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

import mlobs

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import ArrayLike

MODEL: Final = "flight-delay"
THRESHOLD: Final = 0.25  # the probability of a delay from which on passengers are warned
CURRENCY: Final = "USD"
WARNED: Final = 100.0  # what a warning saves where the flight is late: a rebooking in time
IN_VAIN: Final = -25.0  # what it costs where the flight is not
UNWARNED: Final = -50.0  # what a late flight costs that nobody was warned of
CPU_PRICE: Final = 0.04  # a CPU for an hour, about what clouds take
WINDOWS: Final = (10.0, 30.0)  # seconds; a service in earnest has hours and days


def save(path: Path, scores: ArrayLike, late: ArrayLike) -> None:
    """Write scores of flights that were not learnt from, and what became of them, for `declare` to read."""
    np.savez(path, scores=np.asarray(scores), late=np.asarray(late))


def declare(calibration: Path) -> None:
    """Tell mlobs all of this: in the processes that predict, and in the one where the truth arrives."""
    mlobs.configure(windows=WINDOWS, cpu_price=CPU_PRICE, currency=CURRENCY)
    with np.load(calibration) as held_out:
        mlobs.objective(
            model=MODEL,
            task="binary",
            threshold=THRESHOLD,
            costs={(True, True): WARNED, (True, False): IN_VAIN, (False, True): UNWARNED},
            currency=CURRENCY,
            calibration=(held_out["scores"], held_out["late"]),
        )
