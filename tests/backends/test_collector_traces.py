"""Traces through agent and gateways: secrets stay behind, what is worth a look is kept, and all of it is counted."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue, KeyValueList
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import Status, StatusCode, Tracer, set_span_in_context
from tests.backends.chain import Chain, chain
from tests.backends.collector import poll
from tests.backends.points import newest, texts, total
from tests.backends.receiver import receiving

ORDINARY = 1500
DECIDED = "otelcol_processor_tail_sampling_global_count_traces_sampled_total"
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"

# Nobody's secrets: each is recognised by how it looks.
SPOKEN = {
    "note": "write to jane.doe@example.com or not",
    "paid.with": "4111111111111111",
    "paid.in.groups": "card 5500 0000 0000 0004, thanks",
    "paid.with.amex": "3782-822463-10005",
    "header": "Bearer " + LETTERS,
    "proxy": "Basic dXNlcjpvcGVuLXNlc2FtZQ==",
    "session": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N",
    "cloud": "with AKIA" + "IOSFODNN7EXAMPLE and more",
    "forge": "ghp_" + LETTERS,
    "chat": "xoxb-" + LETTERS,
    "maps": "AIza" + LETTERS[:35],
    "pay": "sk_live_" + LETTERS,
    "pem": "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\n-----END PRIVATE KEY-----",
    "url": "https://shop.example/?page=2&token=" + "tok-7f3a9c",
    "dsn": "postgresql://scorer:open-sesame@db/credit",
    "argv": "--password=" + "xyzzy-plugh",
    "json": '{"api_key": "' + 'k-5521"}',
}
GONE = [
    "jane.doe", "4111111111111111", "5500 0000", "822463", LETTERS[:20], "dXNlcjpvcGVu", "eyJzdWIi", "IOSFODNN7",
    "MIIEvQIBADANBg", "tok-7f3a9c", "open-sesame", "xyzzy-plugh", "k-5521", "swordfish",
]  # fmt: skip
NAMED = (
    "password", "user.passwd", "db_pwd", "client_secret", "aws.secretAccessKey", "api_key", "apiKey", "x-api-key",
    "access_token", "id.token", "sessionToken", "http.request.header.authorization", "http.response.header.set-cookie",
    "proxy-authorization", "private_key", "cvv", "user.ssn", "iban", "card_number", "credit-card-number", "credentials",
)  # fmt: skip

# What looks like one and is none.
KEPT: dict[str, Any] = {
    "share": 0.4111111111111111,
    "shares": [0.4532123412341234, 0.25],
    "instant.us": 1764000000000000,
    "instant.ns": 1764000000000000000,
    "request.id": "3f0c7a52-4123-4123-9123-412341234123",
    "trace": "4bf92f3577b34da6a3ce929d0e0e4736",
    "gen_ai.usage.input_tokens": 1200,
    "llm.token_count.prompt": 4000,
    "author": "jane",
    "frame": "@app.get in line 3 of basic functionality",
    "url.full": "http://shop.example:8080/a/b?page=2",
    "image": "registry.example/credit@sha256:0123456789abcdef",
    "rows": [1, 2, 3],
    "cached": True,
    "empty": "",
}

RARE = """
mlobs.configure(endpoint=sys.argv[1], export_interval=3600, flush_timeout=30, span_ratio=0, slow=0.005)

@mlobs.observe(model="credit", version="7", capture=["exception.message"])
def fail(rows):
    raise ValueError("no such customer: jane.doe@example.com")

@mlobs.observe(model="credit", version="7")
def slow(rows):
    time.sleep(0.006)

for _ in range(3):
    with contextlib.suppress(ValueError):
        fail([[1.0]])
    slow([[1.0]])
"""

ALWAYS = f"""
mlobs.configure(endpoint=sys.argv[1], export_interval=3600, flush_timeout=30, spans="always")
training = np.random.default_rng(0).normal(size=(2000, 2))
answers = np.array([[0.1, 0.9]]), np.array([[0.4, 0.3, 0.3]])

@mlobs.observe(model="credit", version="7", reference=mlobs.Profile.build(training))
def predict(rows, answer=0):
    return answers[answer]

mlobs.observe(model="warm-up")(len)([1.0])
mlobs.flush(timeout=30)
for number in range({ORDINARY}):
    predict(training[number : number + 1])
    if number % 500 == 499:
        assert mlobs.flush(timeout=30)
for _ in range(3):
    predict(training[:1], 1)
predict(training + 3)
mlobs.drift()
assert mlobs.flush(timeout=30)
for _ in range(3):
    predict(training[:1])
"""


def child(endpoint: str, script: str) -> None:
    """A service that does this and ends."""
    head = "import contextlib, sys, time\nimport numpy as np\nimport mlobs\n"
    done = subprocess.run(
        [sys.executable, "-c", head + textwrap.dedent(script), endpoint],
        env={**os.environ, "OTEL_SERVICE_NAME": "shop"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def chained(tmp_path: Path) -> Iterator[Chain]:
    """Agent, gateways and what stands behind them."""
    with chain(tmp_path) as one:
        yield one


@pytest.fixture
def whole(tmp_path: Path) -> Iterator[Chain]:
    """The same, where every trace is kept."""
    with chain(tmp_path, OTELCOL_SAMPLING_PERCENT="100") as one:
        yield one


def tracer(one: Chain, **resource: str) -> Tracer:
    """OpenTelemetry's own, of a service that sends each span to the agent as it ends."""
    provider = TracerProvider(resource=Resource.create({"service.name": "front", **resource}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{one.agent.endpoint}/v1/traces")))
    return provider.get_tracer("front")


def any_value(value: object) -> AnyValue:
    if isinstance(value, dict):
        pairs = [KeyValue(key=key, value=any_value(one)) for key, one in value.items()]
        return AnyValue(kvlist_value=KeyValueList(values=pairs))
    return AnyValue(string_value=str(value))


def log(one: Chain, body: object, attributes: dict[str, str]) -> None:
    """Send one log record to the agent."""
    request = ExportLogsServiceRequest()
    record = request.resource_logs.add().scope_logs.add().log_records.add(body=any_value(body))
    record.attributes.extend(KeyValue(key=key, value=any_value(value)) for key, value in attributes.items())
    kind = {"Content-Type": "application/x-protobuf"}
    with urllib.request.urlopen(
        urllib.request.Request(f"{one.agent.endpoint}/v1/logs", data=request.SerializeToString(), headers=kind),
        timeout=10,
    ):
        pass


def leaked(requests: list[Any]) -> list[str]:
    """The secrets that are somewhere in what arrived, wherever a field may hide them."""
    everything = b"".join(request.SerializeToString() for request in requests)
    return [secret for secret in GONE if secret.encode() in everything]


def test_secrets_in_spans_are_gone(whole: Chain) -> None:
    """By what they look like and by what they are called: in attributes, lists, numbers, events, resources, names, status."""
    named = {key: f"swordfish {index}" for index, key in enumerate(NAMED)}
    trace = tracer(whole, **{"deployment.argv": SPOKEN["argv"], "client.secret": "swordfish"})
    with trace.start_as_current_span("ask jane.doe@example.com", attributes={**SPOKEN, **named, **KEPT}) as span:
        span.set_attribute("all", list(SPOKEN.values()))
        span.set_attribute("pin.secret", 4711)
        span.set_attribute("number", 4111111111111111)
        span.set_attribute("list.token", ["swordfish", "swordfish"])
        span.add_event("exception", {"exception.message": f"no {SPOKEN['note']}", "password": "swordfish"})
        span.set_status(Status(StatusCode.ERROR, f"ValueError: {SPOKEN['note']}, {SPOKEN['dsn']}"))
    assert whole.end.wait(lambda: bool(whole.end.spans))
    assert leaked(whole.end.requests["traces"]) == []
    [arrived] = whole.end.spans
    attributes = texts(arrived.attributes)
    assert attributes.keys() == {*SPOKEN, *NAMED, *KEPT, "all", "pin.secret", "number", "list.token"}
    assert {key: text for key, text in attributes.items() if "*" not in text} == {
        key: f"[{', '.join(map(str, value))}]" if isinstance(value, list) else str(value) for key, value in KEPT.items()
    }
    assert arrived.name == "ask ****"
    assert arrived.status.message == "ValueError: write to **** or not, postgresql****db/credit"


def test_secrets_in_logs_are_gone(whole: Chain) -> None:
    """In bodies that are texts, in bodies that are maps, and in attributes; the rest can be read."""
    log(whole, "a login of jane.doe@example.com: " + SPOKEN["argv"], {**SPOKEN, "page": "2"})
    log(whole, {"password": "swordfish", "in": {"note": SPOKEN["note"], "token": "swordfish"}, "page": "3"}, {})
    assert whole.end.wait(lambda: len(whole.end.records) == 2)
    assert leaked(whole.end.requests["logs"]) == []
    first, second = sorted(whole.end.records, key=lambda record: record.body.HasField("kvlist_value"))
    assert first.body.string_value == "a login of ****: --****"
    assert texts(first.attributes)["page"] == "2"
    assert texts(second.body.kvlist_value.values)["page"] == "3"


def test_spans_of_mlobs_are_left_as_they_are(whole: Chain) -> None:
    """Names, status, events and all attributes arrive unchanged, but for captured texts that hold a secret."""
    with receiving(whole.agent.endpoint) as witness:
        child(witness.url, RARE)
    assert whole.end.wait(lambda: len(whole.end.spans) == 6)
    assert leaked(whole.end.requests["traces"]) == []
    arrived = {span.span_id: span for span in whole.end.spans}
    for sent in witness.spans:
        got = arrived[sent.span_id]
        for event in (*sent.events, *got.events):
            text = dict(zip((pair.key for pair in event.attributes), event.attributes, strict=True))[
                "exception.message"
            ]
            assert text.value.string_value.startswith("no such customer: ")
            text.value.string_value = ""
        for span in (sent, got):
            span.attributes.sort(key=lambda pair: str(pair.key))
        assert got == sent
    sent_by, got_by = (one.requests["traces"][0].resource_spans[0].resource for one in (witness, whole.end))
    assert texts(sent_by.attributes).items() <= texts(got_by.attributes).items()


def test_what_is_worth_a_look_is_kept(chained: Chain) -> None:
    """Errors, slow, drifted and unsure predictions all; of the rest a few percent; span metrics have counted them all."""
    with receiving(chained.agent.endpoint) as witness:
        child(witness.url, RARE)
        child(witness.url, ALWAYS)
    with tracer(chained).start_as_current_span("long", end_on_exit=False) as span:
        span.end(time.time_ns() + 600_000_000)
    sent = len(witness.spans) + 1
    assert poll(lambda: sum(one.own()[DECIDED] for one in chained.gateways) >= sent)
    kept = sum(one.own(sampled="true")[DECIDED] for one in chained.gateways)
    assert chained.end.wait(lambda: len(chained.end.spans) >= kept)
    assert len(chained.end.spans) == kept
    assert Counter(map(why, witness.spans)) == {
        "error": 3, "slow": 3, "unsure": 3, "drifted": 3, "ordinary": ORDINARY + 2,  # the warm-up, and the batch that drifts
    }  # fmt: skip
    found = Counter(map(why, chained.end.spans))
    share = found.pop("ordinary") / ORDINARY
    assert found == {"error": 3, "slow": 3, "unsure": 3, "drifted": 3, "long": 1}
    assert 0.02 < share < 0.09  # five percent, and five times its standard deviation

    metrics = chained.end.requests["metrics"]
    calls = "traces.span.metrics.calls"
    assert chained.end.wait(lambda: total(metrics, calls) == sent)
    assert total(metrics, calls, status_code="STATUS_CODE_ERROR") == 3
    assert total(metrics, calls, model_name="credit", model_version="7") == sent - 2
    assert total(metrics, "traces.span.metrics.duration") == sent
    writers = {point.resource["service.instance.id"] for point in newest(metrics, calls)}
    assert writers == {"gateway-0", "gateway-1"}
    assert {frozenset(point.resource) for point in newest(metrics, calls)} == {
        frozenset({"service.name", "service.instance.id"})
    }


def why(span: Any) -> str:
    """For which reason a span of these services is to be kept."""
    attributes = texts(span.attributes)
    if span.status.code == 2:
        return "error"
    if span.end_time_unix_nano - span.start_time_unix_nano >= 500_000_000:
        return "long"
    if attributes.get("mlobs.prediction.slow") == "True":
        return "slow"
    if attributes.get("mlobs.drift.detected") == "True":
        return "drifted"
    return "unsure" if float(attributes.get("mlobs.prediction.confidence", 1)) < 0.5 else "ordinary"


def test_a_trace_is_kept_whole(chained: Chain) -> None:
    """Spans of a trace that were sent apart meet at one gateway: an error keeps those that were well, too."""
    trace = tracer(chained)
    for _ in range(30):
        parent = trace.start_span("request")
        within = set_span_in_context(parent)
        with trace.start_as_current_span("look up", context=within):
            pass
        with trace.start_as_current_span("predict", context=within) as span:
            span.set_status(StatusCode.ERROR)
        parent.end()
    assert chained.end.wait(lambda: len(chained.end.spans) == 90)
    assert set(Counter(span.trace_id for span in chained.end.spans).values()) == {3}
    assert all(one.own()["otelcol_receiver_accepted_spans_total"] for one in chained.gateways)
