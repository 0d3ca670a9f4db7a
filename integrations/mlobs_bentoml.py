"""BentoML: what an adaptive batch predicts belongs to all the requests in it, not to the one that came first."""

from __future__ import annotations

import functools
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from mlobs.integration import Integration

if TYPE_CHECKING:
    from mlobs.integration import Hooks


def _batches(hooks: Hooks) -> None:
    """Every request that waits is a job, and knows its caller; one that is split in two is the same caller's twice."""
    module = sys.modules["bentoml._internal.marshal.dispatcher"]
    dispatcher: Any = module.CorkDispatcher
    job: Any = module.Job
    split, call = dispatcher.split_job, dispatcher.outbound_call

    class Waiting(job):  # type: ignore[misc]
        """A job has slots, and this one has room."""

    @functools.wraps(job, updated=())
    def make(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed on
        made = Waiting(*args, **kwargs)
        with hooks.guarded():
            made.caller = hooks.caller()
        return made

    @functools.wraps(split)
    def split_job(self: Any, whole: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed on
        parts = split(self, whole, *args, **kwargs)
        with hooks.guarded():
            for part in parts:
                part.caller = whole.caller
        return parts

    @functools.wraps(call)
    async def outbound_call(self: Any, jobs: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed on
        with ExitStack() as block:
            with hooks.guarded():
                callers = [one.caller for one in jobs]
                rows = [self.get_batch_size(one.data) for one in jobs]
                block.enter_context(hooks.serving(callers, rows))
            return await call(self, jobs, *args, **kwargs)

    hooks.replace(module, "Job", make)
    hooks.replace(dispatcher, "split_job", split_job)
    hooks.replace(dispatcher, "outbound_call", outbound_call)


integration = Integration(
    name="bentoml",
    distribution="bentoml",
    lowest="1.4.20",
    modules={"bentoml._internal.marshal.dispatcher": _batches},
)
