"""The contract between mlobs and an integration: what one declares, and what mlobs does for it. Little but types.

An integration is a flat module, found through the entry-point group ``mlobs_integration``; the entry point names an
`Integration`. Whatever it changes it changes through `Hooks`, so that `mlobs.uninstrument` can put everything back.
Its functions are called under mlobs' guard: what they raise is counted and never reaches the user.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import CodeType, MappingProxyType
from typing import Any, NamedTuple, Protocol

from mlobs.errors import UnreadableError

__all__ = ["Answering", "Caller", "Hooks", "Integration", "Named", "Reading", "Report", "Served", "UnreadableError"]


class Report(Protocol):
    """What an integration can say of an observed call beside its time and data. Nothing here raises or waits."""

    def stage(self, name: str, seconds: float) -> None:
        """A part of the call, or the wait before it (``queue``), took so long: `mlobs.stage.duration`."""

    def gpu(self, finished: Callable[[], float | None]) -> None:
        """The call's GPU time: ``finished`` is asked from mlobs' own thread until it says seconds instead of None."""

    def gpu_memory(self, size: float) -> None:
        """The most bytes of GPU memory that a call of this model has had allocated, as far as it is known."""

    def tokens(self, *, read: int | None = None, written: int | None = None) -> None:
        """Tokens of a generation, of its prompt and of its answer: `gen_ai.client.token.usage`."""

    def first_token(self, seconds: float) -> None:
        """How long the first token of a generation took: `gen_ai.server.time_to_first_token`."""

    def next_token(self, seconds: float) -> None:
        """How long each further token took, on average: `gen_ai.server.time_per_output_token`."""


Watch = Callable[[Report, tuple[Any, ...], Mapping[str, Any]], "Callable[[Any], None] | None"]


class Named(NamedTuple):
    """How a model says it is called: its name and version, and a reference: a `mlobs.Profile`, or the path of one.

    A file that cannot be read is told in the log once, and the model goes without.
    """

    name: str
    version: str | None = None
    reference: Any = None

    @classmethod
    def hub(cls, model: object) -> Named | None:
        """What the ``config`` of a model of transformers says: its name on the hub and the commit, or its folder's name."""
        config = getattr(model, "config", None)
        path = getattr(config, "name_or_path", None)
        if not isinstance(path, str) or not path:
            return None
        commit = getattr(config, "_commit_hash", None)
        local = path.count("/") > 1 or path.startswith((".", os.sep)) or "\\" in path or Path(path).exists()
        return cls(Path(path).resolve().name if local else path, commit if isinstance(commit, str) else None)


class Reading(NamedTuple):
    """How the calls of an operation are read, where they are not as scikit-learn's are.

    operation
        what the call is called; the method's name where not given.
    inputs
        the argument that holds the rows: its name, or a function of all the call's arguments, the instance among them.
        By default the first after the instance. Absent or None: nothing is read. It may raise `UnreadableError` for rows
        that cannot be read.
    first
        the first argument after the instance holds the rows, and ``inputs``, a function, is asked where there is none.
    answer
        what of the result is read as predictions; by default all of it. None: nothing.
    model
        whose predictions these are, where an instance that nobody registered only wraps it: that one's registration, identity
        or class names them.
    identity
        how an instance that nobody registered is called, asked once for each; None: by its class.
    serving
        whether a call of this instance is a prediction now. If not, nothing that happens inside counts: training.
    when
        whether a call with these arguments, all of them, the instance among them, is a prediction; if not, as above.
    unless
        asked before anything of mlobs runs; true: the original is called as if mlobs were not there.
    watch
        called as the call begins, with a `Report`, its positional arguments (the instance first) and its keywords; what
        it returns is called with the answer when the call has ended well. Of plain methods and coroutines only.
    watching
        asked before ``watch`` in each call; false: there is nothing to watch. It costs a call next to nothing
        where it is a function of C: ``functools.partial(getattr, module, "name", True)``.
    """

    operation: str | None = None
    inputs: str | Callable[..., Any] | None = None
    answer: Callable[[Any], Any] | None = None
    model: Callable[[Any], Any] | None = None
    identity: Callable[[Any], Named | None] | None = None
    serving: Callable[[Any], bool] | None = None
    when: Callable[..., bool] | None = None
    unless: Callable[[], bool] | None = None
    watch: Watch | None = None
    watching: Callable[[], object] | None = None
    first: bool = False


class Caller(Protocol):
    """Who waits for a prediction; it may be pickled, to travel with the request to the process that predicts."""

    def answered(self, answer: Any) -> None:  # noqa: ANN401 - what `Served.answers` gave there
        """Where it waits: what another process has predicted for it has come, with what `Served.answers` gave there.

        The answer of its request carries the tickets in a header, if that has not been sent; its span, if that is open, links
        to the batch's.
        """


class Served(Protocol):
    """Those for whom a block predicts."""

    def answers(self) -> Sequence[object | None]:
        """What each caller is to be told of what was predicted until now: its tickets, and the batch's span.

        To be carried to where it waits, by pickle say, for `Caller.answered`; None where there is nothing to tell. Whatever is
        given once is not given again.
        """


class Answering(Protocol):
    """A request that is being served."""

    def header(self, longest: int) -> tuple[str, str] | None:
        """The header that carries the tickets of what was predicted, its name and value.

        None where there are none, or where the value would have more than ``longest`` characters, which is counted.
        """


class Hooks(Protocol):
    """What an integration may ask for. Nothing here raises for a name that ``owner`` does not have itself."""

    def observe(self, owner: type, name: str, reading: Reading = ..., *, inherited: bool = False) -> None:
        """Observe a method that ``owner`` defines: each outermost call is a prediction of its instance.

        An ``__next__`` that raises StopIteration had nothing to predict: that is neither a call nor an error.

        The instance's identity and reference are those it was registered with, else what ``reading`` tells, else its
        class name. The first argument after the instance is the input, the result is the output. Functions, coroutine
        and generator functions, and descriptors that keep theirs in ``fn``; what is observed already, by
        `mlobs.observe` say, is left as it is, what another integration has hooked until that one is turned off.
        ``inherited``: one that ``owner`` has from above is observed for it and its subclasses only.
        """

    def suppress(self, owner: Any, name: str, *, also: Sequence[str] = ()) -> None:  # noqa: ANN401 - a class or a module
        """Count nothing that is predicted inside a method or function: training, scoring, workers of one call.

        ``also`` are as in `replace`.
        """

    def methods(self, base: type, observed: Sequence[str], suppressed: Sequence[str], reading: Reading = ...) -> None:
        """Observe and suppress methods of ``base`` and its subclasses, each in the class that defines it, mixins included."""

    def subclasses(self, base: type, each: Callable[[type], None]) -> None:
        """Call ``each`` with ``base`` and all its subclasses: those there are, and those there will be."""

    def replace(self, owner: Any, name: str, value: object, *, also: Sequence[str] = ()) -> None:  # noqa: ANN401 - a class or a module
        """Set an attribute, until `mlobs.uninstrument`.

        ``also`` are modules that have the same object under the same name: in those that are imported and still do it is
        set, too, for pickle asks for the very object that its name leads to.
        """

    def loaded(self, model: object, path: str | os.PathLike[str] | object, named: Named | None = None) -> None:
        """A model was read from this file: a profile saved beside it says its name, version and reference.

        Beside ``churn.joblib`` that is ``churn.profile.json``. ``path`` may be anything a loader takes. ``named`` has what
        the profile does not say. It may be called by a reading's ``identity``, and then has the word.
        """

    def named(self, model: object) -> Named | None:
        """How an object was registered, or is called by the profile beside its file; None where nobody has said."""

    def behind(self, find: Callable[[Any], object | None]) -> None:
        """Users hold an object that hands its calls on: of each that is registered ``find`` says to which, or None.

        That one is registered alike, and keeps its name when the one in front of it is gone.
        """

    def caller(self) -> Caller:
        """Whoever runs here now, about to wait for a prediction in a queue or batch: its span, the time, its request."""

    def serving(self, callers: Sequence[Caller], rows: Sequence[int] | None = None) -> AbstractContextManager[Served]:
        """A block, in any thread or process of this machine, in which whatever is predicted is predicted for ``callers``.

        One caller's prediction has its span under the caller's; that of several has a root span with links to theirs,
        and theirs link back. The first prediction of the block tells how long each has waited, the stage ``queue``. The
        block has a context of its own. ``rows`` says how many rows of the batch are each caller's, one by default, so that
        each request's answer carries its own tickets; where requests are served in another process, by `Served.answers`.
        """

    def report(self) -> Report | None:
        """The report of the observed call that runs here, of whatever framework or decorator; None where none runs."""

    def worker(self) -> None:
        """This process is one of an engine's workers; called in its main thread before its first task.

        An identity in the environment, which all workers share, is made its own, and SIGTERM is attended to.
        """

    def task(self) -> AbstractContextManager[None]:
        """A block in which a task of an engine runs that runs it again when it fails, in a worker process of its own.

        What it predicts is sent when it has ended well. Where it fails, by any exception but GeneratorExit, nothing of
        it is counted, as long as no other task and no other call has run in this process meanwhile.
        """

    def flush(self) -> None:
        """Send everything now, for at most the ``flush_timeout`` of the settings: the process may end without a word."""

    def on(self) -> Sequence[str]:
        """The names of the integrations that are on."""

    def frames(self) -> Sequence[CodeType]:
        """The code of mlobs' own functions that stand in for others, for compilers that look at every frame: not at these."""

    def guarded(self) -> AbstractContextManager[None]:
        """A block of the integration's own code within the framework's: what it raises is counted, and goes no further."""

    def asgi(self, owner: type, name: str = "__call__", *, position: int = 1) -> None:
        """A method that is an ASGI application: what it serves runs under the caller's span.

        Its scope is the argument at ``position``, the instance being 0; ``receive`` and ``send`` are the two after it.
        """

    def wsgi(self, owner: type, name: str = "__call__") -> None:
        """A method that is a WSGI application, likewise."""

    def under(self, headers: Mapping[str, Any]) -> AbstractContextManager[None]:
        """A block that serves a request with these headers: where it runs under no span, it runs under the caller's."""

    def answering(self) -> AbstractContextManager[Answering]:
        """A block that serves a request whose server is no application of ASGI or WSGI, and has its tickets in the end."""


class Integration(NamedTuple):
    """One framework.

    name
        as in ``mlobs.instrument("sklearn")`` and in the extra ``sklearn``.
    distribution, lowest
        the package that brings it, and its lowest version that is supported, as the extra says.
    modules
        what to do once a module of the framework has been imported. Modules nobody imports are never imported, and
        what is done to one that is there already is done at once. An error in here is counted, never raised.
    shares
        modules of other integrations, by their names, of which this one needs the hooks where those are off.
    """

    name: str
    distribution: str
    lowest: str
    modules: Mapping[str, Callable[[Hooks], None]]
    shares: Mapping[str, Sequence[str]] = MappingProxyType({})
