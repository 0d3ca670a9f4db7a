"""A FastAPI service with two versions of a scikit-learn model; what mlobs takes is marked by its name.

    opentelemetry-instrument uvicorn quickstart.app:app

Where it sends to, and who it is, is said by OpenTelemetry's own variables.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final

import numpy as np
from fastapi import Body, FastAPI, HTTPException, Response
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import mlobs

from .flats import Flat, flats, numbers, sells

MODEL: Final = "flat-sale"
LEARNED: Final = 6_000  # flats that the models learn from, and half as many that say how good their scores are
CHALLENGED: Final = float(os.environ.get("CHALLENGER_SHARE", "0.2"))  # of the requests, those that version 2 answers
# Of a flat that will not sell the agency pays for photographs and furniture. Euro, by (predicted, actual).
COSTS: Final[Mapping[tuple[Any, Any], float]] = {
    (True, True): 120.0,
    (True, False): -90.0,
    (False, True): -25.0,
    (False, False): 60.0,
}

log = logging.getLogger("uvicorn.error")


def learn() -> tuple[Callable[[Flat], float], Callable[[Flat], float]]:
    """Both versions of the model, fitted and observed: the champion and its challenger."""
    rng = np.random.default_rng(7)
    known = flats(rng, LEARNED + LEARNED // 2)
    sold = rng.random(len(known)) < [sells(flat) for flat in known]
    for flat in known[::100]:  # nobody knows, in training as later
        flat["age"] = None
    seen = np.array([numbers(flat) for flat in known])
    first, held = slice(LEARNED), slice(LEARNED, None)
    simple = make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression()).fit(seen[first], sold[first])
    trees = HistGradientBoostingClassifier(max_iter=60, random_state=0).fit(seen[first], sold[first])

    observed = []
    for version, variant, model in (("1", "champion", simple), ("2", "challenger", trees)):
        scores = model.predict_proba(seen)[:, 1]
        columns = {name: [flat[name] for flat in known[first]] for name in known[0]}
        reference = mlobs.Profile.build(columns, outputs=scores[first], model=MODEL, version=version)
        mlobs.objective(
            model=MODEL,
            version=version,
            task="binary",
            costs=COSTS,
            currency="EUR",
            calibration=(scores[held], sold[held]),
        )

        def probability(flat: Flat, model: Any = model) -> float:
            return float(model.predict_proba([numbers(flat)])[0, 1])

        watch = mlobs.observe(
            model=MODEL, version=version, variant=variant, reference=reference, inputs="flat", operation="predict"
        )
        observed.append(watch(probability))
    champion, challenger = observed
    return champion, challenger


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Learn, then serve; what was counted and traced is sent before the process ends."""
    keys = None if "MLOBS_TICKET_KEYS" in os.environ else [secrets.token_hex(32)]  # good for one process only
    mlobs.configure(ticket_keys=keys, cpu_price=0.04, currency="EUR")
    app.state.versions = learn()
    yield
    mlobs.shutdown()
    # uvicorn ends the process by the signal it got, and OpenTelemetry's own exit handlers do not run then.
    for provider in (trace.get_tracer_provider(), metrics.get_meter_provider()):
        if isinstance(provider, (TracerProvider, MeterProvider)):
            provider.force_flush(2_000)


app = FastAPI(title=MODEL, lifespan=lifespan)


@app.get("/healthz")
def alive() -> dict[str, str]:
    """Whether the process answers."""
    return {"status": "alive"}


@app.get("/readyz")
def ready(response: Response) -> dict[str, str]:
    """Whether there is a model to answer with."""
    if not hasattr(app.state, "versions"):
        response.status_code = 503
        return {"status": "learning"}
    return {"status": "ready"}


@app.post("/predict")
def predict(flat: Annotated[Flat, Body()]) -> dict[str, Any]:
    """How likely a flat is to sell within a month, and the ticket with which to tell what came of it."""
    champion, challenger = app.state.versions
    version = challenger if secrets.SystemRandom().random() < CHALLENGED else champion
    try:
        probability = version(flat)
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise HTTPException(422, detail=f"{type(error).__name__}: {error}") from error
    return {"probability": probability, "sells": probability >= 0.5, "ticket": mlobs.ticket()}


@app.post("/outcome", status_code=202)
def outcome(ticket: Annotated[str, Body()], *, sold: Annotated[bool, Body()]) -> None:
    """What came of a flat."""
    mlobs.outcome(ticket, actual=sold)


@app.post("/visit", status_code=202)
def visit(ticket: Annotated[str, Body()], fee: Annotated[float, Body()]) -> None:
    """Somebody paid to look at a flat: money that a prediction brought."""
    mlobs.business("visit", value=fee, currency="EUR", ticket=ticket)


@app.post("/hooks/alerts", status_code=202)
def alerts(message: Annotated[dict[str, Any], Body()]) -> None:
    """What Alertmanager posts; a real service would begin to train here."""
    for alert in message.get("alerts", []):
        labels = alert.get("labels", {})
        log.warning("%s %s: %s", alert.get("status"), labels.get("alertname"), labels.get("model_name"))
