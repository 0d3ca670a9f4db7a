"""Batches of requests that wait elsewhere: whose span a prediction is under, how long each waited, whose ticket it is."""

from __future__ import annotations

import contextvars
import pickle
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import pandas as pd
import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from tests import told

import mlobs
from mlobs.api import registry, runtime
from mlobs.core.callers import Answer, Caller
from mlobs.core.ended import REQUEST
from mlobs.core.inside import INSIDE
from mlobs.core.predicted import predicted
from mlobs.hooks.patching import Patches
from mlobs.testing import Telemetry, capture

hooks = Patches(runtime, registry)
ROWS = np.ones((3, 2))


class Requests:
    """Spans of requests, each with its caller."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = provider.get_tracer("requests")

    def callers(self, stack: ExitStack, count: int) -> list[Caller]:
        """So many requests that are open until the stack closes."""
        found = []
        for number in range(count):
            span = stack.enter_context(self.tracer.start_as_current_span(f"r{number}", context=otel_context.Context()))
            assert trace.get_current_span() is span
            found.append(hooks.caller())
        return found

    @property
    def spans(self) -> dict[str, ReadableSpan]:
        return {span.name: span for span in self._exporter.get_finished_spans()}


@pytest.fixture
def requests() -> Requests:
    return Requests()


@pytest.fixture
def predict() -> Callable[[Any], Any]:
    @mlobs.observe(model="m")
    def predict(rows: Any) -> Any:
        return [0.5] * len(rows)

    return predict


def ids(span: ReadableSpan) -> tuple[int, int]:
    assert span.context is not None
    return span.context.trace_id, span.context.span_id


def links(span: ReadableSpan) -> list[tuple[int, int]]:
    return [(link.context.trace_id, link.context.span_id) for link in span.links]


def elsewhere(function: Callable[[], Any]) -> Any:
    """What a function returns in a thread that knows nothing of here."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(contextvars.Context().run(function)))
    thread.start()
    thread.join()
    return found[0]


def served(callers: Sequence[Any], work: Callable[[], Any], rows: Sequence[int] | None = None) -> Any:
    """Work done for callers in another thread."""

    def within() -> Any:
        with hooks.serving(callers, rows):
            return work()

    return elsewhere(within)


# ── spans ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("travelled", [False, True])
def test_one_caller_is_the_parent(
    travelled: bool, telemetry: Telemetry, requests: Requests, predict: Callable[[Any], Any]
) -> None:
    """A lone request's prediction is its child, in another thread or, pickled, in another process; nothing is linked."""
    with ExitStack() as stack:
        callers: list[Any] = requests.callers(stack, 1)
        if travelled:
            callers = pickle.loads(pickle.dumps(callers))
        assert served(callers, lambda: predict(ROWS)) == [0.5] * 3
    [span] = telemetry.spans
    request = requests.spans["r0"]
    assert span.parent is not None
    assert (span.parent.trace_id, span.parent.span_id) == ids(request)
    assert links(span) == links(request) == []


def test_several_callers_share_a_root_with_links_both_ways(
    telemetry: Telemetry, requests: Requests, predict: Callable[[Any], Any]
) -> None:
    """A batch has a trace of its own that names every request, and every request that is open names the batch."""
    with ExitStack() as stack:
        callers = requests.callers(stack, 3)
        served(callers, lambda: predict(ROWS))
    [span] = telemetry.spans
    found = requests.spans
    assert span.parent is None
    assert ids(span)[0] not in {ids(request)[0] for request in found.values()}
    assert links(span) == [ids(found[f"r{number}"]) for number in range(3)]
    assert [links(found[f"r{number}"]) for number in range(3)] == [[ids(span)]] * 3


def test_a_batch_in_another_process_is_linked_when_its_answer_comes(
    telemetry: Telemetry, requests: Requests, predict: Callable[[Any], Any]
) -> None:
    """Each request's span, as long as it is open, names every prediction of the batch once; a lone one's is its parent."""
    with ExitStack() as stack:
        nobody = hooks.caller()
        first, second, alone = requests.callers(stack, 3)
        waiting = [first, nobody, second]

        def batch() -> list[Any]:
            with hooks.serving(pickle.loads(pickle.dumps(waiting))) as served_there:
                predict(ROWS)
                predict(ROWS)
                return list(pickle.loads(pickle.dumps([*served_there.answers(), *served_there.answers()])))

        def lone() -> list[Any]:
            with hooks.serving(pickle.loads(pickle.dumps([alone]))) as served_there:
                predict(ROWS)
                return list(served_there.answers())

        answers = elsewhere(batch)
        assert answers[3:] == [None] * 3
        assert elsewhere(lone) == [None]
        for caller, answer in zip(waiting, answers, strict=False):
            caller.answered(answer)
    first.answered(answers[0])  # its request has ended
    batches = [ids(span) for span in telemetry.spans if span.parent is None]
    found = requests.spans
    assert [links(found[name]) for name in ("r0", "r1", "r2")] == [batches, batches, []]
    assert [links(span) for span in telemetry.spans if span.parent is None] == [
        [ids(found["r0"]), ids(found["r1"])]
    ] * 2


def test_a_request_that_is_over_is_linked_to_and_links_nowhere(
    telemetry: Telemetry, requests: Requests, predict: Callable[[Any], Any]
) -> None:
    """Whoever gave up waiting has a span that cannot be changed any more; pickled callers have none here."""
    with ExitStack() as stack:
        callers = requests.callers(stack, 2)
    served(callers, lambda: predict(ROWS))
    served(pickle.loads(pickle.dumps(callers)), lambda: predict(ROWS))
    expected = [ids(requests.spans[name]) for name in ("r0", "r1")]
    assert [links(span) for span in telemetry.spans] == [expected, expected]
    assert [links(request) for request in requests.spans.values()] == [[], []]


def test_each_prediction_of_a_block_has_its_span(
    telemetry: Telemetry, requests: Requests, predict: Callable[[Any], Any]
) -> None:
    """Two models asked for one batch: two roots, and each request links to both."""
    with ExitStack() as stack:
        callers = requests.callers(stack, 2)
        served(callers, lambda: (predict(ROWS), predict(ROWS)))
    made = [ids(span) for span in telemetry.spans]
    assert len(made) == 2
    assert [links(request) for request in requests.spans.values()] == [made, made]


def test_spans_of_others_in_a_block_are_a_lone_callers_children(
    telemetry: Telemetry, requests: Requests, predict: Callable[[Any], Any]
) -> None:
    """What the user traces around a lone request's prediction hangs under the request, and the prediction under that."""

    def work() -> None:
        with requests.tracer.start_as_current_span("prepare"):
            predict(ROWS)

    with ExitStack() as stack:
        served(requests.callers(stack, 1), work)
    [span] = telemetry.spans
    prepare = requests.spans["prepare"]
    assert prepare.parent is not None
    assert (prepare.parent.trace_id, prepare.parent.span_id) == ids(requests.spans["r0"])
    assert span.parent is not None
    assert (span.parent.trace_id, span.parent.span_id) == ids(prepare)


def test_a_block_has_none_of_the_context_it_is_entered_in(
    telemetry: Telemetry, requests: Requests, predict: Callable[[Any], Any]
) -> None:
    """A batching task that inherited the first request's context predicts for all; afterwards that context is back."""
    with ExitStack() as stack:
        callers = requests.callers(stack, 2)
        with requests.tracer.start_as_current_span("first") as first:
            with hooks.serving(callers):
                predict(ROWS)
            assert trace.get_current_span() is first
    [span] = telemetry.spans
    assert span.parent is None
    assert ids(requests.spans["first"]) not in links(span)


@pytest.mark.parametrize("count", [1, 3])
def test_unsampled_callers_have_no_span_below_them(
    count: int, telemetry: Telemetry, predict: Callable[[Any], Any]
) -> None:
    """Where no request of a batch is recorded, neither is its prediction, nor an error of it; it counts all the same."""
    tracer = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False).get_tracer("t")

    @mlobs.observe(model="m")
    def fail(rows: Any) -> None:
        raise LookupError

    def work() -> None:
        predict(ROWS)
        with pytest.raises(LookupError):
            fail(ROWS)

    callers = []
    for _ in range(count):
        with tracer.start_as_current_span("request"):
            callers.append(hooks.caller())
    served(callers, work)
    assert telemetry.spans == []
    assert told.calls(telemetry) == {("m", "predict"): 1, ("m", "fail"): 1}


def test_one_sampled_caller_is_enough(telemetry: Telemetry, requests: Requests, predict: Callable[[Any], Any]) -> None:
    """A batch is recorded for the one request that is."""
    tracer = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False).get_tracer("t")
    with ExitStack() as stack:
        [sampled] = requests.callers(stack, 1)
        with tracer.start_as_current_span("request"):
            served([hooks.caller(), sampled], lambda: predict(ROWS))
    [span] = telemetry.spans
    assert ids(requests.spans["r0"]) in links(span)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_callers_without_spans_count_down(count: int) -> None:
    """As what is nobody's child: one in a hundred by default, and all errors."""
    with capture(slow=60.0) as telemetry:
        predict = mlobs.observe(model="m")(lambda rows: 0.5)

        @mlobs.observe(model="f")
        def fail(rows: Any) -> None:
            raise LookupError

        callers = [elsewhere(hooks.caller) for _ in range(count)]
        for _ in range(201):
            served(callers, lambda: predict(ROWS))
        assert len(telemetry.spans) == 3
        with pytest.raises(LookupError), hooks.serving(callers):
            fail(ROWS)
        assert [span.parent for span in telemetry.spans] == [None] * 4


def test_an_error_passes_through_and_is_counted(
    telemetry: Telemetry, requests: Requests, predict: Callable[[Any], Any]
) -> None:
    """A batch that fails fails as it would, its span says so, and the thread is as it was."""

    @mlobs.observe(model="m")
    def fail(rows: Any) -> None:
        raise LookupError("theirs")

    def work() -> None:
        with pytest.raises(LookupError, match="theirs"), hooks.serving(callers):
            fail(ROWS)
        assert trace.get_current_span() is trace.INVALID_SPAN
        assert (INSIDE.get(), REQUEST.get()) == (False, None)

    with ExitStack() as stack:
        callers = requests.callers(stack, 2)
        elsewhere(work)
    assert told.errors(telemetry) == {"LookupError": 1}
    [span] = telemetry.spans
    assert len(links(span)) == 2
    assert span.status.status_code is trace.StatusCode.ERROR


# ── the queue ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_each_caller_has_waited_once(telemetry: Telemetry, predict: Callable[[Any], Any]) -> None:
    """The first prediction of a block tells the wait of each, from the moment it began to wait; later ones do not."""
    callers = [hooks.caller() for _ in range(3)]
    for caller, seconds in zip(callers, (1, 2, 3), strict=True):
        caller.since -= seconds * 10**9
    served(pickle.loads(pickle.dumps(callers)), lambda: (predict(ROWS), predict(ROWS)))
    assert told.stages(telemetry) == {"queue": 3}
    [histogram] = telemetry.histograms("mlobs.stage.duration")
    assert 6 <= histogram.total < 16  # type: ignore[union-attr]


def test_a_clock_that_goes_backwards_has_nobody_wait_less_than_nothing(
    telemetry: Telemetry, predict: Callable[[Any], Any]
) -> None:
    """The time of day may be set back while a request waits."""
    caller = hooks.caller()
    caller.since = time.time_ns() + 10**12
    served([caller], lambda: predict(ROWS))
    [histogram] = telemetry.histograms("mlobs.stage.duration")
    assert histogram.total == 0  # type: ignore[union-attr]


# ── what callers agree on ───────────────────────────────────────────────────────────────────────────────────────────


def test_what_all_ask_for_inside_an_observed_call_belongs_to_those_calls(
    telemetry: Telemetry, predict: Callable[[Any], Any]
) -> None:
    """A batch for observed functions only is a part of their calls; for one that is none it is a prediction."""
    made: list[Caller] = []

    @mlobs.observe(model="outer")
    def outer(rows: Any) -> float:
        made.append(hooks.caller())
        return 0.5

    outer(ROWS)
    outer(ROWS)
    served(pickle.loads(pickle.dumps(made)), lambda: predict(ROWS))
    assert told.calls(telemetry) == {("outer", "outer"): 2}
    served([*made, hooks.caller()], lambda: predict(ROWS))
    assert told.calls(telemetry) == {("outer", "outer"): 2, ("m", "predict"): 1}


@pytest.mark.parametrize(
    ("variants", "counted"),
    [(["b"], "b"), (["b", "b"], "b"), (["b", "c"], "champion"), (["b", None], "champion"), ([None, "b"], "champion")],
)
def test_a_variant_holds_where_all_agree(
    variants: list[str | None], counted: str, telemetry: Telemetry, predict: Callable[[Any], Any]
) -> None:
    """One batch has one variant: that of all its requests, else the model's own."""
    callers = []
    for name in variants:
        if name is None:
            callers.append(hooks.caller())
        else:
            with mlobs.variant(name):
                callers.append(hooks.caller())
    for given in (callers, pickle.loads(pickle.dumps(callers))):
        served(given, lambda: predict(ROWS))
    assert telemetry.total("mlobs.prediction.duration", model_variant=counted) == 2


# ── tickets ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def selling() -> Iterator[Telemetry]:
    """Telemetry of a process that gives tickets."""
    with capture(ticket_keys=[secrets.token_hex(32)]) as captured:
        yield captured


def asked(count: int) -> tuple[list[Caller], list[list[Any]]]:
    """Callers that are requests of this process, and what each is handed."""
    callers, handed = [], []
    for _ in range(count):
        calls: list[Any] = []
        token = REQUEST.set(calls)
        callers.append(hooks.caller())
        REQUEST.reset(token)
        handed.append(calls)
    return callers, handed


def said(handed: list[list[Any]]) -> list[list[list[Any]]]:
    """What the rows say that each request was handed: scores, or labels where they have none."""
    return [
        [[label if score is None else score for label, score in predicted(one, None)] for one in calls]
        for calls in handed
    ]


@pytest.mark.usefixtures("selling")
@pytest.mark.parametrize("kind", [list, np.array, pd.Series, lambda scores: [[1 - p, p] for p in scores]])
def test_each_request_has_the_tickets_of_its_own_rows(kind: Callable[[list[float]], Any]) -> None:
    """An answer, whatever holds it, is dealt out by how many rows each request gave; one that gave none has none."""
    predict = mlobs.observe(model="m")(lambda rows: kind([0.1, 0.2, 0.3, 0.4]))
    callers, handed = asked(4)
    served(callers, lambda: predict(np.ones((4, 2))), rows=[1, 2, 0, 1])
    assert said(handed) == [[[0.1]], [[0.2, 0.3]], [], [[0.4]]]


@pytest.mark.usefixtures("selling")
def test_columns_are_not_dealt_out_as_rows() -> None:
    """Labels and scores of two rows: each request has its row of both, and not one of them of both rows."""
    predict = mlobs.observe(model="m")(lambda rows: (np.array([0, 1]), np.array([0.1, 0.9])))
    callers, handed = asked(2)
    served(callers, lambda: predict(np.ones((2, 2))))
    assert [[predicted(one, None) for one in calls] for calls in handed] == [[[(0, 0.1)]], [[(1, 0.9)]]]


@pytest.mark.usefixtures("selling")
def test_what_nobody_reads_is_dealt_out_by_the_item() -> None:
    """A list of objects, one for each row: a ticket each, of which nothing is known."""
    predict = mlobs.observe(model="m")(lambda rows: [object() for _ in rows])
    callers, handed = asked(2)
    served(callers, lambda: predict(ROWS), rows=[1, 2])
    assert [[predicted(one, None) for one in calls] for calls in handed] == [[[(None, None)]], [[(None, None)] * 2]]
    callers, handed = asked(2)
    served(callers, lambda: predict(ROWS), rows=[1, 1])
    assert handed == [[], []]


@pytest.mark.parametrize("answer", [("yes", 0.93), [0.2, 0.8], np.array([0.2, 0.8])], ids=["pair", "list", "array"])
def test_answers_row_by_row_are_nobodys(answer: Any, selling: Telemetry) -> None:
    """A function that is called for each row of a batch, and answers with as many values as it has rows: no request gets any."""
    predict = mlobs.observe(model="m")(lambda row: answer)
    callers, handed = asked(2)
    served(callers, lambda: [predict(ROWS[:1]) for _ in range(2)])
    assert handed == [[], []]
    assert selling.total("mlobs.sdk.dropped", reason="ticket_header") > 0


@pytest.mark.usefixtures("selling")
def test_the_probabilities_of_one_row_are_one_request_s() -> None:
    """Where two requests have given a row between them."""
    mlobs.objective(model="m", task="binary")
    predict = mlobs.observe(model="m")(lambda row: np.array([0.2, 0.8]))
    callers, handed = asked(2)
    served(callers, lambda: predict(ROWS[:1]), rows=[0, 1])
    assert said(handed) == [[], [[0.8]]]
    callers, handed = asked(2)
    served(callers, lambda: predict(ROWS[:1]))
    assert handed == [[], []]


@pytest.mark.usefixtures("selling")
def test_a_lone_request_has_all_the_tickets() -> None:
    """Whatever the answer looks like; and each by default gave one row."""
    predict = mlobs.observe(model="m")(lambda rows: 0.7)
    callers, [calls] = asked(1)
    served(callers, lambda: (predict(ROWS), predict(ROWS)))
    assert [one.answer for one in calls] == [0.7, 0.7]


@pytest.mark.usefixtures("selling")
@pytest.mark.parametrize("rows", [None, [1, 1], [2, 2]])
def test_an_answer_that_cannot_be_dealt_out_gives_no_tickets(rows: list[int] | None) -> None:
    """Rather none than somebody else's: three answers for two requests, or for four rows."""
    predict = mlobs.observe(model="m")(lambda rows: [0.5] * len(rows))
    callers, handed = asked(2)
    served(callers, lambda: predict(ROWS), rows=rows)
    assert handed == [[], []]


@pytest.mark.usefixtures("selling")
def test_callers_from_other_processes_take_no_tickets() -> None:
    """Pickled, a caller names no request; those that are of this process have theirs."""
    predict = mlobs.observe(model="m")(lambda rows: [0.5] * len(rows))
    [there, here], [_, calls] = asked(2)
    served([pickle.loads(pickle.dumps(there)), here], lambda: predict(ROWS), rows=[2, 1])
    assert said([calls]) == [[[0.5]]]


def test_tickets_travel_back_to_the_process_where_a_request_waits(selling: Telemetry) -> None:
    """Sealed where it was predicted, once for each that wants them, and put into the header where the request waits."""
    predict = mlobs.observe(model="m")(lambda rows: [0.1, 0.2, 0.3])
    (first, second), (calls, others) = asked(2)
    nobody = hooks.caller()
    there = pickle.loads(pickle.dumps([first, nobody, second]))
    with hooks.serving(there) as served_there:
        assert list(served_there.answers()) == [None, None, None]
        predict(ROWS)
        one, none, other = pickle.loads(pickle.dumps(served_there.answers()))
        assert list(served_there.answers()) == [None, None, None]
    assert none is None
    for caller, answer in ((first, one), (nobody, one), (second, other), (second, None)):
        caller.answered(answer)
    assert (calls, others) == ([one.tickets], [other.tickets])
    assert runtime.outcomes.tickets.header([*calls, *others]) == f"{one.tickets},{other.tickets}"
    assert selling.total("mlobs.outcome.expected") == 2
    assert mlobs.outcome(one.tickets, actual=True)
    assert mlobs.outcome(other.tickets, actual=True)


@pytest.mark.usefixtures("selling")
def test_tickets_pass_through_a_block_of_one() -> None:
    """What a third process predicted for a lone caller is that one's; of several callers nobody knows whose it is."""
    callers, handed = asked(2)
    for some in (callers[:1], callers):
        with hooks.serving(some):
            hooks.caller().answered(Answer("ticket"))
    assert handed == [["ticket"], []]


def test_a_request_of_a_server_without_an_application_has_its_header(selling: Telemetry) -> None:
    """As long as the server says it may be; a longer one is counted and gives nothing out."""
    predict = mlobs.observe(model="m")(lambda rows: [0.5] * len(rows))
    with hooks.answering() as request:
        assert request.header(255) is None
        predict(ROWS)
        assert request.header(255) is None
        assert selling.total("mlobs.sdk.dropped", reason="ticket_header") == 3
        assert selling.total("mlobs.outcome.expected") == 0
        with hooks.answering() as inner:
            predict(ROWS[:1])
            assert inner.header(4096) is None  # it is a part of the outer one
        found = request.header(4096)
    assert found is not None
    assert (found[0], found[1].count(",")) == ("mlobs-ticket", 3)
    assert REQUEST.get() is None
    with capture(), hooks.answering() as request:
        predict(ROWS)
        assert request.header(4096) is None  # nobody has a key


# ── what goes wrong ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_an_integration_does_wrong_never_reaches_the_server() -> None:
    """No callers at all, sizes that are not theirs, a block that ends in another context: counted, and served."""
    runtime.guard.strict = False
    with capture(ticket_keys=[secrets.token_hex(32)]) as telemetry:
        predict = mlobs.observe(model="m", operation="predict")(lambda rows: [0.5] * len(rows))
        before = runtime.guard.errors["serving"]
        assert served([None], lambda: predict(ROWS)) == [0.5] * 3
        callers, handed = asked(2)
        assert served(callers, lambda: predict(ROWS), rows=[3]) == [0.5] * 3
        assert handed == [[], []]
        block = hooks.serving(callers)
        contextvars.copy_context().run(block.__enter__)
        block.__exit__(None, None, None)
        assert runtime.guard.errors["serving"] == before + 3
        assert told.calls(telemetry) == {("m", "predict"): 2}


def test_a_guarded_block_counts_what_it_raises_and_lets_interrupts_through() -> None:
    """Errors of an integration end with its block; Ctrl-C is the program's."""
    runtime.guard.strict = False
    before = runtime.guard.errors["hook"]
    with hooks.guarded():
        raise LookupError
    assert runtime.guard.errors["hook"] == before + 1
    with pytest.raises(KeyboardInterrupt), hooks.guarded():
        raise KeyboardInterrupt
