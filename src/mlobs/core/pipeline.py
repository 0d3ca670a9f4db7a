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

from mlobs.core.asked import Asked
from mlobs.core.guard import Guarded, passes
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


class Pipeline:
    """Collects and exports every ``export_interval`` seconds, on flush, and at the end."""

    def __init__(self, state: State, fold: Callable[[], object], outcomes: Outcomes) -> None:
        self._state = state
        self._outcomes = outcomes
        self._sent = state.sent
        self._fold = fold
        self._requests: queue.SimpleQueue[Asked] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._making = threading.RLock()  # a signal handler may ask amid it
        self._resource: Resource | None = None
        self._exporter: Exporter | None = None
        self._spans: Spans | None = None
        self._series = 0
        self._prepared = False
        self._lacking = {signal: Answer(delivered=False) for signal in ("metrics", "spans")}  # what is not made yet
        self._ends = False  # the process does
        self._over = False  # the thread has ended as it was asked to
        self.heard = True  # whether the last export arrived

    # ── what is made when it is first needed, never at import and never in a fork hook ──────────────────────────────

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
        extra = dict(settings.resource_attributes)
        if settings.service_name is not None:
            extra["service.name"] = settings.service_name
        found = resource(extra, forked=state.forked, lives=state.lives, instance=state.instance)
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
                if signal in self._lacking:
                    try:
                        make()
                        del self._lacking[signal]
                        guard.again(f"export {signal}")
                    except Exception as error:  # noqa: BLE001 - whatever an exporter is made of
                        self._lack(signal, error)
            if not self._prepared:
                self._prepared = True
                with Guarded(guard, "start"):
                    from mlobs.otel import wire  # noqa: F401 - loaded here rather than at import
                with Guarded(guard, "start"):
                    self._state.resources.prepare()
                with Guarded(guard, "start"):
                    self._outcomes.tickets.ticketer()
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
        if ends and not self._lacking[signal].problem:  # grpc, for one, cannot be loaded any more
            self._state.guard.tell(
                "too short",
                "mlobs sent nothing: the program ended before the exporter was loaded. End it with mlobs.flush().",
            )
            return
        self._lacking[signal] = Answer(
            delivered=False,
            problem=f"what sends them cannot be made ({type(error).__name__}: {error}). Check the certificates, ports and "
            "packages that the OTEL_ variables ask for; it is tried again with each export.",
        )
        self._tell(signal, self._lacking[signal])

    def _make_spans(self) -> None:
        if self._lacking["spans"].problem:  # they were given up
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
            self.collect,
            self._state.deltas,
            endpoint=settings.endpoint,
            given=settings.metric_exporter,
        )

    # ── life ────────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def runs(self) -> bool:
        """Whether there is a thread."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Start the thread, if it does not run. Raises RuntimeError where there can be none more."""
        if self.runs:
            return
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
        if thread is None:
            return True
        if not thread.is_alive():
            return last and self._over and self.heard
        deadline = time.monotonic() + timeout if timeout > 0 and not only_wait else 0.0
        request = Asked(deadline, last=last, only_wait=only_wait)
        self._requests.put(request)
        if self._over:  # the thread may have looked for the last time
            self._refuse()
        return request.wait(timeout)

    def _refuse(self) -> None:
        """Answer those that came too late: who wants a last export has had it."""
        for request in self._wait(0):
            request.answer(delivered=request.last and self.heard)

    def stop(self, timeout: float, *, export: bool = True, ends: bool = False) -> bool:
        """Export a last time, within ``timeout`` seconds, and end the thread; whether the process ``ends``, too."""
        self._ends = ends
        delivered = self._ask(timeout, last=True, only_wait=not export)
        return delivered if not export else self._told(timeout, delivered=delivered)

    def finish(self, timeout: float) -> bool:
        """`flush` at the end of the process: that nothing was delivered is worth a line."""
        return self._told(timeout, delivered=self.flush(timeout))

    def send_here(self, timeout: float) -> bool:
        """Export a last time in this thread, where there may be no other any more."""
        token = context.attach(context.set_value("suppress_instrumentation", True))
        try:
            self.prepare()
            return self._told(timeout, delivered=self._tick(time.monotonic() + timeout))
        finally:
            context.detach(token)
            self._ends = True
            self._close()

    def _told(self, timeout: float, *, delivered: bool) -> bool:
        if not delivered and timeout > 0 and not self._state.held:
            self._state.guard.tell("last export", "mlobs could not deliver its last export within %.1f s.", timeout)
        return delivered

    def _run(self) -> None:
        context.attach(context.set_value("suppress_instrumentation", True))  # no spans for our own requests
        self.prepare()
        while not self._over:
            requests = self._wait(self._state.settings.export_interval)
            delivered = False
            try:
                delivered = self._serve(requests)
            except BaseException as error:  # noqa: BLE001 - ours; whoever waits goes on, and so does the thread
                self._state.guard.error("export", error)
            finally:
                for request in requests:
                    request.answer(delivered=delivered or request.only_wait)
        self._refuse()

    def _serve(self, requests: list[Asked]) -> bool:
        """Export, unless all that is asked is to wait; whether it was delivered. After the last one all is closed."""
        deadline = max((request.deadline for request in requests), default=0.0)
        delivered = (not requests or not all(request.only_wait for request in requests)) and self._tick(deadline)
        if any(request.last for request in requests):
            self._over = True
            self._close()  # before it is answered: who goes on may want the port
        return delivered

    def _close(self) -> None:
        exporter, self._exporter = self._exporter, None
        if exporter is not None:
            with Guarded(self._state.guard, "close"):
                exporter.close(over=self._ends)

    def _wait(self, timeout: float) -> list[Asked]:
        """The requests that have come, one at least, or none after ``timeout`` seconds."""
        found: list[Asked] = []
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
        except BaseException as error:  # an exporter's SystemExit must not end the thread
            if passes(error):
                raise
            state.guard.error("export", error)
        state.export_seconds += time.perf_counter() - began
        self.heard = delivered
        return delivered

    def _export(self, deadline: float) -> Answer:
        settings = self._state.settings
        timeout = settings.export_timeout if not deadline else max(0.05, deadline - time.monotonic())
        if self._lacking:
            self.prepare()
        with self._state.turns:
            collected = self.collect()
        counted = collected.counted
        answer = self._lacking.get("metrics") or Answer(delivered=True)
        if self._exporter is not None:
            answer = self._exporter.export(collected, timeout)
        spans = self._lacking.get("spans") or self.spans.flush(timeout)
        if answer.rejected:
            self._state.guard.drop("rejected", answer.rejected, answer.problem)
        for signal, one in (("metrics", answer), ("spans", spans)):
            self._tell(signal, one)
        if answer.delivered:
            self._sent.counted = counted
        return answer if not answer.delivered else spans

    def _tell(self, signal: str, answer: Answer) -> None:
        guard = self._state.guard
        if answer.problem and not answer.delivered:
            kept = "Counts are kept and sent later."
            if signal in self._lacking:
                kept = kept if signal == "metrics" else "Until then there are none."
            elif signal == "spans":
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
