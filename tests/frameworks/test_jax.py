"""Functions of jax that are decorated: nobody waits for what is dispatched, and what is traced is no prediction."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import cloudpickle
import numpy as np
import pytest
from tests.told import calls, errors, rows

import mlobs
from mlobs import UnreadableError
from mlobs.columns import LARGE, TracedError, kind_of, read
from mlobs.testing import Telemetry, capture

jax: Any = pytest.importorskip("jax")
from jax import numpy as jnp

X = np.random.default_rng(4).normal(size=(8, 3)).astype(np.float32)
W = np.full((400, 400), 0.01, np.float32)


class Output(NamedTuple):
    """An answer by name."""

    logits: Any
    score: Any


def score(x: Any) -> Any:
    return x.sum(axis=1)


@jax.jit
def slow(x: Any, times: Any = 20) -> Any:
    """As long as it takes, whatever ``x`` is."""
    done = jax.lax.fori_loop(0, times, lambda _, each: jnp.tanh(each @ W), jnp.ones((400, 400)))
    return x.sum(axis=1) + 0 * done[0, 0]


def lasting(seconds: float) -> int:
    """How many times that is."""
    slow(slow(X, 20)[:, None] + X, 20).block_until_ready()  # everything is compiled
    took = []
    for _ in range(3):
        began = time.perf_counter()
        slow(X, 20).block_until_ready()
        took.append(time.perf_counter() - began)
    return int(seconds * 20 / min(took))


def values(telemetry: Telemetry, role: str) -> dict[str, int]:
    return {
        dict(one.attributes.items())["feature"]: one.observed  # type: ignore[union-attr]
        for one in telemetry.histograms("mlobs.feature.value", role=role)
    }


# ── what is counted ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_jitted_function_is_observed_as_it_is(telemetry: Telemetry) -> None:
    """The same answers and the same attributes; rows, inputs and outputs are counted."""
    jitted = jax.jit(score)
    predict = mlobs.observe(model="m", version="1")(jitted)
    assert predict.__name__ == "score"
    for given in (X, jnp.asarray(X), jax.device_put(X)):
        np.testing.assert_array_equal(predict(given), jitted(given))
    assert isinstance(predict(X), jax.Array)
    assert rows(telemetry) == {("m", "score"): 32}
    assert values(telemetry, "input") == {"f0": 32, "f1": 32, "f2": 32}
    assert values(telemetry, "output") == {"prediction": 32}
    assert telemetry.total("mlobs.sdk.dropped") == 0


def test_answers_of_several_parts(telemetry: Telemetry) -> None:
    """A tuple, a dict or a named tuple of arrays that have only been dispatched, and dicts of columns as inputs."""

    def both(x: Any) -> Any:
        return jnp.stack([x.sum(axis=1), -x.sum(axis=1)], axis=1), slow(x)

    for answer in (both, lambda x: dict(zip(("logits", "score"), both(x), strict=True)), lambda x: Output(*both(x))):
        mlobs.observe(model="m", operation="parts")(jax.jit(answer))(X)
    mlobs.observe(model="m", operation="columns")(lambda columns: columns["a"])(
        {"a": slow(X), "b": jnp.asarray(X[:, 1])}
    )
    until_ready()
    assert rows(telemetry) == {("m", "parts"): 24, ("m", "columns"): 8}
    assert values(telemetry, "input") == {"f0": 24, "f1": 24, "f2": 24, "a": 8, "b": 8}
    found = values(telemetry, "output")
    assert {name: found[name] for name in ("logits_0", "logits_1", "score")} == dict.fromkeys(
        ("logits_0", "logits_1", "score"), 16
    )
    assert {name: found[name] for name in ("score_0", "score_1", "score_2")} == dict.fromkeys(
        ("score_0", "score_1", "score_2"), 8
    )


def until_ready() -> None:
    """Everything that was dispatched so far is computed: one device does one thing after the other."""
    slow(X).block_until_ready()


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int32", "int8", "bool"])
def test_every_dtype_is_read(dtype: str) -> None:
    """As numbers, in every shape that arrays may have."""
    table = jnp.asarray([[0, 1, 1], [1, 0, 0]], dtype)
    np.testing.assert_array_equal(read(table).matrix, [[0, 1, 1], [1, 0, 0]])
    assert read(table[0]).rows == 1
    assert read(table[0], features=1).rows == 3
    assert read(jnp.asarray(1, dtype)).rows == 1
    with pytest.raises(UnreadableError) as raised:
        read(jnp.ones((4, 3, 2), dtype))
    assert (raised.value.reason, raised.value.rows) == ("not_tabular", 4)


def test_large_arrays_are_kept_in_part() -> None:
    """As numpy's are: a copy of every so many rows."""
    large = jnp.asarray(np.arange(3000.0, dtype=np.float32).reshape(1000, 3))
    kind = kind_of(type(large))
    assert kind.keep(large) is LARGE
    assert kind.shape(large) == (1000, 3)
    np.testing.assert_array_equal(kind.part(large, 10), np.asarray(large)[::10])


# ── dispatch ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_nobody_waits_for_the_computation() -> None:
    """The call returns before its answer is there, and a fold that meets it gives up; the rows count all the same."""
    times = lasting(5.0)
    with capture(fold_interval=60) as telemetry:
        predict = mlobs.observe(model="m")(slow)
        began = time.perf_counter()
        answer = predict(X, times)
        for _ in range(5):  # jax itself waits where more than 32 computations are under way
            answer = predict(answer[:, None] + X, times=1)  # of an input that is not there yet
        assert not answer.is_ready()
        assert rows(telemetry) == {("m", "slow"): 48}
        assert not answer.is_ready()
        assert time.perf_counter() - began < 4.0
        # an answer of one dimension counts as one until its values are known
        assert telemetry.total("mlobs.sdk.dropped", reason="unreadable") == 5 * 8 + 6
        answer.block_until_ready()
        predict(X)
        until_ready()
        assert values(telemetry, "input") == {"f0": 16, "f1": 16, "f2": 16}
        assert values(telemetry, "output") == {"prediction": 8}
        assert telemetry.total("mlobs.sdk.errors") == 0


def test_what_is_donated_is_donated(telemetry: Telemetry) -> None:
    """The buffer is the computation's, with mlobs as without; inputs that were ready have been read before it was gone."""
    donating = jax.jit(lambda x: x + 1, donate_argnums=0)
    predict = mlobs.observe(model="m", operation="add")(donating)
    for _ in range(5):
        given = jnp.array(X)
        given.block_until_ready()
        where = given.unsafe_buffer_pointer()
        answer = predict(given)
        assert given.is_deleted()
        assert answer.unsafe_buffer_pointer() == where  # nothing that mlobs holds has kept the buffer from its use
        np.testing.assert_array_equal(answer, X + 1)
    slow(X).block_until_ready()
    pending = slow(jnp.asarray(X))[:, None] + jnp.zeros((8, 3))
    predict(pending).block_until_ready()
    assert pending.is_deleted()
    assert rows(telemetry) == {("m", "add"): 48}
    assert values(telemetry, "input")["f0"] >= 40
    with pytest.raises(UnreadableError, match="donated"):
        read(pending)
    with pytest.raises(RuntimeError, match="deleted"):
        predict(pending)
    assert errors(telemetry) == {"RuntimeError": 1}


# ── tracing ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("spans", ["never", "always"])
def test_what_is_traced_is_no_prediction(spans: str) -> None:
    """Under jit, grad, vmap and make_jaxpr a decorated function makes the same program and counts nothing."""
    with capture(spans=spans) as telemetry:
        predict = mlobs.observe(model="m")(jax.jit(score))
        total = lambda x: predict(x).sum()  # noqa: E731 - a function to be traced
        bare = lambda x: jax.jit(score)(x).sum()  # noqa: E731 - likewise
        assert str(jax.make_jaxpr(total)(X)) == str(jax.make_jaxpr(bare)(X))
        np.testing.assert_array_equal(jax.jit(total)(X), jax.jit(bare)(X))
        np.testing.assert_array_equal(jax.grad(total)(X), jax.grad(bare)(X))
        np.testing.assert_array_equal(jax.vmap(predict)(X[:, None]), jax.vmap(score)(X[:, None]))
        assert calls(telemetry) == {}
        assert telemetry.spans == []
        assert telemetry.total("mlobs.sdk.dropped") == 0
        assert telemetry.total("mlobs.prediction.active") == 0
        predict(X)
        assert rows(telemetry) == {("m", "score"): 8}


def test_tracers_inside_containers_are_met_too(telemetry: Telemetry) -> None:
    """In dicts, lists and tuples; a coroutine and a generator as well; what raises while it is traced raises."""
    predict = mlobs.observe(model="m")(lambda x: jax.tree.leaves(x)[0] * 2)
    for shape in (lambda x: {"a": x}, lambda x: [x, x], lambda x: (x, x)):
        jax.jit(lambda x, shape=shape: predict(shape(x)))(X)

    @mlobs.observe(model="m")
    async def soon(x: Any) -> Any:
        return x + 1

    @mlobs.observe(model="m")
    def pieces(x: Any) -> Any:
        yield x + 1

    def drive(x: Any) -> Any:
        try:
            soon(x).send(None)
        except StopIteration as stop:
            return stop.value

    jax.jit(drive)(X)
    jax.jit(lambda x: next(pieces(x)))(X)
    fails = mlobs.observe(model="m")(lambda x: bool(x.sum() > 0))
    with pytest.raises(jax.errors.TracerBoolConversionError):
        jax.jit(fails)(X)
    assert calls(telemetry) == {}
    with pytest.raises(TracedError):
        jax.jit(read)(X)


# ── errors, copies, threads ─────────────────────────────────────────────────────────────────────────────────────────

BAD: list[Any] = [X[:, 0], X.astype(str), None, X[:, :2], {"x": X}]


@pytest.mark.parametrize("given", BAD, ids=["wrong shape", "wrong dtype", "nothing", "wrong width", "wrong structure"])
def test_errors_are_jaxs_own(given: Any, telemetry: Telemetry) -> None:
    """The same type and words as without mlobs, counted by type."""
    jitted = jax.jit(lambda x: x @ jnp.ones(3) if x.shape[1] else x)
    with pytest.raises(Exception) as bare:
        jitted(given)
    with pytest.raises(type(bare.value)) as raised:
        mlobs.observe(model="m", operation="f")(jitted)(given)
    assert str(raised.value) == str(bare.value)
    kind = type(bare.value)
    assert errors(telemetry) == {
        kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}": 1
    }


def test_an_empty_batch(telemetry: Telemetry) -> None:
    """No rows are no error."""
    predict = mlobs.observe(model="m")(jax.jit(score))
    assert predict(X[:0]).shape == (0,)
    assert predict(jnp.zeros((0, 3))).shape == (0,)
    assert calls(telemetry) == {("m", "score"): 2}
    assert rows(telemetry) == {}


def test_pickles_and_threads(telemetry: Telemetry) -> None:
    """A decorated function travels by value, and threads share it."""
    predict = mlobs.observe(model="m")(score)
    again = cloudpickle.loads(cloudpickle.dumps(predict))
    np.testing.assert_array_equal(again(X), score(X))
    jitted = mlobs.observe(model="m", operation="jitted")(jax.jit(score))
    begin = threading.Barrier(4)

    def ask(_: int) -> None:
        begin.wait()
        for _ in range(25):
            jitted(X)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, range(4)))
    assert rows(telemetry)["m", "jitted"] == 800


def test_an_outer_function_has_the_word(telemetry: Telemetry) -> None:
    """One prediction, the outer one's; the duration is that of the dispatch, unless the function waits."""
    inner = mlobs.observe(model="inner")(jax.jit(score))

    @mlobs.observe(model="outer")
    def serve(x: Any) -> Any:
        return inner(x).block_until_ready()

    serve(X)
    assert rows(telemetry) == {("outer", "serve"): 8}
