"""Classes that cloudpickle sends to another process and back.

It knows a class of ``__main__`` that comes back, and sets what it has anew: copies of our stand-ins, which observe nothing
where they are loaded. Here a class keeps those that it has.
"""

from __future__ import annotations

import functools
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

_COPIES: Final = (
    "cloudpickle.cloudpickle",
    "joblib.externals.cloudpickle.cloudpickle",
    "pyspark.cloudpickle.cloudpickle",
    "ray.cloudpickle.cloudpickle",
)
_SETTER: Final = "_class_setstate"


@functools.cache
def keep(stands_in: Callable[[object], bool]) -> None:
    """From now on, in every copy of cloudpickle that is or will be imported; ``stands_in`` says what is kept."""
    import wrapt

    def imported(module: ModuleType) -> None:
        setter = getattr(module, _SETTER, None)
        if setter is None:
            return

        # pickles have its name, and it is looked up when they are loaded
        @functools.wraps(setter)
        def set_and_keep(cls: type, *args: object, **kwargs: object) -> object:
            ours: dict[str, object] = {}
            with suppress(Exception):  # of whatever a class may hold
                ours.update((name, value) for name, value in dict(vars(cls)).items() if stands_in(value))
            answer: object = setter(cls, *args, **kwargs)
            with suppress(Exception):  # it does not let itself be changed
                for name, value in ours.items():
                    setattr(cls, name, value)
            return answer

        setattr(module, _SETTER, set_and_keep)

    for name in _COPIES:
        wrapt.register_post_import_hook(imported, name)
