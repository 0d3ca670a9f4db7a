"""Pure data structures over numpy: counts in bins, their distances, and what chance makes of them.

Nothing here knows of telemetry, files or threads.
"""

from mlobs.sketch.bins import Cuts, Found, count_values
from mlobs.sketch.categories import Categories, Tally
from mlobs.sketch.confusion import Confusion, OfClass
from mlobs.sketch.distance import chi_squared, jensen_shannon, ks, psi, wasserstein
from mlobs.sketch.edges import cut
from mlobs.sketch.exponential import Buckets, Exponential
from mlobs.sketch.exponentials import add_columns
from mlobs.sketch.matrix import CutMatrix
from mlobs.sketch.noise import (
    Drift,
    Verdict,
    benjamini_hochberg,
    judge,
    ks_noise,
    minimum_count,
    psi_expected,
    psi_noise,
    psi_pvalue,
    psi_smoothing,
)
from mlobs.sketch.quantiles import Quantiles
from mlobs.sketch.scores import Measured
from mlobs.sketch.values import instants, is_missing, lengths, numbers, plain_list, unmasked

__all__ = [
    "Buckets",
    "Categories",
    "Confusion",
    "CutMatrix",
    "Cuts",
    "Drift",
    "Exponential",
    "Found",
    "Measured",
    "OfClass",
    "Quantiles",
    "Tally",
    "Verdict",
    "add_columns",
    "benjamini_hochberg",
    "chi_squared",
    "count_values",
    "cut",
    "instants",
    "is_missing",
    "jensen_shannon",
    "judge",
    "ks",
    "ks_noise",
    "lengths",
    "minimum_count",
    "numbers",
    "plain_list",
    "psi",
    "psi_expected",
    "psi_noise",
    "psi_pvalue",
    "psi_smoothing",
    "unmasked",
    "wasserstein",
]
