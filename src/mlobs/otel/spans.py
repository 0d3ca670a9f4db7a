"""Spans of observed calls: whose tracer makes them, and how they leave where the user set no provider."""

from __future__ import annotations

import _thread
import queue
import threading
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace

from mlobs.otel import names
from mlobs.otel.answer import Answer, undelivered
from mlobs.otel.chosen import chosen
from mlobs.otel.told import tell
from mlobs.otel.way import way

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Tracer, TracerProvider

    from mlobs.otel.way import Way

_QUEUE: Final = 2048  # spans, as OTEL_BSP_MAX_QUEUE_SIZE's default
_BATCH: Final = 512
_MOST: Final = 2_000_000  # bytes of a request
_LEAST: Final = 0.05  # seconds for a request of a flush whose time is nearly over


class Spans:
    """Gives the tracer of mlobs' spans.

    If the user (or ``opentelemetry-instrument``) set a tracer provider, spans are theirs. If not, mlobs has a
    provider of its own, which is not made global: its spans wait in a bounded queue and go out with the metrics.
    ``waiting`` is that queue; it outlives new settings, and what is in it goes where the new ones say.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        resource: Callable[[], Resource],
        dropped: Callable[[str, int, str], None],
        *,
        endpoint: str | None = None,
        provider: TracerProvider | None = None,
        waiting: deque[ReadableSpan] | None = None,
    ) -> None:
        self._environ = environ
        self._resource = resource
        self._dropped = dropped
        self._endpoint = endpoint
        self._given = provider
        self._provider: TracerProvider | None = None
        self._mine: TracerProvider | None = None
        self._tracer: Tracer | None = None
        self._queue: deque[ReadableSpan] = deque() if waiting is None else waiting
        self._exporter: SpanExporter | Way | None = None

    @property
    def ready(self) -> bool:
        """Whether a span can be begun without loading anything."""
        return self._given is not None or self._tracer is not None or not _unset(trace.get_tracer_provider())

    def prepare(self) -> None:
        """Load and make what the first span needs."""
        if self.tracer is not None and self._exporter is not None:
            from opentelemetry.exporter.otlp.proto.common import trace_encoder  # noqa: F401 - not at import

    def give_up(self) -> None:
        """Make no spans of our own: there is no way left to send them."""
        self._mine = trace.NoOpTracerProvider()

    @property
    def tracer(self) -> Tracer:
        """The tracer, looked up again whenever the user's provider changes."""
        provider = self._given or trace.get_tracer_provider()
        if _unset(provider):
            provider = self._own()
        if provider is not self._provider or self._tracer is None:
            self._provider = provider
            self._tracer = provider.get_tracer(names.SCOPE)
        return self._tracer

    def _own(self) -> TracerProvider:
        if self._mine is not None:
            return self._mine
        wanted = self._wanted()
        if wanted == "none":
            self._mine = trace.NoOpTracerProvider()
            return self._mine
        from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

        from mlobs.otel.ids import Ids

        queue, dropped = self._queue, self._dropped

        class Enqueue(SpanProcessor):
            """Puts a finished span in the queue; where there is no room the oldest goes."""

            def on_end(self, span: ReadableSpan) -> None:
                if not span.context.trace_flags.sampled:
                    return
                while len(queue) >= _QUEUE:
                    with suppress(IndexError):  # an export has just taken what waited
                        queue.popleft()
                        dropped("span_queue_full", 1, "")
                queue.append(span)

        provider = TracerProvider(resource=self._resource(), id_generator=Ids(), shutdown_on_exit=False)
        provider.add_span_processor(Enqueue())
        try:
            self._exporter = self._exporter or self._make_exporter(wanted)
        except Exception:
            if threading.main_thread().is_alive():
                raise
            self.give_up()  # grpc, for one, cannot be loaded any more
            tell("no spans are sent: the program ended before their exporter was loaded. End it with mlobs.flush().")
        self._mine = self._mine or provider
        return self._mine

    def _wanted(self) -> str:
        if self._environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
            return "none"
        return chosen(self._environ, "traces")

    def _make_exporter(self, wanted: str) -> SpanExporter | Way:
        if wanted == "console":
            from opentelemetry.sdk.trace.export import ConsoleSpanExporter

            return ConsoleSpanExporter()
        return way(self._environ, "traces", self._endpoint)

    def flush(self, timeout: float) -> Answer:
        """Send what waits in the queue; what cannot be sent now but may be later stays there. Never raises."""
        deadline = time.monotonic() + timeout
        most, rejected, problem = _BATCH, 0, ""
        while self._queue:
            batch = [self._queue.popleft() for _ in range(min(most, len(self._queue)))]
            answer = self._send(batch, max(_LEAST, deadline - time.monotonic()))
            if answer.large and len(batch) > 1:
                most = len(batch) // 2
                self._queue.extendleft(reversed(batch))
                continue
            if not answer.delivered:
                if answer.retryable:
                    self._queue.extendleft(reversed(batch))
                else:
                    self._dropped("span_refused", len(batch), "")
                return answer
            if answer.rejected:
                self._dropped("span_refused", answer.rejected, answer.problem)
                rejected, problem = rejected + answer.rejected, answer.problem
        return Answer(delivered=True, rejected=rejected, problem=problem)

    def settle(self, timeout: float) -> None:
        """Have the program's own provider send what waits in it, and wait for that ``timeout`` seconds. Never raises.

        A signal handler may ask. So it is done on a bare thread: the interrupted one may be starting a `Thread`, or hold a lock
        that the provider waits for.
        """
        provider = self._provider
        flush = getattr(provider, "force_flush", None)
        if flush is None or provider is self._mine or timeout <= 0:
            return
        over: queue.SimpleQueue[None] = queue.SimpleQueue()

        def run() -> None:
            with suppress(Exception):  # theirs
                flush(int(timeout * 1000))
            over.put(None)

        with suppress(Exception):  # no thread can be started, or it takes too long
            _thread.start_new_thread(run, ())
            over.get(timeout=timeout)

    def _send(self, batch: Sequence[ReadableSpan], timeout: float) -> Answer:
        if self._exporter is None:  # they waited while the settings changed, and no span was made since
            wanted = self._wanted()
            if wanted == "none":
                self._dropped("span_unsent", len(batch), "")
                return Answer(delivered=True)
            try:
                self._exporter = self._make_exporter(wanted)
            except Exception as error:  # noqa: BLE001 - of gRPC, say; the host goes on
                problem = f"their exporter cannot be made ({type(error).__name__})."
                return Answer(delivered=False, retryable=True, problem=problem)
        exporter: Any = self._exporter
        if hasattr(exporter, "post"):
            from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

            from mlobs.otel.partial import judged

            body = encode_spans(batch).SerializeToString()
            if len(body) > _MOST and len(batch) > 1:
                return Answer(delivered=False, large=True)
            return judged(exporter.post(body, timeout), exporter.endpoint, spans=True)
        from opentelemetry.sdk.trace.export import SpanExportResult

        try:
            delivered = exporter.export(batch) is SpanExportResult.SUCCESS
        except Exception as error:  # noqa: BLE001 - a foreign exporter may raise anything
            return undelivered(exporter, error)
        return Answer(delivered=True) if delivered else undelivered(exporter)


def _unset(provider: TracerProvider) -> bool:
    """Whether nobody has set a tracer provider yet."""
    return isinstance(provider, trace.ProxyTracerProvider)
