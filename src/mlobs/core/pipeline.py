"""The thread that collects every count and sends it."""

from __future__ import annotations

import queue
import socket
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from opentelemetry import context

from mlobs.otel import names
from mlobs.otel.answer import Answer
from mlobs.otel.points import NO_ATTRIBUTES, Attributes, Collected, Numbers, Points
from mlobs.otel.spans import Spans
from mlobs.resource import peak_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentelemetry.sdk.resources import Resource

    from mlobs.core.model import Model
    from mlobs.core.monitor import Monitor
    from mlobs.core.outcomes import Outcomes
    from mlobs.core.reports import Reports
    from mlobs.core.state import State
    from mlobs.otel.exporter import Exporter


_RETRY: Final = 0.1  # seconds between two tries before a deadline


class _Request:
    """Somebody waits for an export, or only until none is under way; after the ``last`` one the thread ends.

    A signal handler may ask while the thread it interrupted is asking. So nothing here is an Event, whose lock one of
    the two would hold: a SimpleQueue may be used from handlers.
    """

    def __init__(self, deadline: float, *, last: bool, only_wait: bool = False) -> None:
        self.deadline = deadline
        self.last = last
        self.only_wait = only_wait
        self._answer: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def answer(self, *, delivered: bool) -> None:
        """Let whoever waits go on."""
        self._answer.put(delivered)

    def wait(self, timeout: float) -> bool:
        """Whether everything was delivered within ``timeout`` seconds."""
        try:
            return self._answer.get(timeout=max(0.0, timeout))
        except queue.Empty:
            return False


class Pipeline:
    """Collects and exports every ``export_interval`` seconds, on flush, and at the end."""

    def __init__(self, state: State, fold: Callable[[], object], outcomes: Outcomes) -> None:
        self._state = state
        self._outcomes = outcomes
        self._fold = fold
        self._requests: queue.SimpleQueue[_Request] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._resource: Resource | None = None
        self._exporter: Exporter | None = None
        self._spans: Spans | None = None
        self._series = 0
        self.heard = True  # whether the last export arrived

    # ── what is made when it is first needed, never at import and never in a fork hook ──────────────────────────────

    @property
    def resource(self) -> Resource:
        """Who is speaking."""
        if self._resource is None:
            from mlobs.otel.resource import resource

            settings = self._state.settings
            extra = dict(settings.resource_attributes)
            if settings.service_name is not None:
                extra["service.name"] = settings.service_name
            state = self._state
            self._resource = resource(extra, forked=state.forked, lives=state.lives, instance=state.instance)
            state.instance = str(self._resource.attributes["service.instance.id"])
        return self._resource

    @property
    def spans(self) -> Spans:
        """Where spans come from."""
        if self._spans is None:
            settings = self._state.settings
            self._spans = Spans(
                settings.environ,
                lambda: self.resource,
                self._state.guard.drop,
                endpoint=settings.endpoint,
                provider=settings.tracer_provider,
                waiting=self._state.unsent,
            )
        return self._spans

    def prepare(self) -> None:
        """Load and make everything the first export and the first span need, so that no caller waits for it.

        The lock is held over the imports: a process forked in the middle of one could never finish it.
        """
        with self._state.loading:
            from mlobs.otel import wire  # noqa: F401 - loaded here rather than at import

            self._exporter = self._make_exporter()
            self._state.resources.prepare()
            self.spans.prepare()
            self._outcomes.tickets.ticketer()
        if "gevent" in sys.modules:
            # gevent looks names up on threads of its own, and makes the first when first asked: at the end of the
            # program, where the last export may be the first, Python makes no threads any more
            socket.getaddrinfo("localhost", None)

    def _make_exporter(self) -> Exporter | None:
        from mlobs.otel.exporter import exporter

        settings = self._state.settings
        return exporter(
            settings.environ,
            self.resource,
            self.collect,
            self._state.deltas,
            endpoint=settings.endpoint,
            given=settings.metric_exporter,
        )

    # ── life ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        """Start the thread."""
        self._requests = queue.SimpleQueue()  # made here: since the import gevent may have put its own in its place
        self._thread = threading.Thread(target=self._run, name="mlobs-export", daemon=True)
        self._thread.start()

    def flush(self, timeout: float) -> bool:
        """Ask the thread for an export now, and wait for it at most ``timeout`` seconds."""
        return self._ask(timeout, last=False)

    def leave(self, timeout: float) -> bool:
        """`flush` where nothing will run afterwards: spans that wait in the program's own provider are sent, too."""
        deadline = time.monotonic() + timeout
        delivered = self.flush(timeout)
        if self._spans is not None:
            self._spans.settle(deadline - time.monotonic())
        return delivered

    def settle(self, timeout: float) -> bool:
        """Wait until no export is under way; whether that was so within ``timeout`` seconds."""
        return self._ask(timeout, last=False, only_wait=True)

    def _ask(self, timeout: float, *, last: bool, only_wait: bool = False) -> bool:
        thread = self._thread
        if thread is None or not thread.is_alive():
            return True
        deadline = time.monotonic() + timeout if timeout > 0 and not only_wait else 0.0
        request = _Request(deadline, last=last, only_wait=only_wait)
        self._requests.put(request)
        return request.wait(timeout)

    def stop(self, timeout: float) -> bool:
        """Export a last time, within ``timeout`` seconds, and end the thread."""
        delivered = self._ask(timeout, last=True)
        if not delivered and timeout > 0 and not self._state.held:
            self._state.guard.tell("last export", "mlobs could not deliver its last export within %.1f s.", timeout)
        return delivered

    def _run(self) -> None:
        context.attach(context.set_value("suppress_instrumentation", True))  # no spans for our own requests
        try:
            self.prepare()
        except Exception as error:  # noqa: BLE001 - a certificate that cannot be read, say: told once, counted, no export
            if threading.main_thread().is_alive():
                self._state.guard.error("start", error)
            else:  # grpc, for one, cannot be loaded any more
                self._state.guard.tell(
                    "too short",
                    "mlobs sent nothing: the program ended before the exporter was loaded. End it with mlobs.flush().",
                )
                self.spans.give_up()
        while True:
            requests = self._wait(self._state.settings.export_interval)
            deadline = max((request.deadline for request in requests), default=0.0)
            delivered = (not requests or not all(request.only_wait for request in requests)) and self._tick(deadline)
            for request in requests:
                request.answer(delivered=delivered or request.only_wait)
            if any(request.last for request in requests):
                break
        for request in self._wait(0):  # came too late
            request.answer(delivered=False)
        if self._exporter is not None:
            self._exporter.close()

    def _wait(self, timeout: float) -> list[_Request]:
        """The requests that have come, one at least, or none after ``timeout`` seconds."""
        found: list[_Request] = []
        with suppress(queue.Empty):
            found.append(self._requests.get(timeout=timeout))
            while True:
                found.append(self._requests.get_nowait())
        return found

    def _tick(self, deadline: float) -> bool:
        """Collect and send; before a deadline, again and again until it is delivered. Never raises."""
        state = self._state
        if state.held:
            if self._spans is not None:  # they tell what happened, whatever will count of it
                self._spans.flush(max(0.05, deadline - time.monotonic()) if deadline else state.settings.export_timeout)
            return False
        began = time.perf_counter()
        delivered = False
        try:
            while True:
                answer = self._export(deadline)
                delivered = answer.delivered
                left = deadline - time.monotonic()
                if delivered or not answer.retryable or left <= _RETRY:
                    break
                time.sleep(max(_RETRY, min(answer.pause, left - _RETRY)))  # a last try comes before the deadline
        except Exception as error:  # noqa: BLE001 - ours; the host goes on
            state.guard.error("export", error)
        state.export_seconds += time.perf_counter() - began
        self.heard = delivered
        return delivered

    def _export(self, deadline: float) -> Answer:
        settings = self._state.settings
        timeout = settings.export_timeout if not deadline else max(0.05, deadline - time.monotonic())
        with self._state.turns:
            collected = self.collect()
        answer = Answer(delivered=True)
        if self._exporter is not None:
            answer = self._exporter.export(collected, timeout)
        spans = self.spans.flush(timeout) if self._spans is not None else answer
        if answer.rejected:
            self._state.guard.drop("rejected", answer.rejected, answer.problem)
        for signal, one in (("metrics", answer), ("spans", spans)):
            self._tell(signal, one)
        return answer if not answer.delivered else spans

    def _tell(self, signal: str, answer: Answer) -> None:
        guard = self._state.guard
        if answer.problem and not answer.delivered:
            kept = "Counts are kept and sent later."
            if signal == "spans":
                kept = "The newest are kept and sent later." if answer.retryable else "These are lost."
            problem = " ".join(answer.problem.split())  # a server's words may be of several lines
            guard.tell(f"export {signal}", "mlobs cannot send its %s: %s %s", signal, problem, kept)
        else:
            guard.again(f"export {signal}")

    # ── collecting ──────────────────────────────────────────────────────────────────────────────────────────────────

    def collect(self) -> Collected:
        """Fold what waits, and everything this process has to say."""
        state = self._state
        self._fold()
        points: list[Points] = []
        with state.counting:
            sources: list[Model | Monitor | Reports] = [
                *state.models.values(),
                *state.monitors.values(),
                state.reports,
            ]
            for source in sources:
                try:
                    points.extend(source.collect())
                except Exception as error:  # noqa: BLE001 - ours; the others are sent all the same
                    state.guard.error("collect", error)
        for collect in (self._outcomes.collect, state.resources.collect, self._collect_memory):
            try:
                points.extend(collect())
            except Exception as error:  # noqa: BLE001 - likewise
                state.guard.error("collect", error)
        points.extend(self._collect_self())
        collected = Collected(state.begun, max(state.begun, time.time_ns()), points)  # a clock may be set back
        self._series = collected.series
        return collected

    def _collect_memory(self) -> Iterator[Points]:
        """The process' peak, where it is one model's."""
        served = {
            monitor.model.identity: monitor.model for monitor in list(self._state.monitors.values()) if monitor.ended
        }
        if len(served) == 1:
            peak = peak_memory()
            if peak is not None:
                (model,) = served.values()
                yield Numbers(names.MODEL_MEMORY_PEAK, model.attributes, (peak,))

    def _collect_self(self) -> list[Points]:
        guard = self._state.guard
        found: list[Points] = [
            Numbers(names.SDK_SERIES, NO_ATTRIBUTES, (self._series,)),
            Numbers(names.SDK_FOLD_DURATION, NO_ATTRIBUTES, (self._state.fold_seconds,)),
            Numbers(names.SDK_EXPORT_DURATION, NO_ATTRIBUTES, (self._state.export_seconds,)),
        ]
        for instrument, counts in ((names.SDK_DROPPED, dict(guard.dropped)), (names.SDK_ERRORS, dict(guard.errors))):
            each = [Attributes((names.REASON, reason)) for reason in counts]
            if each:
                found.append(Numbers(instrument, NO_ATTRIBUTES, list(counts.values()), each))
        return found
