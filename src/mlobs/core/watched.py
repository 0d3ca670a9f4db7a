"""Functions whose calls an integration watches, from inside the observed call."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlobs.core.guard import Guard
    from mlobs.integration import Report, Watch


def watched(function: Callable[..., Any], watch: Watch, report: Report, guard: Guard) -> Callable[..., Any]:
    """``function`` with ``watch`` called before it, and what that returns after it. What these raise is counted."""

    def begin(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Callable[[Any], None] | None:
        try:
            return watch(report, args, kwargs)
        except Exception as error:  # noqa: BLE001 - the integration's, never the call's
            guard.error("watch", error)
            return None

    def end(after: Callable[[Any], None], answer: object) -> None:
        try:
            after(answer)
        except Exception as error:  # noqa: BLE001 - likewise
            guard.error("watch", error)

    @functools.wraps(function)
    def plain(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed on
        after = None
        try:
            after = watch(report, args, kwargs)
        except Exception as error:  # noqa: BLE001 - the integration's, never the call's
            guard.error("watch", error)
        answer = function(*args, **kwargs)
        if after is not None:
            end(after, answer)
        return answer

    @functools.wraps(function)
    async def coroutine(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed on
        after = begin(args, kwargs)
        answer = await function(*args, **kwargs)
        if after is not None:
            end(after, answer)
        return answer

    return coroutine if inspect.iscoroutinefunction(function) else plain
