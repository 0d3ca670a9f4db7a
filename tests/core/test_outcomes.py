"""A prediction's ticket finds its way back with the truth, from any task, thread and process."""

from __future__ import annotations

import asyncio
import math
import secrets
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import polars as pl
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

import mlobs
from mlobs import testing
from mlobs.api import runtime
from mlobs.core.ended import LAST
from mlobs.testing import Telemetry

KEY = secrets.token_hex(32)


@pytest.fixture
def sealed(tmp_path: Path) -> Iterator[Telemetry]:
    """Telemetry where tickets can be had, and ids join in a file of the test's own."""
    with testing.capture(ticket_keys=(KEY,), join_store=str(tmp_path / "joins.sqlite")) as captured:
        yield captured


def unjoined(telemetry: Telemetry, reason: str) -> float:
    return telemetry.total("mlobs.outcome.unjoined", reason=reason)


def dropped(telemetry: Telemetry, reason: str) -> float:
    return telemetry.total("mlobs.sdk.dropped", reason=reason)


def test_a_ticket_brings_the_truth_back(sealed: Telemetry) -> None:
    """The truth counts for the model, version and variant of the call; the second time it is a duplicate."""
    predict = mlobs.observe(model="churn", version="7", variant="challenger")(lambda row: 0.7)
    predict([1.0])
    ticket = mlobs.ticket()
    assert mlobs.outcome(ticket, actual=True)
    assert not mlobs.outcome(ticket, actual=True)
    assert sealed.total("mlobs.outcome.expected", model_version="7", model_variant="challenger") == 1
    assert sealed.total("mlobs.outcome.joined", model_version="7", model_variant="challenger") == 1
    assert sealed.total("mlobs.outcome.confusion", predicted="1", actual="1") == 1
    assert sealed.total("mlobs.outcome.delay") == 1
    assert unjoined(sealed, "duplicate") == 1


def test_a_refused_truth_leaves_the_ticket_good(sealed: Telemetry) -> None:
    """After NaN the truth itself still counts."""
    mlobs.observe(model="m")(lambda row: 0.7)([1.0])
    ticket = mlobs.ticket()
    assert not mlobs.outcome(ticket, actual=float("nan"))
    assert mlobs.outcome(ticket, actual=1)
    assert unjoined(sealed, "invalid") == 1


@pytest.mark.parametrize("ticket", [None, "", "nonsense", 3, b"\xff", "A" * 10_000])
def test_what_is_no_ticket_is_counted(sealed: Telemetry, ticket: Any) -> None:
    """Nothing is raised into a service that is handed anything."""
    assert not mlobs.outcome(ticket, actual=True)
    assert unjoined(sealed, "damaged") == 1


def test_rows_have_tickets_of_their_own(sealed: Telemetry) -> None:
    """Probabilities of several rows: one ticket a row, each with its row's score."""
    mlobs.objective(model="m", task="binary", threshold=0.5)
    predict = mlobs.observe(model="m")(lambda rows: np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]]))
    predict([[1.0], [2.0], [3.0]])
    tickets = mlobs.tickets()
    assert [mlobs.outcome(one, actual=truth) for one, truth in zip(tickets, (0, 1, 0), strict=True)] == [True] * 3
    assert mlobs.quality()["m"].confusion == {("0", "0"): 1, ("1", "1"): 1, ("1", "0"): 1}


def test_an_answer_without_rows_has_no_tickets(sealed: Telemetry) -> None:
    """Nothing was predicted, and nothing is expected; an answer that cannot be read is one prediction all the same."""
    predict = mlobs.observe(model="m")(lambda x: x)
    nothing: tuple[Any, ...] = ([], (), np.zeros(0), np.zeros((0, 2)))
    for empty in nothing:
        predict(empty)
        assert mlobs.tickets() == []
        assert mlobs.ticket() is None
        assert mlobs.remember("id") is False
    with_header: list[Any] = []
    mlobs.wsgi(lambda environ, start: [predict([]), start("200 OK", [], exc_info=None)])(
        {}, lambda status, headers, exc_info=1: with_header.append((headers, exc_info))
    )
    assert with_header == [([], None)]
    assert sealed.total("mlobs.outcome.expected") == 0
    assert sealed.total("mlobs.sdk.dropped", reason="ticket_call") == 8
    predict([])
    assert mlobs.ticket(label="a", score=0.5) is not None
    predict(object())
    assert len(mlobs.tickets()) == 1


def test_who_asks_twice_gets_the_same_ticket(sealed: Telemetry) -> None:
    """In the body and in the header it is one prediction, and it is expected once; what one says of it is another."""
    mlobs.observe(model="m")(lambda rows: [0.2, 0.7, 0.9])([[1.0]] * 3)
    calls: list[Any] = [LAST.get()]
    tickets = mlobs.tickets()
    assert runtime.outcomes.tickets.header(calls) == ",".join(tickets) == ",".join(mlobs.tickets())
    assert mlobs.ticket() == tickets[0]
    assert sealed.total("mlobs.outcome.expected") == 3
    assert mlobs.ticket(score=0.5) not in tickets
    mlobs.observe(model="m")(lambda row: 0.7)([1.0])
    assert mlobs.ticket() == mlobs.ticket() != tickets[0]


@pytest.mark.parametrize("rows", [2, 3])
def test_the_first_row_keeps_its_ticket(sealed: Telemetry, rows: int) -> None:
    """Whoever asks for one, and then for all, or for the header, gets it again among them, and it is expected once."""
    predict = mlobs.observe(model="m")(lambda scores: scores)
    calls: list[Any] = []
    for ask in (mlobs.tickets, lambda: str(runtime.outcomes.tickets.header(calls)).split(",")):
        before = sealed.total("mlobs.outcome.expected")
        predict([0.2, 0.7, 0.9][:rows])
        calls[:] = [LAST.get()]
        first = mlobs.ticket()
        assert mlobs.ticket() == first
        tickets = ask()
        assert tickets[0] == first
        assert len(set(tickets)) == rows
        assert mlobs.tickets() == tickets
        assert mlobs.ticket() == first
        assert sealed.total("mlobs.outcome.expected") - before == rows


def test_inside_a_call_one_says_what_it_will_be(sealed: Telemetry) -> None:
    """A ticket taken inside is that call's; what is given is what is sealed."""

    @mlobs.observe(model="m")
    def predict(row: list[float]) -> dict[str, Any]:
        return {"late": 0.9, "ticket": mlobs.ticket(label="late", score=0.9)}

    assert mlobs.outcome(predict([1.0])["ticket"], actual="late")
    assert mlobs.quality()["m"].confusion == {("late", "late"): 1}


def test_inside_and_in_the_header_it_is_one_prediction(sealed: Telemetry) -> None:
    """A ticket that a function takes of its own call is the one that the request's answer carries."""

    @mlobs.observe(model="m")
    def predict(rows: list[list[float]]) -> list[float]:
        asked.append(mlobs.ticket(score=0.7))
        assert mlobs.ticket() == asked[-1]
        return [0.7] * len(rows)

    asked: list[str | None] = []
    predict([[1.0]])
    calls: list[Any] = [LAST.get()]
    assert runtime.outcomes.tickets.header(calls) == asked[0] == mlobs.ticket()
    assert sealed.total("mlobs.outcome.expected") == 1
    predict([[1.0], [2.0]])  # its own is of one row, and there are two
    header = runtime.outcomes.tickets.header([LAST.get()])  # type: ignore[list-item]
    assert header is not None
    assert len({*header.split(","), *asked}) == 4
    assert sealed.total("mlobs.outcome.expected") == 4

    @mlobs.observe(model="m")
    def fails(row: list[float]) -> float:
        assert mlobs.ticket() is not None
        return row[0] / 0

    with pytest.raises(ZeroDivisionError):
        fails([1.0])
    assert mlobs.ticket() is None


def test_users_never_get_each_others_tickets(sealed: Telemetry) -> None:
    """Tasks that run in turns, threads, and a call that failed: a ticket is the own call's or none."""
    predict = mlobs.observe(model="m")(lambda row: f"user-{row[0]}")

    async def user(number: int) -> None:
        predict([number])
        await asyncio.sleep(0.001 * (number % 3))
        assert mlobs.outcome(mlobs.ticket(), actual=f"user-{number}")

    async def main() -> None:
        await asyncio.gather(*(user(number) for number in range(15)))

    asyncio.run(main())
    assert mlobs.quality()["m"].accuracy == 1.0
    found: list[str | None] = []
    thread = threading.Thread(target=lambda: found.append(mlobs.ticket()))
    thread.start()
    thread.join()
    failing = mlobs.observe(model="m")(lambda row: 1 / 0)
    predict([1])
    with pytest.raises(ZeroDivisionError):
        failing([1])
    assert [mlobs.ticket(), *found] == [None, None]
    assert dropped(sealed, "ticket_call") == 2


def test_a_task_has_no_ticket_of_a_call_before_it(sealed: Telemetry) -> None:
    """What was called at the start, to warm up say, is in every later task's context, and is none of its calls."""
    predict = mlobs.observe(model="m")(lambda x: x)
    asked: list[str | None] = []

    async def serve(score: float) -> None:
        assert mlobs.ticket() is None
        await asyncio.to_thread(predict, score)
        assert mlobs.ticket() is None
        predict(score)
        mine = mlobs.ticket()
        await asyncio.sleep(0)
        assert mlobs.ticket() == mine
        asked.append(mine)

    async def all_of_them() -> None:
        predict(0.1)
        await asyncio.gather(*(serve(score) for score in (0.6, 0.7)))

    predict(0.1)
    asyncio.run(all_of_them())
    assert [mlobs.outcome(one, actual=True) for one in asked] == [True, True]
    assert len(set(asked)) == 2
    assert sealed.total("mlobs.sdk.dropped", reason="ticket_call") == 4


def test_an_answer_of_a_service_carries_its_tickets(sealed: Telemetry) -> None:
    """The header has the tickets of exactly this request's predictions, from threads too; without one there is none."""
    predict = mlobs.observe(model="m")(lambda row: f"user-{row[0]}")

    def in_a_thread(request: Request) -> JSONResponse:
        return JSONResponse(predict([request.path_params["user"]]))

    async def on_the_loop(request: Request) -> JSONResponse:
        return JSONResponse(predict([request.path_params["user"]]))

    app = Starlette(
        routes=[
            Route("/thread/{user}", in_a_thread),
            Route("/loop/{user}", on_the_loop),
            Route("/none", lambda request: JSONResponse(1)),
        ]
    )

    async def main() -> None:
        transport = httpx.ASGITransport(mlobs.asgi(app))
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            for number in range(10):
                for kind in ("thread", "loop"):
                    answer = await client.get(f"/{kind}/{number}")
                    assert mlobs.outcome(answer.headers["mlobs-ticket"], actual=answer.json())
            assert "mlobs-ticket" not in (await client.get("/none")).headers

    asyncio.run(main())
    assert mlobs.quality()["m"].accuracy == 1.0


def test_flask_carries_them_too(sealed: Telemetry) -> None:
    """The same by WSGI; a thread's next request without a prediction has no ticket of the one before."""
    from flask import Flask

    app = Flask("service")
    predict = mlobs.observe(model="m")(lambda row: 0.7)
    app.add_url_rule("/predict", view_func=lambda: str(predict([1.0])), endpoint="predict")
    app.add_url_rule("/none", view_func=lambda: str(mlobs.ticket()), endpoint="none")
    app.wsgi_app = mlobs.wsgi(app.wsgi_app)  # type: ignore[assignment,method-assign]
    client = app.test_client()
    assert mlobs.outcome(client.get("/predict").headers["mlobs-ticket"], actual=1)
    answer = client.get("/none")
    assert answer.text == "None"
    assert "mlobs-ticket" not in answer.headers


def test_another_process_redeems(sealed: Telemetry) -> None:
    """A process that has only the key counts the truth for the model that it never had."""
    mlobs.observe(model="churn", version="7")(lambda row: 0.7)([1.0])
    program = (
        "import mlobs, sys; mlobs.configure(ticket_keys=[sys.argv[1]]); "
        "print(mlobs.outcome(sys.argv[2], actual=True), mlobs.quality()['churn'].confusion)"
    )
    ticket = mlobs.ticket()
    assert ticket is not None
    said = subprocess.run([sys.executable, "-c", program, KEY, ticket], capture_output=True, text=True, timeout=60)
    assert said.stdout == "True {('1', '1'): 1}\n", said.stderr


def test_own_ids_join(sealed: Telemetry) -> None:
    """A remembered prediction and its truth meet in the store, once, whichever comes first."""
    predict = mlobs.observe(model="m")(lambda rows: [0.9, 0.2])
    assert mlobs.outcome(prediction_id="early", actual=0)
    predict([[1.0], [2.0]])
    assert mlobs.remember(["order-1", "early"])
    assert mlobs.outcome(prediction_id="order-1", actual=1)
    assert mlobs.outcome(prediction_id="order-1", actual=1)
    assert mlobs.quality()["m"].confusion == {("1", "1"): 1, ("0", "0"): 1}
    assert unjoined(sealed, "duplicate") == 1
    assert not mlobs.remember(["one", "too", "many"])
    assert dropped(sealed, "id_rows") == 3
    assert not mlobs.remember(object())  # type: ignore[arg-type]
    assert unjoined(sealed, "bad_id") == 1


def test_another_join_store(sealed: Telemetry, tmp_path: Path) -> None:
    """Ids that are told after `configure` meet in the store that it said, also where another was in use; no place is refused."""
    predict = mlobs.observe(model="m")(lambda x: x)
    predict([0.2])
    assert mlobs.remember("before")
    runtime.outcomes.settle()
    runtime.configure(runtime.settings.changed(join_store=str(tmp_path / "other.sqlite")))
    predict([0.7])
    assert mlobs.remember("after")
    for name in ("before", "after"):
        assert mlobs.outcome(prediction_id=name, actual=1)
    assert mlobs.quality()["m"].joined == 1
    assert (tmp_path / "other.sqlite").is_file()


def test_the_first_calls_may_be_given_ids(tmp_path: Path) -> None:
    """Without a key or an objective, too: the rows of a job's only call, in an array or a series, and what its business was."""
    for number, ids in enumerate((["a", "b"], ("c", "d"), np.array([5, 6]), pd.Series(["g", "h"]), pl.Series([9, 10]))):
        with testing.capture(join_store=str(tmp_path / f"{number}.sqlite")) as telemetry:
            mlobs.observe(model="m")(lambda x: x)([0.2, 0.7])
            assert mlobs.business("orders", value=5.0, currency="EUR")
            assert mlobs.remember(ids)
            assert telemetry.total("mlobs.outcome.expected") == 2
            assert telemetry.total("mlobs.business.events", model_name="m") == 1
            assert telemetry.total("mlobs.sdk.dropped") == 0


def test_first_answers_do_not_stay(telemetry: Telemetry) -> None:
    """Until somebody has asked for a ticket or an id, an answer's memory is free as soon as the program lets go of it."""
    predict = mlobs.observe(model="m")(np.ones)
    answer = predict(1000)
    alive = weakref.ref(answer)
    del answer
    assert alive() is None
    assert not mlobs.remember("a")  # it is gone
    predict(1)
    assert mlobs.remember("b")


def test_later_calls_are_not_kept_until_somebody_asks(telemetry: Telemetry) -> None:
    """After a thousand calls nobody pays for what nobody wants; the first who asks is told so, and the next gets it."""
    predict = mlobs.observe(model="m")(lambda x: 0.5)
    for _ in range(1001):
        predict([1.0])
    telemetry.collect()
    predict([1.0])
    assert not mlobs.business("orders", value=5.0, currency="EUR")
    assert telemetry.total("mlobs.sdk.dropped", reason="business_model") == 1
    predict([1.0])
    assert mlobs.business("orders", value=5.0, currency="EUR")


def test_an_event_id_is_one_of_its_kind_and_model(sealed: Telemetry) -> None:
    """An order's refund has the order's number, and another model may have sold something under it."""
    for kpi, model in (("order", "a"), ("refund", "a"), ("order", "b")):
        assert mlobs.business(kpi, value=1.0, currency="EUR", model=model, event_id="A-17")
        assert not mlobs.business(kpi, value=1.0, currency="EUR", model=model, event_id="A-17")
    assert sealed.total("mlobs.sdk.dropped", reason="business_duplicate") == 3


def test_what_was_said_once_is_no_class_that_is_told(sealed: Telemetry) -> None:
    """A text or a large number is told from five outcomes on, or where the objective names it; `quality` knows all."""
    predict = mlobs.observe(model="m")(lambda x: x)
    for label in ("a patient's name", "approved", "approved", 48213, 3, True):
        predict(label)
        assert mlobs.outcome(mlobs.ticket(), actual=label)
    told = {dict(key)["predicted"] for key in sealed.numbers("mlobs.outcome.confusion")}
    assert told == {"1", "3"}
    for _ in range(3):
        predict("approved")
        assert mlobs.outcome(mlobs.ticket(), actual="approved")
    assert sealed.total("mlobs.outcome.confusion", predicted="approved", actual="approved") == 5
    assert mlobs.quality()["m"].confusion["a patient's name", "a patient's name"] == 1
    mlobs.objective(model="m", classes=["a patient's name", "approved", "denied"])
    assert sealed.total("mlobs.outcome.confusion", predicted="a patient's name") == 1


def test_business_of_a_ticket_and_of_a_model(sealed: Telemetry) -> None:
    """Money counts for who made the prediction; events repeat only under another id; without a model they are counted."""
    mlobs.observe(model="m", version="2", variant="challenger")(lambda row: 0.7)([1.0])
    ticket = mlobs.ticket()
    assert mlobs.business("conversion", value=39.9, currency="EUR", ticket=ticket, event_id="e1")
    assert not mlobs.business("conversion", value=39.9, currency="EUR", ticket=ticket, event_id="e1")
    assert not mlobs.business("conversion", value=39.9, currency="EUR", ticket=ticket, event_id="")
    assert mlobs.business("conversion", value=10, currency="EUR", model="m", version="2", variant="challenger")
    assert not mlobs.business("prediction", value=10, currency="EUR", ticket=ticket)  # the cost matrix' own
    assert not mlobs.business("conversion", value=10, currency="EUR", model=[1])  # type: ignore[arg-type]
    assert not mlobs.business("conversion", value=float("inf"), currency="EUR", ticket=ticket)
    money = sealed.total("mlobs.business.value", model_version="2", model_variant="challenger", direction="gain")
    assert round(money, 6) == 49.9
    assert dropped(sealed, "business_duplicate") == dropped(sealed, "business_value") == 1
    assert (
        dropped(sealed, "business_model")
        == dropped(sealed, "business_event_id")
        == dropped(sealed, "business_kpi")
        == 1
    )


def test_scores_promise_a_quality(sealed: Telemetry) -> None:
    """With an objective the scores are counted, and accuracy, F1 and AUC are expected before any truth; the gap after."""
    mlobs.objective(model="m", task="binary")
    predict = mlobs.observe(model="m")(lambda rows: np.asarray(rows)[:, 0])
    scores = np.random.default_rng(3).random(2000)
    predict(scores.reshape(-1, 1))
    assert sealed.total("mlobs.prediction.score") == 2000
    promised = sealed.total("mlobs.quality.expected.ratio", measure="accuracy")
    assert abs(promised - np.maximum(scores, 1 - scores).mean()) < 0.01
    for ticket, score in zip(mlobs.tickets(), scores.tolist(), strict=True):
        mlobs.outcome(ticket, actual=score < 0.5)  # the world has turned round
    assert sealed.total("mlobs.quality.gap.ratio", measure="accuracy") < -0.7


def test_time_and_cost_of_models_stay_below_the_process(sealed: Telemetry) -> None:
    """CPU seconds of all models, pools included, never exceed the process' own; GPU time and prices make a cost."""
    mlobs.configure(cpu_price=3600.0, gpu_price=7200.0, currency="EUR", ticket_keys=[KEY])

    def work(row: list[float]) -> float:
        mlobs.gpu_time(0.5)
        return float(np.sin(np.arange(30_000.0)).sum())

    for model in ("a", "b"):
        predict = mlobs.observe(model=model)(work)
        for _ in range(300):
            predict([1.0])
    cpu = sealed.total("mlobs.prediction.cpu.time") + sealed.total("mlobs.prediction.cpu.pool.time")
    assert 0 < cpu <= sealed.total("process.cpu.time") + 0.02  # ticks of a hundredth, of user and of system
    assert sealed.total("mlobs.prediction.gpu.time", model_name="a") == 150
    assert sealed.total("mlobs.prediction.cost", hardware="gpu", currency="EUR") == 600
    assert sealed.total("mlobs.prediction.cost", hardware="cpu") == pytest.approx(cpu)
    mlobs.configure(gpu_price=3600.0, currency="USD", ticket_keys=[KEY])
    predict([1.0])
    costs = {
        currency: sealed.total("mlobs.prediction.cost", hardware="gpu", currency=currency)
        for currency in ("EUR", "USD")
    }
    assert costs == {"EUR": 600, "USD": 0.5}  # what was paid in one currency stays paid in it


@pytest.mark.parametrize("seconds", [1e308, "3", True, math.nan, -1.0])
def test_gpu_time_that_cannot_be_is_counted(sealed: Telemetry, seconds: Any) -> None:
    """A text, or a time longer than any process lives: the sum stays a number."""

    def work(row: list[float]) -> float:
        mlobs.gpu_time(seconds)
        mlobs.gpu_time(np.array(0.25))  # type: ignore[arg-type]
        mlobs.gpu_time(Decimal("0.25"))  # type: ignore[arg-type]
        return 0.5

    predict = mlobs.observe(model="m")(work)
    for _ in range(10):
        predict([1.0])
    assert sealed.total("mlobs.prediction.gpu.time") == 5
    assert dropped(sealed, "gpu_time") == 10


@pytest.mark.parametrize("moment", [10**400, math.nan, "yesterday", True])
def test_a_time_that_is_none_is_told(moment: Any) -> None:
    """Seconds are finite numbers."""
    with pytest.raises(mlobs.ConfigurationError, match=r"quality\(since=.*expected seconds.*Try: "):
        mlobs.quality(since=moment)


def test_without_a_key_there_is_no_ticket_and_it_is_told(telemetry: Telemetry) -> None:
    """No key, a bad key, and neither ticket nor id."""
    mlobs.observe(model="m")(lambda row: 0.7)([1.0])
    assert mlobs.ticket() is None
    assert dropped(telemetry, "ticket_key") == 1
    with pytest.raises(mlobs.ConfigurationError, match="openssl rand"):
        mlobs.configure(ticket_keys=["secret"])
    with pytest.raises(mlobs.ConfigurationError, match="one of them"):
        mlobs.outcome(actual=True)  # type: ignore[call-overload]


def test_settings_that_change_are_followed(sealed: Telemetry) -> None:
    """Keys that are taken away give no tickets; a shorter life, and a shorter memory, hold at once."""
    predict = mlobs.observe(model="m")(lambda row: 0.7)

    def told() -> str | None:
        predict([1.0])
        return mlobs.ticket()

    ticket = told()
    mlobs.configure(ticket_keys=[KEY], ticket_ttl=1e-9)
    assert not mlobs.outcome(ticket, actual=True)
    assert unjoined(sealed, "expired") == 1
    mlobs.configure(enabled=True)
    assert mlobs.ticket() is None
    mlobs.configure(ticket_keys=[KEY], outcome_memory=2)
    tickets = [told() for _ in range(6)]
    assert all(mlobs.outcome(one, actual=True) for one in tickets)
    assert mlobs.outcome(tickets[0], actual=True)  # forgotten
    assert not mlobs.outcome(tickets[-1], actual=True)


@pytest.mark.parametrize("task", ["binary", None])
def test_margins_are_no_probabilities(sealed: Telemetry, task: Any) -> None:
    """Whatever a `decision_function` answers between 0 and 1: its rows are outputs like others, and judged by nothing."""
    if task:
        mlobs.objective(model="m", task=task)
    mlobs.observe(model="m", operation="decision_function")(lambda rows: np.array([0.2, 0.8, 1.4] * 20))([[1.0]])
    assert all(mlobs.outcome(ticket, actual=1) for ticket in mlobs.tickets())
    quality = mlobs.quality()["m"]
    assert (quality.joined, quality.confusion, quality.auc) == (60, {}, None)
    assert dropped(sealed, "truth_unjudged") == 60
    assert dropped(sealed, "score_unread") == (60 if task else 0)
    assert [one.observed for one in sealed.histograms("mlobs.feature.value", role="output")] == [60]  # type: ignore[union-attr]


def test_many_rows_are_no_header(sealed: Telemetry) -> None:
    """The tickets of a large answer stay out of the header, and every row is counted."""
    mlobs.observe(model="m")(lambda rows: np.zeros(5000))([[1.0]])
    handed = LAST.get()
    assert handed is not None
    assert runtime.outcomes.tickets.header([handed]) is None
    assert dropped(sealed, "ticket_header") == 5000
    words = mlobs.observe(model="words")(lambda rows: ["never" * 60] * len(rows))
    words([[1.0]] * 4)
    assert len(runtime.outcomes.tickets.header([LAST.get()]) or "") < 4000  # type: ignore[list-item]
    words([[1.0]] * 12)  # more than what stands before many servers takes for all headers
    assert runtime.outcomes.tickets.header([LAST.get()]) is None  # type: ignore[list-item]
    assert dropped(sealed, "ticket_header") == 5012


def test_a_predicted_number_is_never_the_name_of_a_class(sealed: Telemetry) -> None:
    """Text as the truth of a float is refused, and the float is told nowhere."""
    mlobs.observe(model="m")(lambda row: 0.7312)([1.0])
    assert not mlobs.outcome(mlobs.ticket(), actual="late")
    assert unjoined(sealed, "invalid") == 1
    assert mlobs.quality()["m"].confusion == {}
