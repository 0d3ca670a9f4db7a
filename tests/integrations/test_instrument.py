"""Turning integrations on and off: by a call, by OpenTelemetry's agent, and what is said when it cannot be."""

from __future__ import annotations

import gc
import importlib
import os
import re
import subprocess
import sys
import textwrap
import types
import weakref
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import wrapt
from tests.sink import Sink

import mlobs
from mlobs import api
from mlobs.hooks.integrations import Integrations
from mlobs.integration import Hooks, Integration
from mlobs.testing import Telemetry

ROOT = Path(__file__).parents[2]


def run(script: str, folder: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a script from a file, as a user would."""
    file = folder / "program.py"
    file.write_text(textwrap.dedent(script))
    return subprocess.run(
        [*words, sys.executable, str(file)], env={**os.environ, **environ}, capture_output=True, text=True, check=False
    )


def test_every_integration_states_the_floor_of_its_extra() -> None:
    """The lowest version that an integration names is the one that its extra installs."""
    # ray[serve]>=2.55 is a floor of ray
    floors = {re.sub(r"\[\w+\]", "", name.partition(";")[0].strip()) for name in metadata.requires("mlobs") or ()}
    entries = metadata.entry_points(group="mlobs_integration")
    assert entries
    for entry in entries:
        integration = entry.load()
        assert integration.name == entry.name
        assert f"{integration.distribution}>={integration.lowest}" in floors


def test_a_name_that_nobody_knows_is_refused() -> None:
    """The error says which there are."""
    with pytest.raises(mlobs.ConfigurationError, match=r"instrument\('sklaern'\): there is no such .* sklearn"):
        mlobs.instrument("sklaern")
    with pytest.raises(mlobs.ConfigurationError, match="uninstrument"):
        mlobs.uninstrument("sklaern")
    with pytest.raises(mlobs.ConfigurationError, match=r"instrument\(\['sklearn'\]\): expected names.*Try: "):
        mlobs.instrument(["sklearn"])  # type: ignore[arg-type]
    mlobs.uninstrument()  # with nothing on
    mlobs.uninstrument("sklearn")


def test_nothing_is_imported_for_an_integration(tmp_path: Path) -> None:
    """`mlobs.instrument()` loads no framework and starts no thread; what is imported afterwards is hooked."""
    done = run(
        """
        import sys, threading, mlobs
        mlobs.instrument()
        loaded = {name.partition(".")[0] for name in sys.modules}
        assert not loaded & {"sklearn", "joblib", "scipy", "pandas", "starlette", "flask"}, loaded
        assert not any(name.startswith("opentelemetry.sdk") for name in sys.modules)
        assert threading.active_count() == 1
        from sklearn.linear_model import LogisticRegression
        print(LogisticRegression.predict.__code__.co_filename.endswith("hooked.py"))
        """,
        tmp_path,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")


def test_without_the_framework_it_is_loud_when_asked_and_silent_when_not(tmp_path: Path) -> None:
    """Named, a framework that is not there raises with the cure; automatically nothing happens."""
    script = """
    import sys
    from importlib import metadata
    real = metadata.version
    def version(name):
        if name == "scikit-learn":
            raise metadata.PackageNotFoundError(name)
        return real(name)
    metadata.version = version
    sys.modules["sklearn"] = sys.modules["joblib"] = None
    import importlib.util, mlobs
    find = importlib.util.find_spec
    importlib.util.find_spec = lambda name: None if name in ("sklearn", "joblib") else find(name)
    mlobs.instrument()
    try:
        mlobs.instrument("sklearn")
    except mlobs.MissingDependencyError as error:
        print(error)
    """
    done = run(script, tmp_path)
    assert done.stderr == ""
    assert done.stdout == (
        "mlobs.instrument('sklearn'): scikit-learn is not installed. Try: pip install 'scikit-learn>=1.4'\n"
    )


# ── an integration of somebody's own ────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def framework() -> Iterator[types.ModuleType]:
    """A framework: one class with a predict method."""
    module = types.ModuleType("mlobs_test_framework")
    source = "class Model:\n    def predict(self, rows):\n        return rows[0]\n    def train(self, rows):\n        self.predict(rows)\n"
    exec(source, vars(module))
    sys.modules[module.__name__] = module
    yield module
    del sys.modules[module.__name__]


class Entry:
    """An entry point, as far as anybody asks."""

    def __init__(self, found: object) -> None:
        self.found = found
        self.name = found.name if isinstance(found, Integration) else "own"

    def load(self) -> Any:
        """What it leads to."""
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Offers an integration through the entry points' group."""

    def offer(*found: object) -> Integrations:
        monkeypatch.setattr(
            metadata, "entry_points", lambda group: [*map(Entry, found)] if group == "mlobs_integration" else []
        )
        return Integrations(api.runtime, api.registry)

    return offer


def hook(hooks: Hooks) -> None:
    """What an author of an integration writes."""
    model = sys.modules["mlobs_test_framework"].Model
    hooks.observe(model, "predict")
    hooks.suppress(model, "train")
    hooks.observe(model, "nothing of this name")
    hooks.suppress(model, "__doc__")


def test_somebody_elses_integration_comes_in_by_the_same_door(
    framework: types.ModuleType, offered: Any, telemetry: Telemetry
) -> None:
    """A package of its own is found by its entry point, hooks its framework, and is put back."""
    before = dict(vars(framework.Model))
    integrations = offered(Integration("own", "numpy", "1", {"mlobs_test_framework": hook}))
    integrations.on(())
    model = framework.Model()
    assert model.predict([[1.0, 2.0]]) == [1.0, 2.0]
    model.train([[1.0, 2.0]])
    assert telemetry.total("mlobs.prediction.rows") == 1
    integrations.off(())
    assert dict(vars(framework.Model)) == before


@pytest.mark.parametrize("order", [("general", "own"), ("own", "general")])
def test_two_integrations_that_know_one_class_observe_it_in_turn(
    order: tuple[str, str], framework: types.ModuleType, offered: Any, telemetry: Telemetry
) -> None:
    """The first one hooks it, the other one takes over once that is turned off; both off, nothing is left."""
    before = dict(vars(framework.Model))
    modules = {"mlobs_test_framework": hook}
    integrations = offered(*(Integration(name, "numpy", "1", modules) for name in ("general", "own")))
    model = framework.Model()
    for name in order:
        integrations.on((name,))
    for turned in (None, *order):
        if turned is not None:
            integrations.off((turned,))
        model.predict([[1.0]])
        model.train([[1.0]])
    assert telemetry.total("mlobs.prediction.duration") == 2
    assert dict(vars(framework.Model)) == before


def test_turned_on_and_off_it_leaves_nothing_while_it_waits(
    offered: Any, telemetry: Telemetry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often that is before the framework is imported; then it is hooked once, by those that are on."""
    modules = {"mlobs_test_later": lambda hooks: hooks.observe(sys.modules["mlobs_test_later"].Model, "predict")}
    integrations = offered(*(Integration(name, "numpy", "1", modules) for name in ("general", "own")))
    gone = []
    for _ in range(3):
        integrations.on(())
        gone += [weakref.ref(patches) for patches in integrations._on.values()]
        integrations.off(())
    integrations.on(())
    gc.collect()
    assert [patches() for patches in gone] == [None] * 6
    (tmp_path / "mlobs_test_later.py").write_text("class Model:\n    def predict(self, rows):\n        return 0.5\n")
    monkeypatch.syspath_prepend(tmp_path)
    for expected in (1, 2):
        model = importlib.import_module("mlobs_test_later").Model()
        model.predict([[1.0]])
        assert telemetry.total("mlobs.prediction.rows") == expected
        integrations.off(())
        del sys.modules["mlobs_test_later"]
        integrations.on(())  # and again once it is imported anew
    integrations.off(())


def test_an_installation_is_known_by_the_first_module(framework: types.ModuleType, offered: Any) -> None:
    """A package of another name brings the framework, or only another module is there: told apart by the first one."""
    modules = {"mlobs_nowhere.core": hook, "json": hook}
    with pytest.raises(mlobs.MissingDependencyError, match="no-such-package is not installed"):
        offered(Integration("own", "no-such-package", "1", modules)).on(("own",))
    integrations = offered(Integration("own", "no-such-package", "1", {"json": hook, "mlobs_nowhere.core": hook}))
    integrations.on(("own",))
    integrations.off(("own",))


def test_an_integration_that_breaks_harms_nobody(
    framework: types.ModuleType, offered: Any, telemetry: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    """One that cannot be loaded, and one that fails while hooking: counted and told, and the framework works."""
    api.runtime.guard.strict = False

    def broken(hooks: Hooks) -> None:
        hook(hooks)
        raise RuntimeError("boom")

    offered(ImportError("no such file")).on(())
    with pytest.raises(ImportError, match="no such file"):
        offered(ImportError("no such file")).on(("own",))
    integrations = offered(Integration("own", "numpy", "1", {"mlobs_test_framework": broken}))
    integrations.on(())
    assert framework.Model().predict([[1.0]]) == [1.0]
    integrations.off(())
    assert telemetry.total("mlobs.sdk.errors", reason="integration own") == 2
    assert "boom" in caplog.text


def test_a_version_too_old_is_left_alone_and_told(
    framework: types.ModuleType, offered: Any, telemetry: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    """Automatically one line in the log; by name an error with the cure."""
    integrations = offered(Integration("own", "numpy", "999.1", {"mlobs_test_framework": hook}))
    integrations.on(())
    framework.Model().predict([[1.0]])
    assert telemetry.numbers("mlobs.prediction.rows") == {}
    assert "pip install 'numpy>=999.1'" in caplog.text
    with pytest.raises(mlobs.MissingDependencyError, match=r"observes it from 999\.1 on\. Try"):
        integrations.on(("own",))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_forked_while_a_thread_hooks_can_import(tmp_path: Path) -> None:
    """Another thread is hooking a module when the process forks: the child hooks what it imports all the same."""
    for name in ("slow_framework", "other_framework"):
        (tmp_path / f"{name}.py").write_text("")
    script = """
    import os, threading
    from importlib import metadata
    from mlobs import api
    from mlobs.hooks.integrations import Integrations
    from mlobs.integration import Integration
    inside, over = threading.Event(), threading.Event()
    def slow(hooks):
        inside.set()
        over.wait(30)
    hooked = []
    made = Integration("own", "numpy", "1", {"slow_framework": slow, "other_framework": hooked.append})
    entry = type("Entry", (), {"name": "own", "load": lambda self: made})()
    metadata.entry_points = lambda group: [entry]
    Integrations(api.runtime, api.registry).on(())
    thread = threading.Thread(target=__import__, args=("slow_framework",))
    thread.start()
    inside.wait(30)
    child = os.fork()
    if child == 0:
        import other_framework
        os._exit(len(hooked))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    over.set()
    thread.join()
    """
    file = tmp_path / "program.py"
    file.write_text(textwrap.dedent(script))
    done = subprocess.run([sys.executable, str(file)], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr


# ── zero code ───────────────────────────────────────────────────────────────────────────────────────────────────────

SERVE = """
    import os
    import numpy as np
    from joblib import Parallel, delayed
    from sklearn.linear_model import LogisticRegression
    from sklearn.ensemble import BaggingClassifier

    X = np.random.default_rng(0).normal(size=(60, 3))
    model = LogisticRegression().fit(X, X[:, 0] > 0)
    for _ in range(7):
        model.predict(X[:2])
    if __name__ == "__main__":
        bagging = BaggingClassifier(model, 4, n_jobs=2).fit(X, X[:, 0] > 0)
        bagging.predict(X)
        print(sum(Parallel(n_jobs=2)(delayed(len)(model.predict(X)) for _ in range(5))))
        print(len(Parallel(n_jobs=2)(delayed(model.predict)(X) for _ in range(11))))
        print("auto_instrumentation" in os.environ["PYTHONPATH"])
"""


@pytest.mark.parametrize("distro", [True, False])
def test_opentelemetry_instrument_needs_no_line_of_code(sink: Sink, tmp_path: Path, distro: bool) -> None:
    """`opentelemetry-instrument python serve.py`: every prediction counted once, those of spawned processes too.

    The agents before 0.63b0 do not start in processes that are spawned; those predictions are nobody's.
    """
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_LOGS_EXPORTER": "none",
        **({} if distro else {"OTEL_PYTHON_DISTRO": "none", "OTEL_PYTHON_CONFIGURATOR": "none"}),
    }
    agent = str(Path(sys.executable).with_name("opentelemetry-instrument"))
    done = run(SERVE, tmp_path, agent, **environ)
    assert done.returncode == 0, done.stderr
    sums, inherited = done.stdout.rsplit(maxsplit=1)
    assert sums == "300\n11"
    counted: dict[str, int] = {}
    for metrics in sink.latest().values():
        if "mlobs.prediction.duration" in metrics:
            for point in metrics["mlobs.prediction.duration"].histogram.data_points:
                about = {pair.key: pair.value.string_value for pair in point.attributes}
                counted[about["model.name"]] = counted.get(about["model.name"], 0) + point.count
    assert counted == {"BaggingClassifier": 1, "LogisticRegression": 7 + 5 + 11 * (inherited == "True")}
    assert "predict LogisticRegression" in {span.name for span in sink.spans}


def test_the_agent_is_told_to_leave_mlobs_out(sink: Sink, tmp_path: Path) -> None:
    """OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=mlobs is what OpenTelemetry says it is."""
    agent = str(Path(sys.executable).with_name("opentelemetry-instrument"))
    done = run(
        SERVE,
        tmp_path,
        agent,
        OTEL_EXPORTER_OTLP_ENDPOINT=sink.url,
        OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
        OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="mlobs",
    )
    assert done.returncode == 0, done.stderr
    assert sink.calls() == 0


def test_the_instrumentor_by_hand(telemetry: Telemetry) -> None:
    """OpenTelemetry's own way to turn an instrumentation on and off works too."""
    from sklearn.linear_model import LinearRegression

    from mlobs.instrumentor import MlobsInstrumentor

    model = LinearRegression().fit([[1.0], [2.0]], [1.0, 2.0])
    MlobsInstrumentor().instrument()
    model.predict([[3.0]])
    MlobsInstrumentor().uninstrument()
    model.predict([[3.0]])
    assert telemetry.total("mlobs.prediction.duration") == 1


def test_a_package_without_metadata_says_why_it_observes_nothing(tmp_path: Path) -> None:
    """A program that was frozen without it has no integrations; the command works all the same."""
    for entry in Path(wrapt.__file__).parents[1].iterdir():
        if "mlobs" not in entry.name:
            (tmp_path / entry.name).symlink_to(entry)
    (tmp_path / "mlobs").symlink_to(Path(mlobs.__file__).parent)
    script = f"""
    import sys
    sys.path.insert(0, {str(tmp_path)!r})
    import mlobs
    from mlobs.cli.dispatch import main
    mlobs.instrument()
    mlobs.instrument()
    try:
        mlobs.instrument("sklearn")
    except mlobs.ConfigurationError as error:
        print(error)
    main(["--version"])
    """
    file = tmp_path / "program.py"
    file.write_text(textwrap.dedent(script))
    done = subprocess.run([sys.executable, "-I", "-S", str(file)], capture_output=True, text=True, check=False)
    refused, version = done.stdout.splitlines()
    assert "--copy-metadata mlobs" in refused
    assert version == "mlobs of unknown version"
    assert done.stderr.count("mlobs.instrument() observes nothing: there is no integration here") == 1
