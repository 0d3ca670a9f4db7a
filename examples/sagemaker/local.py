"""The toolkit's handler service behind a small HTTP server: `/invocations` and `/ping`, as the model server has them.

On SageMaker the multi-model-server, a Java program, starts workers that call the same service.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import joblib
from sagemaker_inference.default_handler_service import DefaultHandlerService
from sklearn.linear_model import LogisticRegression

import mlobs

CUSTOMERS = [[20.0, 0.0], [30.0, 1.0], [60.0, 4.0], [70.0, 5.0]] * 250


class Context:
    """What the model server tells of one request, as far as the toolkit asks."""

    def __init__(self, folder: Path, content_type: str = "", accept: str = "") -> None:
        self.system_properties = {"model_dir": str(folder)}
        self.request_processor = [self]
        self.status = 200
        self.answers = "application/json"
        self._properties = {"Content-Type": content_type, "Accept": accept}

    def get_request_properties(self) -> dict[str, str]:
        """The request's headers."""
        return self._properties

    def set_response_content_type(self, _: int, value: str) -> None:
        """What the answer is."""
        self.answers = value

    def set_response_status(self, code: int, phrase: str) -> None:
        """It went wrong."""
        del phrase
        self.status = code


def application(folder: Path) -> Callable[..., Iterable[bytes]]:
    """Serve the model in this folder."""
    service = DefaultHandlerService()
    service.initialize(Context(folder))

    def serve(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/ping":
            start("200 OK", [])
            return [b""]
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        context = Context(folder, environ["CONTENT_TYPE"], environ.get("HTTP_ACCEPT", ""))
        [answer] = service.handle([{"body": body}], context)
        start(f"{context.status} {'OK' if context.status == 200 else 'Error'}", [("Content-Type", context.answers)])
        return [answer if isinstance(answer, bytes) else str(answer).encode()]

    return serve


class Quiet(WSGIRequestHandler):
    """Logs no requests."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def train(folder: Path) -> None:
    """Leave a model in the folder, and the profile of what it learned from beside it."""
    model = LogisticRegression().fit(CUSTOMERS, [0, 0, 1, 1] * 250)
    joblib.dump(model, folder / "churn.joblib")
    reference = mlobs.Profile.build(CUSTOMERS, outputs=model.predict(CUSTOMERS), model="churn", version="7")
    reference.save(folder / "churn.profile.json")


if __name__ == "__main__":
    port, where = int(sys.argv[1]), Path(sys.argv[2])
    where.mkdir(exist_ok=True)
    train(where)
    sys.path.insert(0, str(Path(__file__).parent / "code"))
    with make_server("127.0.0.1", port, mlobs.wsgi(application(where)), handler_class=Quiet) as server:
        server.serve_forever()
