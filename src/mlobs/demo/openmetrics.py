"""The text of OpenMetrics 1.0: names, and one family of series with all its points."""

from __future__ import annotations

import math
import re
from itertools import accumulate
from typing import TYPE_CHECKING, Final, NamedTuple

from opentelemetry.proto.metrics.v1.metrics_pb2 import HistogramDataPoint

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import TypeAlias

    from opentelemetry.proto.metrics.v1.metrics_pb2 import NumberDataPoint

    Labels = tuple[tuple[str, str], ...]
    Value: TypeAlias = "float | Histogram"
    Samples = list[tuple[int, Value]]  # milliseconds since the epoch and what was then, the newest last

GROWING: Final = ("counter", "histogram")
_UNITS: Final = {"s": "seconds", "By": "bytes", "W": "watts", "J": "joules", "Cel": "celsius"}
_NO_NAME: Final = re.compile(r"[^A-Za-z0-9_:]")
_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


class Histogram(NamedTuple):
    """Counts between bounds, the last one above them all."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    sum: float


def nothing(point: NumberDataPoint | HistogramDataPoint) -> Value:
    """What a sum or a histogram of OTLP was before anything fell into it."""
    if isinstance(point, HistogramDataPoint):
        return Histogram(tuple(point.explicit_bounds), (0,) * len(point.bucket_counts), 0.0)
    return 0


def value(point: NumberDataPoint | HistogramDataPoint) -> Value:
    """What a point of OTLP says."""
    if isinstance(point, HistogramDataPoint):
        return Histogram(tuple(point.explicit_bounds), tuple(point.bucket_counts), point.sum)
    return point.as_int if point.WhichOneof("value") == "as_int" else point.as_double


def identifier(text: str) -> str:
    """A name with what Prometheus 2 knows: letters, digits and underscores."""
    clean = _NO_NAME.sub("_", text)
    return f"_{clean}" if clean[:1].isdigit() else clean


def name(metric: str, kind: str, unit: str) -> str:
    """The name of a family, the unit at its end; `_total`, `_bucket` and the like belong to its samples."""
    clean = identifier(metric)
    ending = _UNITS.get(unit) or ("ratio" if unit == "1" and kind == "gauge" else "")
    return clean if not ending or clean.endswith(f"_{ending}") else f"{clean}_{ending}"


def family(name: str, kind: str, unit: str, description: str, series: Mapping[Labels, Samples]) -> Iterator[str]:
    """Yield the lines of a family, series by series, each from its oldest point to its newest."""
    yield f"# TYPE {name} {kind}\n"
    if _UNITS.get(unit):
        yield f"# UNIT {name} {_UNITS[unit]}\n"
    if description:
        yield f"# HELP {name} {description.translate(_ESCAPES)}\n"
    ending = {"counter": "_total", "info": "_info"}.get(kind, "")
    for labels, samples in sorted(series.items()):
        for at, seen in samples:
            moment = f"{at // 1000}.{at % 1000:03d}"
            if isinstance(seen, Histogram):
                yield from _histogram(name, labels, seen, moment)
            else:
                yield f"{name}{ending}{_braced(labels)} {_number(seen)} {moment}\n"


def _histogram(name: str, labels: Labels, value: Histogram, moment: str) -> Iterator[str]:
    whole = 0
    for bound, below in zip((*value.bounds, math.inf), accumulate(value.counts), strict=False):
        whole = below
        yield f"{name}_bucket{_braced((*labels, ('le', _number(float(bound)))))} {below} {moment}\n"
    yield f"{name}_sum{_braced(labels)} {_number(value.sum)} {moment}\n"
    yield f"{name}_count{_braced(labels)} {whole} {moment}\n"


def _braced(labels: Labels) -> str:
    return "{" + ",".join(f'{key}="{value.translate(_ESCAPES)}"' for key, value in labels) + "}" if labels else ""


def _number(value: float) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else f"{'+' if value > 0 else '-'}Inf"
    return repr(value)
