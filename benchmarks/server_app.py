"""The service that `server.py` measures: FastAPI and a scikit-learn model behind one uvicorn worker.

`python server_app.py KIND ENDPOINT` prints its port and serves until its standard input closes. KIND is `bare`, `mlobs`,
`otel` (OpenTelemetry's FastAPI instrumentation, SDK and OTLP exporters at their defaults) or `both`.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable
from threading import Thread
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import uvicorn
from fastapi import Body, FastAPI
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

FEATURES = 10
INTERVAL = 5.0
SERVICE = "benchmark"
Predict = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]


def training() -> npt.NDArray[np.float64]:
    """Return ten thousand rows, always the same."""
    return np.random.default_rng(7).normal(size=(10_000, FEATURES))


def model(rows: npt.NDArray[np.float64]) -> Predict:
    """Fit a small model; its predict_proba."""
    found: Predict = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, rows.sum(axis=1) > 0).predict_proba
    return found


def service(predict: Predict) -> FastAPI:
    """Return the application: a row of named numbers in, the probability out."""
    app = FastAPI()

    @app.post("/predict")
    async def answer(row: Annotated[dict[str, float], Body()]) -> dict[str, float]:
        return {"probability": float(predict(np.array([list(row.values())]))[0, 1])}

    return app


def observe(predict: Predict, rows: npt.NDArray[np.float64], endpoint: str) -> Predict:
    """Return the function observed with a reference and every default, exporting for real."""
    import mlobs

    mlobs.configure(service_name=SERVICE, endpoint=endpoint, export_interval=INTERVAL)
    reference = mlobs.Profile.build(rows, outputs=predict(rows))
    observed: Predict = mlobs.observe(model="served", version="1", reference=reference)(predict)
    return observed


def trace(app: FastAPI, endpoint: str) -> Callable[[], None]:
    """Turn OpenTelemetry's instrumentation on, exporting for real; returns what stops it."""
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create({"service.name": SERVICE})
    traces = TracerProvider(resource=resource)
    traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces")))
    trace.set_tracer_provider(traces)
    exporter = OTLPMetricExporter(endpoint=f"{endpoint}/v1/metrics")
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=INTERVAL * 1000)
    metrics = MeterProvider([reader], resource=resource)
    FastAPIInstrumentor.instrument_app(app, tracer_provider=traces, meter_provider=metrics)

    def stop() -> None:
        traces.shutdown()
        metrics.shutdown()

    return stop


def main() -> None:
    """Serve until standard input closes."""
    kind, endpoint = sys.argv[1:]
    rows = training()
    predict = model(rows)
    if kind in {"mlobs", "both"}:
        predict = observe(predict, rows, endpoint)
    app: Any = service(predict)
    stop = trace(app, endpoint) if kind in {"otel", "both"} else None
    if kind in {"mlobs", "both"}:
        import mlobs

        app.add_middleware(mlobs.asgi)
    # told that it is TCP: otherwise asyncio leaves TCP_NODELAY off, and each answer waits for an acknowledgement
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(128)
        print(listening.getsockname()[1], flush=True)
        server = uvicorn.Server(uvicorn.Config(app, access_log=False, log_level="warning", timeout_keep_alive=3600))

        def end_with_input() -> None:
            sys.stdin.read()
            server.should_exit = True

        Thread(target=end_with_input, daemon=True).start()
        asyncio.run(server.serve(sockets=[listening]))
    if stop is not None:
        stop()


if __name__ == "__main__":
    main()
