"""local.yaml: one Collector, and a Prometheus that is pushed to and scrapes as well."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.backends.collector import Collector, collector, free_ports, poll
from tests.backends.promtool import RULES
from tests.backends.receiver import receiving
from tests.backends.scoring import ROWS, scoring
from tests.backends.server import prometheus

from mlobs.otel import machine, names


@pytest.fixture
def local(tmp_path: Path) -> Iterator[tuple[Collector, Callable[[str], dict[str, float]]]]:
    """A Collector, and what a query answers of the Prometheus beside it, by the metric's name."""
    [port] = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    with collector("local", folder=tmp_path / "collector", OTELCOL_PROMETHEUS=f"{url}/api/v1/otlp") as one:
        jobs = [
            {
                "job_name": "collector",
                "scrape_interval": "200ms",
                "scrape_timeout": "200ms",
                "honor_labels": True,
                "scrape_native_histograms": True,
                "static_configs": [{"targets": [one.address("SCRAPE")], "labels": {"path": "scraped"}}],
            }
        ]
        with prometheus(tmp_path / "prometheus", config={"scrape_configs": jobs}, port=port) as server:

            def ask(query: str) -> dict[str, float]:
                return {labels["__name__"]: value for labels, value in server.query(query)}

            yield one, ask


def test_both_paths_give_the_same_names_and_numbers(
    local: tuple[Collector, Callable[[str], dict[str, float]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pushed or scraped, a metric goes by the name that rules and dashboards know it by, and its counts are those sent."""
    monkeypatch.syspath_prepend(str(RULES))
    from vocabulary import prometheus as known_as

    one, ask = local
    with receiving(one.endpoint) as witness, scoring(witness.url) as service:
        service.tell("work 0 20")
        service.tell("flush")
        service.tell("work 20 40")
        service.end()
    instruments = {each.name: each for each in (*names.INSTRUMENTS, *machine.INSTRUMENTS)}
    sent = {
        metric.name
        for request in witness.requests["metrics"]
        for resource in request.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    assert len(sent) > 20
    expected = set()
    for each in (instruments[name] for name in sent):
        classic = each.kind == "histogram"
        expected |= {known_as(each) + suffix for suffix in (("_bucket", "_sum", "_count") if classic else ("",))}

    scraped, pushed = 'path="scraped",job="shop"', 'path="",job="shop"'
    every = '__name__!~"target_info|otel_scope_info"'
    for path in (scraped, pushed):
        query = f"count by (__name__) ({{{every},{path}}})"
        assert poll(lambda query=query: ask(query).keys() >= expected, 20), expected - ask(query).keys()  # type: ignore[misc]
        assert ask(query).keys() == expected
    counts = 'sum by (__name__) ({__name__=~"mlobs_.+(_total|_count|_bucket)",%s})'
    assert ask(counts % scraped) == ask(counts % pushed)
    assert ask(counts % pushed)["mlobs_prediction_rows_total"] == 40 * ROWS
    assert ask(f"{{__name__='mlobs_prediction_rows_total',{pushed}}}").keys() == {"mlobs_prediction_rows_total"}


def test_traces_are_in_a_file_and_arrivals_in_the_terminal(tmp_path: Path) -> None:
    """Every span is in the file, a line a batch; the log says what came."""
    file = tmp_path / "traces.jsonl"
    with collector("local", folder=tmp_path, OTELCOL_TRACES=str(file)) as one:
        with receiving(one.endpoint) as witness, scoring(witness.url) as service:
            service.tell("work 0 10")
            service.end()
        sent = {span.span_id.hex() for span in witness.spans}
        assert sent
        assert poll(lambda: file.exists() and spans(file) == sent)
        assert poll(
            lambda: '"spans": ' in one.log.read_text("utf-8") and '"data points": ' in one.log.read_text("utf-8")
        )


def spans(file: Path) -> set[str]:
    """The identifiers of the spans in a file."""
    return {
        span["spanId"]
        for line in file.read_text("utf-8").splitlines()
        for resource in json.loads(line)["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    }
