"""A model that prices flats, observed: first its inputs are as they were in training, then somebody changes a unit."""

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor

import mlobs

Rows = NDArray[np.float64]
rng = np.random.default_rng(0)


def flats(rows: int) -> Rows:
    """Area in m², rooms, age in years: what the model is trained on, and then asked about."""
    area = rng.gamma(9.0, 9.0, rows)
    return np.column_stack([area, np.ceil(area / 30), rng.integers(0, 100, rows)])


train = flats(5_000)
price = 4_000 * train[:, 0] - 900 * train[:, 2] + rng.normal(0, 30_000, len(train))
model = HistGradientBoostingRegressor(max_iter=50, random_state=0).fit(train, price)

columns = dict(zip(("area", "rooms", "age"), train.T, strict=True))
reference = mlobs.Profile.build(columns, outputs=model.predict(train))


@mlobs.observe(model="flat-price", version="1", reference=reference)
def predict(rows: Rows) -> Rows:
    """Price flats. The line above is all that observing takes."""
    prices: Rows = model.predict(rows)
    return prices


def show(title: str) -> None:
    """Print what mlobs makes of all calls so far."""
    print(title)
    for name, drift in mlobs.drift()["flat-price"].items():
        print(
            f"  {name:<12} PSI {drift.psi:5.3f}  noise {drift.psi_noise:5.3f}  {drift.count:5,} rows  {drift.verdict}"
        )


for _ in range(200):
    predict(flats(10))
show("Flats like those of the training:")

for _ in range(200):
    predict(flats(10) * [10.76, 1, 1])  # an app begins to send square feet
show("And then as many in square feet:")
