"""What hooking a framework costs its predict calls: bare against `mlobs.instrument()`, in one run.

Each model is made twice. One goes by its class and has no reference, as with no line of code; the other is registered
with the profile of its training data. Calls follow each other without a pause, and what folding them takes is in the
figures; four seconds of calls come first, since reading large inputs may take a tenth of a second of a core at once,
and a hundredth in the long run.

python benchmarks/integrations.py [--json] [--quick]
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any, Final, NamedTuple

import numpy as np
import observed
from measure import Lap, difference, environment, header, interleave, loop, options, ratio, table, told
from sink import Sink

import mlobs

Call = Callable[[], object]
Made = tuple[object, Call]  # a model, and what calls it

generator: Final = np.random.default_rng(7)
X: Final = generator.normal(size=(2_000, 30))
Y: Final = (X[:, 0] + X[:, 1] > 0).astype(int)
ROW: Final = X[:1]
ROWS: Final = X[:32]
PROFILE: Final = mlobs.Profile.build(X)
FIRST: Final = 4.0  # seconds of calls before any is timed


class Contestant(NamedTuple):
    """One call of a framework: the integration's name, what is called, how much slower it may be, and what makes the call.

    The goals are for calls of 150 µs and, of torch, for a small network; what is far shorter is measured without one.
    """

    integration: str
    what: str
    goal: float | None
    make: Callable[[], Made]

    @property
    def key(self) -> str:
        """What names it in the report."""
        return f"{self.integration}: {self.what}"


def sklearn() -> Made:
    """Return a pipeline's call."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)
    return model, lambda: model.predict_proba(ROW)


def xgboost() -> Made:
    """Return a classifier's call."""
    import xgboost as xgb

    model = xgb.XGBClassifier(n_estimators=50, max_depth=4, n_jobs=1).fit(X, Y)
    return model, lambda: model.predict_proba(ROW)


def lightgbm(rows: Any) -> Made:
    """Return a booster's call."""
    import lightgbm as lgb

    model = lgb.train({"objective": "binary", "verbose": -1, "num_threads": 1}, lgb.Dataset(X, Y), 50)
    return model, lambda: model.predict(rows, num_threads=1)


def catboost() -> Made:
    """Return a classifier's call."""
    from catboost import CatBoostClassifier

    model = CatBoostClassifier(iterations=50, depth=4, verbose=False, thread_count=1, allow_writing_files=False)
    model.fit(X, Y)
    return model, lambda: model.predict_proba(ROWS, thread_count=1)


def onnxruntime() -> Made:
    """Return a session's call: two dense layers at a batch that takes about as long as the other models."""
    import onnx
    import onnxruntime as ort
    from onnx import TensorProto, helper, numpy_helper

    first = numpy_helper.from_array(generator.normal(size=(30, 256)).astype(np.float32), "first")
    second = numpy_helper.from_array(generator.normal(size=(256, 2)).astype(np.float32), "second")
    nodes = [
        helper.make_node("MatMul", ["x", "first"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["active"]),
        helper.make_node("MatMul", ["active", "second"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "mlp",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 30])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None, 2])],
        [first, second],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made)
    quiet = ort.SessionOptions()
    quiet.intra_op_num_threads = 1
    session = ort.InferenceSession(made.SerializeToString(), quiet, providers=["CPUExecutionProvider"])
    batch = np.tile(X, (1, 1))[:512].astype(np.float32)
    return session, lambda: session.run(None, {"x": batch})


def torch() -> Made:
    """Return a small network's call at batch 32."""
    import torch as pt

    pt.set_num_threads(1)

    class Net(pt.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.layers = pt.nn.Sequential(
                pt.nn.Linear(30, 128), pt.nn.ReLU(), pt.nn.Linear(128, 128), pt.nn.ReLU(), pt.nn.Linear(128, 2)
            )

        def forward(self, batch: Any) -> Any:
            return self.layers(batch)

    model = Net().eval()
    batch = pt.from_numpy(ROWS.astype(np.float32))

    def call() -> object:
        with pt.inference_mode():
            return model(batch)

    return model, call


def keras() -> Made:
    """Return a model's predict."""
    import keras as k

    model = k.Sequential([k.Input((30,)), k.layers.Dense(64, activation="relu"), k.layers.Dense(1)])
    return model, lambda: model.predict(ROWS, verbose=0)


CONTESTANTS: Final = (
    Contestant("sklearn", "pipeline, predict_proba, 1 row", 1.05, sklearn),
    Contestant("xgboost", "classifier, predict_proba, 1 row", 1.05, xgboost),
    Contestant("lightgbm", "booster, predict, 128 rows", 1.05, functools.partial(lightgbm, X[:128])),
    Contestant("lightgbm", "booster, predict, 1 row", None, functools.partial(lightgbm, ROW)),
    Contestant("catboost", "classifier, predict_proba, 32 rows", 1.05, catboost),
    Contestant("onnxruntime", "session, run, 512 rows", 1.05, onnxruntime),
    Contestant("torch", "three layers, 32 rows", 1.03, torch),
    Contestant("keras", "predict, 32 rows", 1.05, keras),
)


def switched(integration: str, call: Call, *, on: bool) -> Callable[[int], float]:
    """Return a lap before which the framework is hooked, or as it was; that is not timed."""
    lap = loop(call)

    def run(calls: int) -> float:
        (mlobs.instrument if on else mlobs.uninstrument)(integration)
        return lap(calls)

    return run


def measure(found: Contestant, *, quick: bool) -> dict[str, float | None] | str:
    """µs a call, bare and hooked, or why there are none."""
    try:
        _, call = found.make()
        model, judged = found.make()
        mlobs.instrument(found.integration)
    except (ImportError, mlobs.MlobsError) as error:
        return str(error).splitlines()[0]
    mlobs.register(model, name=f"{found.key}, judged", reference=PROFILE)
    for each in (call, judged):
        until = perf_counter() + (0.05 if quick else FIRST)
        while perf_counter() < until:
            each()
    laps = {
        "bare": Lap(switched(found.integration, call, on=False)),
        "hooked": Lap(switched(found.integration, call, on=True), mlobs.flush),
        "judged": Lap(switched(found.integration, judged, on=True), mlobs.flush),
    }
    taken = interleave(laps, rounds=2 if quick else 25, seconds=0.002 if quick else 0.1)
    mlobs.uninstrument(found.integration)
    return {
        "bare_us": median(taken["bare"]) * 1e6,
        "hooked_adds_us": difference(taken["hooked"], taken["bare"]) * 1e6,
        "hooked_ratio": ratio(taken["hooked"], taken["bare"]),
        "judged_adds_us": difference(taken["judged"], taken["bare"]) * 1e6,
        "judged_ratio": ratio(taken["judged"], taken["bare"]),
        "goal": found.goal,
    }


def main() -> None:
    """Measure, then print a table or one JSON object."""
    chosen = options(__doc__)
    with Sink() as sink:
        observed.start(sink.endpoint)
        figures: dict[str, dict[str, float | None]] = {}
        absent: dict[str, str] = {}
        for one in CONTESTANTS:
            if one.integration in absent:
                continue
            if not chosen.json:
                told(f"integrations: {one.key} …")
            measured = measure(one, quick=chosen.quick)
            if isinstance(measured, str):
                absent[one.integration] = measured
            else:
                figures[one.key] = measured
        mlobs.shutdown()
    present = dict.fromkeys(one.integration for one in CONTESTANTS if one.integration not in absent)
    packages = ("scikit-learn", *(name for name in present if name != "sklearn"))
    report = {"integrations": figures, "absent": absent, "environment": environment(*packages)}
    print(json.dumps(report) if chosen.json else tables(report))


def tables(report: dict[str, Any]) -> str:
    """Lay the report out for a reader."""
    rows = [
        [*key.split(": "), *("none" if one is None else one for one in figures.values())]
        for key, figures in report["integrations"].items()
    ]
    lines = [
        header(report["environment"]),
        table(
            "One call, µs",
            ["framework", "call", "bare", "hooked adds", "ratio", "with a reference", "ratio", "goal"],
            rows,
        ),
    ]
    lines += [f"{name}: {why}" for name, why in report["absent"].items()]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
