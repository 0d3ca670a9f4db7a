"""What is observed: a FastAPI service that tells whether a flight will land late.

Two lines of it are mlobs: the decorator, and the middleware that hands a ticket out with each answer.
"""

from __future__ import annotations

import socket
import sys
from contextlib import asynccontextmanager
from multiprocessing import parent_process
from typing import TYPE_CHECKING, Annotated, Any, Final

import uvicorn
from fastapi import Body, FastAPI, HTTPException
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

import mlobs
from mlobs.demo import stakes
from mlobs.demo.delay_model import DelayModel
from mlobs.demo.orphan import end_with_parent
from mlobs.demo.place import Place
from mlobs.demo.workers import WORKERS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_TRACED: Final = 0.02  # the share of requests whose trace is recorded
_KEEP_ALIVE: Final = 60  # seconds; longer than any pause of the traffic


def create() -> FastAPI:
    """Return the application; its model is loaded when a worker starts."""
    app = FastAPI(title=stakes.MODEL, lifespan=_lifespan)
    app.add_middleware(mlobs.asgi)
    tracer = _tracer()

    @app.post("/predict")
    async def predict(flight: Annotated[dict[str, Any], Body()]) -> dict[str, float]:
        with tracer.start_as_current_span("POST /predict", kind=trace.SpanKind.SERVER):
            try:  # on the event loop: a fraction of a millisecond is not worth a thread
                return {"late": app.state.predict(flight)}
            except (KeyError, TypeError, ValueError) as error:
                raise HTTPException(422, detail=f"{type(error).__name__}: {error}") from error

    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    supervisor = parent_process()
    if supervisor is not None and supervisor.pid is not None:
        end_with_parent(supervisor.pid)
    place = Place.from_environment()
    try:
        stakes.declare(place.calibration)
        model = DelayModel.load(place.model)

        @mlobs.observe(model=stakes.MODEL, version="1", reference=place.reference)
        def predict(flight: dict[str, Any]) -> float:
            return model.probability(flight)

        app.state.predict = predict
    except Exception as error:
        place.leave("failed", f"{type(error).__name__}: {error}")
        raise
    place.leave("ready", "")
    yield
    mlobs.shutdown()


def _tracer() -> trace.Tracer:
    provider = TracerProvider(sampler=ParentBasedTraceIdRatio(_TRACED))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), schedule_delay_millis=1000))
    trace.set_tracer_provider(provider)
    return provider.get_tracer(stakes.MODEL)


def main(parent: int) -> None:
    """Serve with uvicorn's own supervisor and worker processes, until told to stop or the parent process is gone."""
    end_with_parent(parent)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        # Handed down to each connection: without it every answer waits 40 ms for its headers to be acknowledged, since
        # asyncio does not know a socket that workers share for TCP.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        Place.from_environment().leave("port", str(listening.getsockname()[1]))
        uvicorn.run(
            "mlobs.demo.service:create",
            factory=True,
            fd=listening.fileno(),
            workers=WORKERS,
            access_log=False,
            log_level="warning",
            timeout_keep_alive=_KEEP_ALIVE,
        )


if __name__ == "__main__":
    main(int(sys.argv[1]))
