"""Functions whose calls an integration watches, from inside the observed call."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mlobs.core.guard import Guarded

if TYPE_CHECKING:
    from mlobs.core.guard import Guard
    from mlobs.integration import Report, Watch

After = Callable[[Any], None]


def watched(
    function: Callable[..., Any], watch: Watch, watching: Callable[[], object], report: Report, guard: Guard
) -> Callable[..., Any]:
    """``function`` with ``watch`` called before it, and what that returns after it. What these raise is counted.

    ``watching`` is asked before that, in each call: false, there is nothing to watch now.
    """

    def end(after: After, answer: object) -> None:
        with Guarded(guard, "watch"):
            after(answer)

    @functools.wraps(function)
    def plain(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed on
        after = None
        try:
            if watching():
                after = watch(report, args, kwargs)
        except Exception as error:  # noqa: BLE001 - the integration's, never the call's
            guard.error("watch", error)
        answer = function(*args, **kwargs)
        if after is not None:
            end(after, answer)
        return answer

    @functools.wraps(function)
    async def coroutine(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed on
        after = None
        with Guarded(guard, "watch"):
            if watching():
                after = watch(report, args, kwargs)
        answer = await function(*args, **kwargs)
        if after is not None:
            end(after, answer)
        return answer

    return coroutine if inspect.iscoroutinefunction(function) else plain
