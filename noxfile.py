"""The test matrix: every supported Python, the lowest and the newest versions, the wheel as a user gets it, and judges.

`make test-matrix` runs all of it; a single one: `make test-matrix ARGS="-s lowest"`. An interpreter that is not there is
skipped with its name; where the variable CI is set, that is a failure.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nox
from packaging.version import Version

PROJECT = nox.project.load_toml("pyproject.toml")
TESTS = nox.project.dependency_groups(PROJECT, "test")
AHEAD = [version for version in ("3.14", "3.15") if shutil.which(f"python{version}")]  # where somebody has them
PYTHONS = ["3.10", "3.11", "3.12", "3.13", *AHEAD]
# by `lowest`, by `newest`, and by `make test`, which runs on this very Python
COVERED = {"3.10", "3.13", f"3.{sys.version_info.minor}"}
ELSEWHERE = [
    f"--ignore=tests/{name}" for name in ("backends", "frameworks", "scoring", "serving")
]  # each has its sessions
MOST = (*ELSEWHERE, "--ignore=tests/demo", "--ignore=tests/benchmarks")  # the last two are run by `make test`
# what a Python between the lowest and the newest may change: threads, forks, hooks, ends
BETWEEN = [f"tests/{name}" for name in ("core", "integrations", "otel", "safety/test_hosts.py", "servers", "workers")]
APART = ("test_azureml.py", "test_mlserver.py", "test_sagemaker.py")  # servers with sessions of their own
FRAMEWORKS = [
    "xgboost",
    "lightgbm",
    "catboost",
    "onnxruntime",
    "keras",
    "torch",
    "transformers",
    "sentence-transformers",
    "statsmodels",
]
# what the lowest frameworks need beside them, and do not ask for
THEN = [
    "jax==0.4.31",
    "jaxlib==0.4.31",
    "numpy<2",
    "onnx<1.17",
    "scipy<1.12",
    "setuptools",
    "sqlalchemy<2.1",
    "tensorflow-cpu<2.19",
    "tf-keras<2.19",
]
CONNECT = ["googleapis-common-protos", "grpcio-status", "zstandard"]  # what Spark Connect's clients need beside pyspark
FUZZ = {"MLOBS_EXAMPLES": "1000"}  # of hostile input, and of the calls of the soak, a quarter of what `make test` tries

nox.options.sessions = [  # the longest first: .ci/matrix runs two at a time
    *("backends", "newest", "lowest"),
    *(f"tests-{version}" for version in PYTHONS if version not in COVERED),
    *("lowest-frameworks", "servers", "frameworks", "scoring", "mlserver", "azureml", "sagemaker", "judge", "wheel"),
]
nox.options.default_venv_backend = "uv"
nox.options.stop_on_first_error = False
nox.options.download_python = "never"

if shutil.which("pyenv"):  # its python3.x commands answer only for the versions that are switched on
    found = subprocess.run(["pyenv", "versions", "--bare"], capture_output=True, text=True, check=True)
    running = ".".join(map(str, sys.version_info[:3]))
    versions = [name.strip() for name in found.stdout.splitlines() if name.strip()[0].isdigit()]
    os.environ["PYENV_VERSION"] = ":".join(sorted(versions, key=lambda name: name != running))


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run on one Python between the lowest and the newest what depends on the interpreter: threads, forks, hooks, ends."""
    session.install(".[auto,profile,prometheus,sklearn]", *TESTS)
    session.run("python", "-m", "pytest", *BETWEEN, *session.posargs)


@nox.session(python="3.10")
def lowest(session: nox.Session) -> None:
    """Run the core's tests on the lowest versions that pyproject.toml promises."""
    promised = ("auto", "gpu", "profile", "prometheus", "redis", "sklearn", "tickets")
    floors = _floors(session, *PROJECT["project"]["dependencies"], *_extras(*promised))
    session.install(f".[{','.join(promised)}]", *TESTS, floors)
    session.run("python", "-m", "pytest", *MOST, *session.posargs, env=FUZZ)


@nox.session(name="lowest-frameworks", python="3.10")
def lowest_frameworks(session: nox.Session) -> None:
    """Run frameworks and engines in the lowest versions that pyproject.toml promises, beside what there was then."""
    promised = (*FRAMEWORKS, "dask", "mlflow", "pandas", "profile", "sklearn", "spark")
    floors = _floors(session, *_extras(*promised))
    session.install(f".[auto,{','.join(promised)}]", *TESTS, "accelerate", *CONNECT, *THEN, floors)
    files = [*_files("frameworks", but=("test_jax.py",)), *_files("scoring")]  # no extra promises a version of jax
    # what is old warns of what is new
    _each(session, "tests/columns/test_torch.py", *files, options=("-W", "ignore"))


@nox.session(python="3.13")
def newest(session: nox.Session) -> None:
    """Run the core's tests on the newest Python with the newest of everything."""
    session.install("--upgrade", ".[auto,demo,profile,prometheus]", *TESTS)
    session.run("python", "-m", "pytest", *MOST, *session.posargs, env=FUZZ)


@nox.session(python="3.11")
def backends(session: nox.Session) -> None:
    """Run what needs a real Collector, Prometheus, Alertmanager: those written in Go are built first, once."""
    needed = nox.project.dependency_groups(PROJECT, "backends", "check")
    session.install("--editable", ".[auto,demo,profile,prometheus,tickets]", *TESTS, *needed)
    session.run("python", "tests/backends/tools/build.py")
    session.run("python", "-m", "pytest", "tests/backends", *session.posargs)


@nox.session(python="3.12")
def judge(session: nox.Session) -> None:
    """Run scikit-learn's own tests under `mlobs.instrument()`; what fails has to fail without mlobs too."""
    session.install(".[sklearn]", "pandas", "polars", "pyarrow", "pytest", "pytest-xdist")
    session.run(
        "python", "tests/judge/sklearn_judge.py", *session.posargs, env={"PYTEST_ADDOPTS": ""}
    )  # no second tries


@nox.session(python="3.12")
def frameworks(session: nox.Session) -> None:
    """Run what needs a framework, each file in a process of its own; with `-- --benchmark` what hooking them costs instead."""
    extras = ",".join(("auto", "mlflow", "profile", "sklearn", *FRAMEWORKS))
    session.install(f".[{extras}]", "accelerate", "jax", "onnx", "tensorflow-cpu", *TESTS)
    if "--benchmark" in session.posargs:
        session.run("python", "benchmarks/integrations.py")
        return
    _each(session, "tests/columns/test_torch.py", *_files("frameworks"))


@nox.session(python="3.12")
def servers(session: nox.Session) -> None:
    """Run servers whose dependencies can live together, for real on loopback."""
    session.install(".[auto,bentoml,kserve,litserve,mlflow,ray-serve,sklearn,tickets]", *TESTS)
    _each(session, *_files("serving", but=APART))


@nox.session(python="3.12")
def mlserver(session: nox.Session) -> None:
    """Run MLServer, which keeps FastAPI old."""
    session.install(
        ".[auto,mlserver,sklearn,tickets]", "mlserver-sklearn", "uvloop<0.22", *TESTS
    )  # its workers crash with a newer one
    _each(session, "tests/serving/test_mlserver.py")


@nox.session(python="3.11")
def sagemaker(session: nox.Session) -> None:
    """Run SageMaker's toolkit under its server, which needs Java and modules that Python 3.12 has no more."""
    session.install(".[auto,sagemaker,sklearn,tickets]", "multi-model-server", "setuptools<81", *TESTS)
    _each(session, "tests/serving/test_sagemaker.py")


@nox.session(python="3.12")
def azureml(session: nox.Session) -> None:
    """Run Azure ML's server, whose newest version keeps OpenTelemetry old."""
    session.install(".[auto,sklearn,tickets]", "azureml-inference-server-http", *TESTS)
    _each(session, "tests/serving/test_azureml.py")


@nox.session(python="3.12")
def scoring(session: nox.Session) -> None:
    """Score batches on Spark, which needs Java, and on Dask."""
    session.install(".[auto,dask,pandas,profile,spark,sklearn]", "pandas<3", *CONNECT, *TESTS)  # of which pyspark warns
    _each(session, *_files("scoring"))


def _files(folder: str, but: tuple[str, ...] = ()) -> list[str]:
    return [str(file) for file in sorted(Path("tests", folder).glob("test_*.py")) if file.name not in but]


def _extras(*names: str) -> list[str]:
    """What some extras need."""
    extras = PROJECT["project"]["optional-dependencies"]
    return [needed for name in names for needed in extras[name]]


def _floors(session: nox.Session, *needed: str) -> str:
    """The option that installs each in the lowest version that is promised, the highest of those where there are several."""
    floors: dict[str, list[str]] = {}
    for name, _, floor in (each.partition(">=") for each in needed):
        floors.setdefault(name, []).append(floor)
    lowest = (f"{name}=={max(found, key=Version)}" for name, found in floors.items())
    constraints = Path(session.create_tmp(), "lowest.txt")
    constraints.write_text("\n".join(lowest), encoding="utf-8")
    return f"--constraint={constraints}"


def _each(session: nox.Session, *files: str, options: tuple[str, ...] = ()) -> None:
    """Each file in a process of its own: frameworks set up what is one a process, and not always alike."""
    failed = []
    for file in files:
        try:
            session.run(
                "python", "-m", "pytest", file, *options, *session.posargs, success_codes=[0, 5]
            )  # 5: it needs a GPU, say
        except nox.command.CommandFailed:
            failed.append(file)
    if failed:
        session.error(f"failed: {', '.join(failed)}")


@nox.session(python="3.12")
def wheel(session: nox.Session) -> None:
    """Build the wheel, install it alone, and use it from an empty folder as a user would."""
    session.install("hatchling")
    dist = tempfile.mkdtemp(dir=Path(session.create_tmp()).resolve())
    session.run("python", "-m", "hatchling", "build", "--target=wheel", f"--directory={dist}")
    session.run("uv", "pip", "uninstall", "--quiet", "hatchling")
    (built,) = Path(dist).glob("*.whl")
    session.install(str(built))
    session.chdir(dist)
    session.run("python", "-c", "import mlobs; print(sorted(mlobs.__all__))")
    session.run("mlobs", "--version")
    session.run("mlobs", "assets", "list")
    session.run("mlobs", "assets", "export", "backends")
    session.run("python", "-c", "import pathlib; assert pathlib.Path('backends/deploy/compose.yaml').is_file()")
    session.run("mlobs", "assets", "export", "/dev/null", success_codes=[2])
    session.run("mlobs", "profile", "nowhere.csv", "-o", "x.json", success_codes=[2])
    session.install(f"{built}[profile]")
    Path(dist, "rows.csv").write_text("temp,carrier\n" + "3.5,UA\n4.5,AA\n" * 50, encoding="utf-8")
    session.run("mlobs", "profile", "rows.csv", "-o", "reference.json")
    session.run("python", "-c", "import mlobs; print(mlobs.Profile.load('reference.json'))")
