"""What comes before the traffic: the data, the model, and the profile of what it learned from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlobs.demo import stakes
from mlobs.demo.delay_model import DelayModel
from mlobs.demo.flights import FEATURES, LATE, Flights
from mlobs.profile import Profile

if TYPE_CHECKING:
    from mlobs.demo.narrator import Narrator
    from mlobs.demo.place import Place


def prepare(place: Place, narrator: Narrator, seed: int) -> tuple[Flights, Profile]:
    """Leave model and profile where the service finds them; return the flights and the profile."""
    with narrator.step("Reading the 336,776 flights of 2013, and the weather of their hours"):
        flights = Flights.read(seed)
    with narrator.step(f"Training on {len(flights.train):,} flights of January to March"):
        model = DelayModel.fit(flights.train)
        model.save(place.model)
        stakes.save(place.calibration, model.probabilities(flights.calibration), flights.calibration[LATE])
    with narrator.step("Building the reference profile from the same rows"):
        profile = Profile.build(flights.train[list(FEATURES)], outputs=model.probabilities(flights.train))
        profile.save(place.reference)
    return flights, profile
