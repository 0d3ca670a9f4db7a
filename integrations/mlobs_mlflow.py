"""MLflow: predictions of loaded models, by the name and version under which they are registered."""

# ruff: noqa: ANN401 - models and their metadata, of a framework that is not imported here
from __future__ import annotations

import functools
import os
import re
import sys
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mlobs.integration import Integration, Named, Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from mlobs.integration import Hooks

_META: Final = "MLmodel"
_REGISTERED: Final = "registered_model_meta"  # MLflow lays it into the folder of a model that it takes from a registry
_PROFILE: Final = "mlobs.profile.json"
_ANY: Final = re.compile(
    r"(artifacts|models?|data|m-[0-9a-f]{32}|[0-9a-f]{32})?"
)  # folders that tell no model from another
# Flavours that infer signatures as they autolog. Each is hooked for itself: what it imports of a hooked module it would keep.
_AUTOLOGGED: Final = ("mlflow.lightgbm", "mlflow.sklearn", "mlflow.xgboost")

# The folder that a model's metadata was read from: by identity, for metadata has an equality of its own.
_folders: dict[int, tuple[weakref.ref[Any], Path]] = {}


# ── which model it is ───────────────────────────────────────────────────────────────────────────────────────────────


def _remember(meta: Any, path: Any) -> None:
    folder = Path(os.fspath(path))
    folder = folder.parent if folder.name == _META else folder
    if folder.is_dir():
        key = id(meta)
        _folders[key] = weakref.ref(meta, lambda _: _folders.pop(key, None)), folder


def _folder(meta: Any) -> Path | None:
    found = _folders.get(id(meta))
    return found[1] if found is not None and found[0]() is meta else None


def _registered(folder: Path | None) -> dict[str, Any]:
    if folder is None or not (folder / _REGISTERED).is_file():
        return {}
    yaml: Any = sys.modules["yaml"]
    return yaml.safe_load((folder / _REGISTERED).read_text("utf-8")) or {}


def _profile(folder: Path | None) -> Path | None:
    """The profile that was logged with the model."""
    if folder is None:
        return None
    found = sorted(folder.glob(f"*{_PROFILE.removeprefix('mlobs')}"), key=lambda file: file.name != _PROFILE)
    return found[0] if found else None


def _named(meta: Any, folder: Path | None, model: Any) -> Named:
    """By what its metadata, its folder and its flavour say, and the beginning of its own id."""
    told = getattr(meta, "metadata", None) or {}
    path = str(getattr(meta, "artifact_path", None) or "")
    candidates = (
        *(told.get(key) for key in ("model_name", "name")),
        *(name for name in (path, folder.name if folder else "") if "/" not in name and not _ANY.fullmatch(name)),
        type(_raw(model)).__name__,
    )
    versions = (
        *(told.get(key) for key in ("model_version", "version")),
        str(getattr(meta, "model_uuid", None) or "").removeprefix("m-")[:8],
    )
    name, version = (next(filter(None, found), None) for found in (candidates, versions))
    return Named(str(name), None if version is None else str(version))


def _raw(model: Any) -> Any:
    """What the flavour has wrapped."""
    try:
        return model.get_raw_model()
    except Exception:  # noqa: BLE001 - a flavour that does not say
        return getattr(model._model_impl, "python_model", None) or model  # noqa: SLF001 - declared stable for developers


# ── streams ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class _Streams:
    """Where a stream is observed, from its first piece to its last."""

    def predict_stream(self: Any, data: Any, pieces: Iterator[Any]) -> Generator[Any, Any, Any]:
        """What the model gives; the model takes the place of the instance."""
        del self, data
        return (yield from pieces)


# ── hooks ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _models(hooks: Hooks) -> None:
    owner = sys.modules["mlflow.pyfunc"].PyFuncModel

    def identity(model: Any) -> Named:
        folder = _folder(model.metadata)
        profile = _profile(folder)
        registered = _registered(folder)
        if registered.get("model_name"):
            return Named(str(registered["model_name"]), str(registered.get("model_version") or "") or None, profile)
        named = _named(model.metadata, folder, model)
        if profile is not None:
            hooks.loaded(model, profile.with_name(profile.name.removesuffix(".profile.json")), named)
        return named

    reading = Reading(identity=identity)
    hooks.observe(owner, "predict", reading)
    hooks.observe(_Streams, "predict_stream", reading)
    stream = vars(owner)["predict_stream"]

    @functools.wraps(stream)
    def predict_stream(self: Any, data: Any, params: Any = None) -> Any:
        return _Streams.predict_stream(self, data, stream(self, data, params))

    hooks.replace(owner, "predict_stream", predict_stream)


def _metadata(hooks: Hooks) -> None:
    """Reading a model's metadata tells its folder; what is predicted while a model is logged, for its signature, is no call."""
    owner = sys.modules["mlflow.models.model"].Model
    load = vars(owner)["load"].__func__

    @functools.wraps(load)
    def load_and_look(cls: Any, path: Any) -> Any:
        meta = load(cls, path)
        try:
            _remember(meta, path)
        except (TypeError, ValueError, OSError):  # a path that is none of this machine's
            return meta
        return meta

    hooks.replace(owner, "load", classmethod(load_and_look))
    hooks.suppress(owner, "log")


def _signatures(hooks: Hooks) -> None:
    hooks.suppress(sys.modules["mlflow.models.signature"], "_infer_signature_from_input_example")


def _example(flavour: str) -> Callable[[Hooks], None]:
    """Autologging, whose `fit` is around the observed one, predicts once that has ended: here for a signature."""

    def hook(hooks: Hooks) -> None:
        hooks.suppress(sys.modules[flavour], "resolve_input_example_and_signature")

    return hook


def _metrics(hooks: Hooks) -> None:
    """And here for metrics and plots: where it was turned on before, it holds what calls this, which looks this up."""
    hooks.suppress(sys.modules["mlflow.sklearn.utils"], "_log_specialized_estimator_content")


def _evaluation(hooks: Hooks) -> None:
    hooks.suppress(sys.modules["mlflow.models.evaluation.base"], "_evaluate")


integration = Integration(
    name="mlflow",
    distribution="mlflow",
    lowest="3.0",
    modules={
        "mlflow.models.evaluation.base": _evaluation,
        "mlflow.models.model": _metadata,
        "mlflow.models.signature": _signatures,
        "mlflow.pyfunc": _models,
        "mlflow.sklearn.utils": _metrics,
        **{flavour: _example(flavour) for flavour in _AUTOLOGGED},
    },
)
