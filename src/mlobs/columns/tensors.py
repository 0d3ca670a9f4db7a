"""PyTorch tensors in the CPU's memory, without importing torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from mlobs.columns import arrays
from mlobs.columns.kind import LARGE, SMALL, Kind
from mlobs.errors import UnreadableError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TABLE: Final = 2  # dimensions


def _here(tensor: Any) -> Any:  # noqa: ANN401 - a torch.Tensor
    """The tensor, of its graph nothing, if it can be read without waiting for a device."""
    if not tensor.is_cpu:
        raise UnreadableError(
            f"this tensor is on {tensor.device.type}, and reading it would make the call wait for that device. Give "
            "what is in the CPU's memory, of a call by observe(inputs=lambda *args, **kwargs: ...)",
            rows=int(tensor.shape[0]) if len(tensor.shape) > 1 else 1,
        )
    return tensor.detach() if tensor.requires_grad else tensor


def _array(tensor: Any) -> NDArray[Any]:  # noqa: ANN401 - a torch.Tensor, detached
    """A copy as an array."""
    try:
        array: NDArray[Any] = tensor.numpy()
    except (TypeError, RuntimeError) as error:
        try:
            array = _otherwise(tensor, error)
        except (TypeError, RuntimeError):
            raise _unlike(tensor) from error
    return array.copy()


def _otherwise(tensor: Any, error: Exception) -> NDArray[Any]:  # noqa: ANN401 - likewise
    """What numpy has no dtype for, bfloat16 say, or a view that is negated or conjugated lazily."""
    plain = tensor.float() if isinstance(error, TypeError) else tensor.resolve_conj().resolve_neg()
    converted: NDArray[Any] = plain.numpy()
    return converted


def _unlike(tensor: Any) -> UnreadableError:  # noqa: ANN401 - likewise
    try:
        rows = int(tensor.size(0)) if tensor.dim() > 1 else 1
    except RuntimeError:  # a kind that does not even know its size
        rows = 1
    return UnreadableError(
        "this tensor is no array: it is sparse, quantized, nested or of a kind of its own", rows=rows
    )


def _keep(tensor: Any) -> object:  # noqa: ANN401 - a torch.Tensor
    if tensor.is_cpu:  # as it is behind a served model
        if tensor.numel() > SMALL:
            return LARGE
        if not tensor.requires_grad:
            try:
                return tensor.numpy().copy()
            except (TypeError, RuntimeError):
                return _array(tensor)
    here = _here(tensor)
    return _array(here) if here.numel() <= SMALL else LARGE


def _shape(tensor: Any) -> tuple[int, int]:  # noqa: ANN401 - a torch.Tensor
    sizes = tensor.shape
    return (sizes[0], sizes[1]) if len(sizes) == _TABLE else arrays.shape(tensor)


def _part(tensor: Any, step: int) -> NDArray[Any]:  # noqa: ANN401 - a torch.Tensor
    here = _here(tensor)
    return _array(here[::step] if step > 1 and arrays.shape(here)[0] > 1 else here)


def _values(tensor: Any, step: int) -> NDArray[Any]:  # noqa: ANN401 - a torch.Tensor
    here = _here(tensor)
    return _array(here[::step] if step > 1 and here.ndim else here)


TENSOR: Final = Kind(_keep, _shape, _part, arrays.blocks, arrays.rows, _values)
