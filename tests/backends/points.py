"""Data points of OTLP requests, for comparing what was sent with what arrived."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

Attributes = tuple[tuple[str, str], ...]


class Point(NamedTuple):
    """One data point, and whose it is; ``value`` is its number, of a histogram its count."""

    resource: dict[str, str]
    metric: str
    attributes: Attributes
    message: Any

    @property
    def series(self) -> tuple[str, str, Attributes, int]:
        """What goes on from one export to the next, until a reset."""
        instance = self.resource.get("service.instance.id", "")
        return instance, self.metric, self.attributes, self.message.start_time_unix_nano

    @property
    def value(self) -> float:
        """The number."""
        if hasattr(self.message, "as_int"):
            return float(self.message.as_double if self.message.HasField("as_double") else self.message.as_int)
        return float(self.message.count)


def texts(pairs: Iterable[Any]) -> dict[str, str]:
    """Attributes as text."""
    return {pair.key: _text(pair.value) for pair in pairs}


def _text(value: Any) -> str:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return f"[{', '.join(map(_text, value.array_value.values))}]"
    return str(getattr(value, kind)) if kind else ""


def points(requests: Iterable[Any]) -> Iterator[Point]:
    """Every data point of metrics requests."""
    for request in requests:
        for resource in request.resource_metrics:
            about = texts(resource.resource.attributes)
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    kind = metric.WhichOneof("data")
                    for message in getattr(metric, kind).data_points if kind else ():
                        yield Point(about, metric.name, tuple(sorted(texts(message.attributes).items())), message)


def exact(requests: Iterable[Any]) -> dict[tuple[str, str, Attributes, int], bytes]:
    """Every data point by its series and its time, down to the last bucket and exemplar."""
    return {
        (point.resource.get("service.instance.id", ""), point.metric, point.attributes, point.message.time_unix_nano): (
            point.message.SerializeToString(deterministic=True)
        )
        for point in points(requests)
    }


def newest(requests: Iterable[Any], name: str, **having: str) -> list[Point]:
    """The newest point of each series of a metric that has these attributes, given with _ for a dot."""
    found: dict[Any, Point] = {}
    for point in points(requests):
        attributes = {key.replace(".", "_"): value for key, value in point.attributes}
        if point.metric == name and having.items() <= attributes.items():
            known = found.get(point.series)
            if known is None or known.message.time_unix_nano <= point.message.time_unix_nano:
                found[point.series] = point
    return list(found.values())


def total(requests: Iterable[Any], name: str, **having: str) -> float:
    """The sum of a counter over its series and their resets, or the number of a histogram's values."""
    return sum(point.value for point in newest(requests, name, **having))
