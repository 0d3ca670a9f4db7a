"""The data and the model are what the demo says they are."""

from __future__ import annotations

import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from mlobs.demo.delay_model import DelayModel
from mlobs.demo.flights import AIR_TIME, CATEGORIES, FEATURES, LATE, Flights


@pytest.fixture(scope="module")
def flights() -> Flights:
    return Flights.read()


@pytest.fixture(scope="module")
def model(flights: Flights) -> DelayModel:
    return DelayModel.fit(flights.train)


def test_the_parts_are_the_months(flights: Flights) -> None:
    """Training and held-out winter flights are January to March's, none in both; April and May are whole."""
    assert len(flights.train) + len(flights.calibration) + len(flights.winter) == 26398 + 23611 + 27902
    assert (len(flights.april), len(flights.may)) == (27564, 28128)
    assert len(flights.winter) > 10_000


def test_each_part_has_the_features(flights: Flights) -> None:
    """Every part has the features in order, then the label and the time in the air, and weather for nearly all flights."""
    for part in flights:
        assert list(part.columns) == [*FEATURES, LATE, AIR_TIME]
        assert part["temp"].isna().mean() < 0.02


def test_the_same_seed_gives_the_same_rows(flights: Flights) -> None:
    """A run can be repeated, and another seed is another order."""
    assert Flights.read().winter.equals(flights.winter)
    assert not Flights.read(seed=1).winter.equals(flights.winter)


def test_the_model_has_learnt_winter(flights: Flights, model: DelayModel) -> None:
    """The model tells late winter flights it never saw, and does worse in April."""
    winter, april = (roc_auc_score(part[LATE], model.probabilities(part)) for part in (flights.winter, flights.april))
    assert winter > 0.7
    assert april < winter - 0.05


def test_one_flight_is_scored_as_in_a_table(flights: Flights, model: DelayModel) -> None:
    """A flight as a dict, gaps and all, gets the score it has as a row."""
    rows = flights.april.iloc[:50]
    scores = model.probabilities(rows)
    for index, score in enumerate(scores):
        flight = rows.iloc[index][list(FEATURES)].to_dict()
        plain = {name: None if pd.isna(value) else value for name, value in flight.items()}
        assert model.probability(plain) == pytest.approx(score)


def test_an_unknown_airport_is_no_error(flights: Flights, model: DelayModel) -> None:
    """Categories that training never saw count as absent."""
    flight = flights.april.iloc[0][list(FEATURES)].to_dict()
    assert 0 < model.probability(flight | dict.fromkeys(CATEGORIES, "XXX")) < 1


@pytest.mark.parametrize(
    ("spoilt", "error"),
    [({"temp": "mild"}, ValueError), ({"wind_speed": [9]}, TypeError), ({"carrier": []}, TypeError)],
)
def test_a_malformed_flight_raises(
    flights: Flights, model: DelayModel, spoilt: dict[str, object], error: type[Exception]
) -> None:
    """Values of a wrong type are errors of their kind, as is a missing field."""
    flight = flights.april.iloc[0][list(FEATURES)].to_dict()
    with pytest.raises(error):
        model.probability(flight | spoilt)
    del flight["humid"]
    with pytest.raises(KeyError):
        model.probability(flight)
