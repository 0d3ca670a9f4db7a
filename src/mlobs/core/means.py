"""What the export and spans are sent with: made when it is first needed, never at import and never in a fork hook."""

from __future__ import annotations

import socket
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from opentelemetry import trace

from mlobs.core.guard import Guarded
from mlobs.otel.answer import Answer
from mlobs.otel.spans import Spans

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.resources import Resource
    from opentelemetry.trace import TracerProvider

    from mlobs.core.state import State
    from mlobs.otel.exporter import Exporter
    from mlobs.otel.points import Collected


class Means:
    """Who is speaking, where spans come from, and what sends metrics; and what of these cannot be had.

    ``collect`` is what an exporter that is scraped asks for everything; ``beside`` is made with the rest, so that no caller waits
    for it.
    """

    def __init__(self, state: State, collect: Callable[[], Collected], beside: Callable[[], object]) -> None:
        self._state = state
        self._collect = collect
        self._beside = beside
        self._making = threading.RLock()  # a signal handler may ask amid it
        self._resource: Resource | None = None
        self._provider: TracerProvider | None = None  # the program's when the resource was made
        self._spans: Spans | None = None
        self._prepared = False
        self._turn = threading.Lock()
        self._exporter: Exporter | None = None
        self.lacking = {signal: Answer(delivered=False) for signal in ("metrics", "spans")}  # what is not made yet

    @property
    def resource(self) -> Resource:
        """Who is speaking: one and the same, whoever asks first."""
        found = self._resource
        if found is None:
            with self._making:
                found = self._resource = self._resource or self._made_resource()
        return found

    def _made_resource(self) -> Resource:
        from mlobs.otel.resource import resource

        state, settings = self._state, self._state.settings
        self._provider = trace.get_tracer_provider()
        extra = dict(settings.resource_attributes)
        if settings.service_name is not None:
            extra["service.name"] = settings.service_name
        found = resource(
            extra, forked=state.forked, lives=state.lives, instance=state.instance, provider=settings.tracer_provider
        )
        state.instance = str(found.attributes["service.instance.id"])
        return found

    @property
    def spans(self) -> Spans:
        """Where spans come from."""
        found = self._spans
        if found is None:
            with self._making:
                found = self._spans = self._spans or self._made_spans()
        return found

    def _made_spans(self) -> Spans:
        settings = self._state.settings
        return Spans(
            settings.environ,
            lambda: self.resource,
            self._state.guard.drop,
            endpoint=settings.endpoint,
            provider=settings.tracer_provider,
            waiting=self._state.spans,
        )

    def prepare(self) -> None:
        """Load and make everything the first export and the first span need, so that no caller waits for it. Never raises.

        What cannot be made, for a certificate that is not mounted yet or a port that is taken, is told once, and tried again
        with each export. The lock is held over the imports: a process forked in the middle of one could never finish it.
        """
        guard = self._state.guard
        with self._state.loading:
            for signal, make in (("metrics", self._make_exporter), ("spans", self._make_spans)):
                if signal in self.lacking:
                    try:
                        make()
                        del self.lacking[signal]
                        guard.again(f"export {signal}")
                    except Exception as error:  # noqa: BLE001 - whatever an exporter is made of
                        self._lack(signal, error)
            if not self._prepared:
                self._prepared = True
                with Guarded(guard, "start"):
                    import encodings.idna  # noqa: F401 - the names of hosts are encoded by it

                    from mlobs.otel import partial, wire  # noqa: F401 - loaded here rather than at import
                with Guarded(guard, "start"):
                    self._state.resources.prepare()
                with Guarded(guard, "start"):
                    self._beside()
        if "gevent" in sys.modules:
            # gevent looks names up on threads of its own, and makes the first when first asked: at the end of the
            # program, where the last export may be the first, Python makes no threads any more
            with suppress(Exception):
                socket.getaddrinfo("localhost", None)

    def _lack(self, signal: str, error: Exception) -> None:
        """What sends a signal could not be made."""
        if signal == "spans":
            self.spans.give_up()  # until there is somebody to send them
        ends = not threading.main_thread().is_alive()
        if ends and not self.lacking[signal].problem:  # grpc, for one, cannot be loaded any more
            self._state.guard.tell(
                "too short",
                "mlobs sent nothing: the program ended before the exporter was loaded. End it with mlobs.flush().",
            )
            return
        self.lacking[signal] = Answer(
            delivered=False,
            problem=f"what sends them cannot be made ({type(error).__name__}: {error}). Check the certificates, ports and "
            "packages that the OTEL_ variables ask for; it is tried again with each export.",
        )
        self._tell(signal, self.lacking[signal])

    def follow(self) -> None:
        """A tracer provider that the program has set since says who is speaking, of metrics as of spans: what sends is made anew."""
        if self._resource is None or self._state.settings.tracer_provider is not None:
            return
        provider = trace.get_tracer_provider()
        if provider is self._provider or not hasattr(provider, "resource"):
            return
        self._resource = None
        self.close(over=False)
        self.lacking["metrics"] = Answer(delivered=False)

    def _make_spans(self) -> None:
        if self.lacking["spans"].problem:  # they were given up
            if not threading.main_thread().is_alive():
                return  # none can come any more
            self._spans = None
        self.spans.prepare()

    def _make_exporter(self) -> None:
        from mlobs.otel.exporter import exporter

        settings = self._state.settings
        self._exporter = exporter(
            settings.environ,
            self.resource,
            self._collect,
            self._state.deltas,
            endpoint=settings.endpoint,
            given=settings.metric_exporter,
        )

    @property
    def turn(self) -> threading.Lock:
        """Held from collecting to the answer. With deltas it is one a process: what is new is known when the last answer is."""
        deltas = None if self._exporter is None else self._exporter.deltas
        return self._turn if deltas is None else deltas.turn

    # ── sending ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def send(self, collected: Collected, timeout: float) -> tuple[Answer, Answer]:
        """Export these metrics, and the spans that wait, each within ``timeout`` seconds: what became of either."""
        metrics = self.lacking.get("metrics") or Answer(delivered=True)
        if self._exporter is not None:
            metrics = self._exporter.export(collected, timeout)
        spans = self.lacking.get("spans") or self.spans.flush(timeout)
        if metrics.rejected:
            self._state.guard.drop("rejected", metrics.rejected, metrics.problem)
        self._tell("metrics", metrics)
        self._tell("spans", spans)
        return metrics, spans

    def send_spans(self, timeout: float) -> None:
        """Export the spans that wait, and no metrics."""
        if self._spans is not None:
            self._spans.flush(timeout)

    def settle(self, timeout: float) -> None:
        """Have the program's own provider send the spans that wait in it."""
        if self._spans is not None:
            self._spans.settle(timeout)

    def close(self, *, over: bool) -> None:
        """Send no more metrics; ``over``: the process ends, too."""
        exporter, self._exporter = self._exporter, None
        if exporter is not None:
            with Guarded(self._state.guard, "close"):
                exporter.close(over=over)

    def _tell(self, signal: str, answer: Answer) -> None:
        guard = self._state.guard
        if answer.problem and not answer.delivered:
            kept = "Counts are kept and sent later."
            if signal in self.lacking:
                kept = kept if signal == "metrics" else "Until then there are none."
            elif signal == "spans":
                kept = "The newest are kept and sent later." if answer.retryable else "These are lost."
            problem = " ".join(answer.problem.split())  # a server's words may be of several lines
            guard.tell(f"export {signal}", "mlobs cannot send its %s: %s %s", signal, problem, kept)
        else:
            guard.again(f"export {signal}")
