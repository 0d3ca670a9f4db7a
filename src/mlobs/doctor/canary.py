"""A count of one under a name of its own, sent as everything else is sent."""

from __future__ import annotations

import time
import uuid
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

from mlobs.doctor.heard import heard
from mlobs.otel import names
from mlobs.otel.answer import Answer
from mlobs.otel.deltas import Deltas
from mlobs.otel.exporter import exporter
from mlobs.otel.points import NO_ATTRIBUTES, Collected, Numbers
from mlobs.otel.resource import resource
from mlobs.otel.spans import Spans

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource

    from mlobs.doctor.setup import Setup

# where OpenTelemetry's own exporters say why they failed; mlobs' own says it in its answer
_LOGGERS: Final = ("opentelemetry.sdk.metrics", "mlobs")


class Sent(NamedTuple):
    """What came of it: the answer, what the exporter said beside it, and a body to ask once more with."""

    answer: Answer
    said: list[str]
    body: bytes = b""


class Canary:
    """One run's. A counter, so that whoever refuses counters as they are sent here, deltas say, refuses it too."""

    def __init__(self, setup: Setup) -> None:
        self.id = uuid.uuid4().hex
        self.sent = False
        self._setup = setup

    @cached_property
    def resource(self) -> Resource:
        """Who sends it: what an observed process that is started from here would be."""
        return resource(dict(self._setup.settings.resource_attributes), forked=False)

    def collect(self) -> Collected:
        """The one point."""
        now = time.time_ns()
        each = NO_ATTRIBUTES.extended((names.CANARY_ID, self.id))
        return Collected(now - 1_000_000, now, [Numbers(names.SDK_CANARY, each, (1,))])

    def metrics(self, timeout: float) -> Sent:
        """Send it.

        Raises what making the exporter raises: OSError for a certificate, MissingDependencyError, ImportError.
        """
        setup = self._setup
        with heard(*_LOGGERS) as said:
            made = exporter(setup.environ, self.resource, self.collect, Deltas(), endpoint=setup.base)
            if made is None:
                return Sent(Answer(delivered=False, problem="there is no exporter"), said)
            try:
                answer = made.export(self.collect(), timeout)
            finally:
                made.close()
        self.sent = answer.delivered and not answer.rejected
        return Sent(answer, said, self._body())

    def _body(self) -> bytes:
        """The bytes that OTLP over HTTP sends."""
        from mlobs.otel import wire

        return wire.encode(self.collect(), dict(self.resource.attributes), delta=self._setup.temporality == "delta")

    def span(self, timeout: float) -> Sent | None:
        """Send one span; None where the sampler leaves it out. Raises what making the exporter raises."""
        setup = self._setup
        with heard(*_LOGGERS) as said:
            spans = Spans(setup.environ, lambda: self.resource, lambda *_: None, endpoint=setup.base)
            span = spans.tracer.start_span("mlobs doctor", attributes={names.CANARY_ID: self.id})
            span.end()
            if not span.get_span_context().trace_flags.sampled:
                return None
            return Sent(spans.flush(timeout), said)
