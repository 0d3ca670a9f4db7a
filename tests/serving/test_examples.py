"""The examples of FastAPI and Flask, on real workers of a real server."""

from __future__ import annotations

import json
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.serving.asked import CALLER, serving, spans
from tests.serving.loopback import counted
from tests.sink import Sink

EXAMPLES = Path(__file__).parents[2] / "examples"
COMMANDS = {
    "fastapi": ("-m", "uvicorn", "app:app", "--workers", "2", "--port", "PORT"),
    "flask": ("-m", "gunicorn", "app:app", "--workers", "2", "--bind", "127.0.0.1:PORT", "--worker-tmp-dir", "/tmp"),
}
CUSTOMERS = [{"age": 65, "complaints": 3}, {"age": 25, "complaints": 0}]


@pytest.mark.parametrize("name", COMMANDS)
def test_an_example_does_what_its_page_says(name: str, sink: Sink, tmp_path: Path) -> None:
    """The answer on the page, a ticket a row, every request counted once over the workers, spans in the caller's trace."""
    pytest.importorskip(COMMANDS[name][1])
    folder = EXAMPLES / name
    (shown,) = re.findall(r"```text\n(.*?)```", (folder / "README.md").read_text("utf-8"), re.DOTALL)
    with serving(sink, tmp_path / "log", folder, "/ready", sys.executable, *COMMANDS[name]) as server:
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda n: server.ask("/predict", CUSTOMERS, trace=n), range(1, 61)))
        empty = server.ask("/predict", [], trace=99)
        malformed = server.ask("/predict", b"{", trace=100)
        assert server.end() == 0, server.said
    assert {answer.status for answer in answers} == {200}
    assert {tuple(answer.body) for answer in answers} == {tuple(json.loads(shown.splitlines()[-1]))}
    assert {len(answer.headers["mlobs-ticket"].split(",")) for answer in answers} == {2}
    assert empty.status == 500
    assert malformed.status in (400, 422)
    for failed in (empty, malformed):
        assert "mlobs-ticket" not in failed.headers

    model = ("model.name", "model.version", "model.operation", "error.type")
    assert counted(sink, "mlobs.prediction.duration", *model) == {
        ("churn", "7", "predict_proba", ""): 60,
        ("churn", "7", "predict_proba", "ValueError"): 1,
    }
    # Flask reads a request inside the view's stage, FastAPI before the view is called
    read = 62 if name == "flask" else 61
    assert counted(sink, "mlobs.stage.duration", "stage") == {("preprocess",): read, ("inference",): 61}
    for number in (*range(1, 61), 99):
        found = spans(sink, number)
        assert sorted(found) == ["inference", "predict_proba churn", "preprocess"]
        assert found["preprocess"].parent_span_id.hex() == found["inference"].parent_span_id.hex() == CALLER
        assert found["predict_proba churn"].parent_span_id == found["inference"].span_id
    assert list(spans(sink, 100)) == (["preprocess"] if name == "flask" else [])
