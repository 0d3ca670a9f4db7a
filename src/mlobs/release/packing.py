"""Predictions and truths as few bytes: what tickets seal, and what join stores keep.

    flags  1   bit 0: has a trace, bit 1: has a score, bits 2-4: kind of the label, bits 5-6: task
    time   8   microseconds since the epoch
    names  2+  length, then model, version, variant: each its length (7 bits a byte) and its text
    trace  25  trace id, span id, flags
    score  8
    label      the rest

All numbers are little-endian. Where a reader must not learn the label from the length, it is padded to a multiple of 32
bytes (ISO/IEC 7816-4: a byte 0x80, then zeros). Nothing in here raises for what a model may have said: a name or a class of more than 500
characters is cut as it is in attributes (`mlobs.otel.points.sendable`), and all texts at 160 characters where that
would still be more than 3,000 bytes; a label that is neither text nor a number, or an integer of more than 2,000 bits,
is no label, and a score that no float can hold no score.
"""

from __future__ import annotations

import struct
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

import numpy as np

from mlobs.otel.points import LONGEST, sendable
from mlobs.release.prediction import Prediction

Label = str | int | float | bool | None

LARGEST: Final = 3000  # bytes; a ticket of them is just below 4,096 characters
_SHORTER: Final = 160  # characters; four texts of four bytes each, the rest, and room
_BITS: Final = 2000

_BLOCK: Final = 32  # bytes; the names of most classes are shorter
_PAD: Final = b"\x80".ljust(_BLOCK, b"\0")

_HEAD: Final = struct.Struct("<BqH")
_FLOAT: Final = struct.Struct("<d")
_LATEST: Final = 2**62  # microseconds; beyond any clock
_TASKS: Final = {"": 0, "binary": 1 << 5, "multiclass": 2 << 5, "regression": 3 << 5}
_TASK: Final = tuple(_TASKS)
_NONE, _FALSE, _TRUE, _INT, _REAL, _TEXT = range(6)


def plain(value: Any) -> Label:  # noqa: ANN401 - whatever a model or a person says
    """A label as one of Python's own: numpy's scalars, enumerations and other subclasses become what they stand for.

    Anything that is neither text nor a real number is None, and so is an integer of more than 2,000 bits.
    """
    kind = type(value)
    if kind is str or kind is bool or kind is float:
        return value  # type: ignore[no-any-return]
    if issubclass(kind, np.generic):
        value = _scalar(value, kind)
        kind = type(value)
    found: Label = None
    if kind is bool:
        found = bool(value)
    elif issubclass(kind, int):
        whole = int.__index__(value)
        found = whole if whole.bit_length() <= _BITS else None
    elif issubclass(kind, float):
        found = float.__float__(value)
    elif issubclass(kind, str):
        found = str.__str__(value)
    elif kind is Decimal and value.is_finite():
        found = float(value)
    return found


def _scalar(value: Any, kind: type) -> object:  # noqa: ANN401 - any scalar of numpy's
    if not issubclass(kind, (np.bool_, np.integer, np.floating, np.str_)) or issubclass(kind, np.timedelta64):
        return None
    try:
        return float(value) if issubclass(kind, np.floating) else value.item()
    except Exception:  # noqa: BLE001 - somebody's subclass
        return None


def pack(prediction: Prediction, *, padded: bool = False) -> bytes:
    """All of a prediction but its id, in at most 3,000 bytes; ``padded``: of one length, whatever short label it has."""
    packed = _packed(prediction, LONGEST, padded=padded)
    return packed if len(packed) <= LARGEST else _packed(prediction, _SHORTER, padded=padded)


def unpack(key: bytes, packed: bytes, *, padded: bool = False) -> Prediction:
    """The prediction of an id. Raises ValueError for anything that `pack` has not made."""
    try:
        flags, micros, length = _HEAD.unpack_from(packed)
        at = _HEAD.size + length
        model, version, variant = _read_names(packed[_HEAD.size : at])
        trace = score = None
        if flags & 1:
            trace = (
                int.from_bytes(packed[at : at + 16], "little"),
                int.from_bytes(packed[at + 16 : at + 24], "little"),
                packed[at + 24],
            )
            at += 25
        if flags & 2:
            score = _FLOAT.unpack_from(packed, at)[0]
            at += 8
        if flags >> 7 or at > len(packed):
            raise ValueError("no packed prediction")
        label = _read_label(flags >> 2 & 7, _bare(packed[at:]) if padded else packed[at:])
        return Prediction(key, model, version, variant, micros / 1e6, trace, _TASK[flags >> 5], label, score)
    except (struct.error, IndexError) as error:
        raise ValueError("no packed prediction") from error


def pack_truth(actual: Label) -> bytes:
    """A truth, as `plain` gives it, in at most 2,001 bytes."""
    kind, text = _label(actual, LONGEST)
    return bytes((kind,)) + text


def unpack_truth(packed: bytes) -> Label:
    """The truth. Raises ValueError for anything that `pack_truth` has not made."""
    if not packed:
        raise ValueError("no packed truth")
    return _read_label(packed[0], packed[1:])


def _packed(prediction: Prediction, longest: int, *, padded: bool) -> bytes:
    _, model, version, variant, time, trace, task, label, score = prediction
    names = _names(model, version, variant, longest)
    kind, text = _label(label, longest)
    if padded:
        text += _PAD[: _BLOCK - len(text) % _BLOCK]
    flags = kind << 2 | _TASKS.get(task, 0)
    if score is not None:
        try:
            text = _FLOAT.pack(score) + text
            flags |= 2
        except (struct.error, OverflowError):  # no number, or none that a float holds
            pass
    if trace is not None:
        flags |= 1
        text = (
            (trace[0] & (1 << 128) - 1).to_bytes(16, "little")
            + (trace[1] & (1 << 64) - 1).to_bytes(8, "little")
            + bytes((trace[2] & 255,))
            + text
        )
    try:
        micros = min(max(round(time * 1e6), -_LATEST), _LATEST)
    except (ValueError, OverflowError):  # a clock that says NaN
        micros = 0
    return _HEAD.pack(flags, micros, len(names)) + names + text


@lru_cache(maxsize=1024)
def _names(model: str, version: str, variant: str, longest: int) -> bytes:
    found = b""
    for name in (model, version, variant):
        text = sendable(name, longest).encode()
        size = len(text)
        found += (bytes((size,)) if size < 128 else bytes((size & 127 | 128, size >> 7))) + text
    return found


@lru_cache(maxsize=1024)
def _read_names(packed: bytes) -> tuple[str, str, str]:
    at, found = 0, []
    for _ in range(3):
        size = packed[at]
        at += 1
        if size > 127:
            size = size & 127 | packed[at] << 7
            at += 1
        found.append(packed[at : at + size].decode())
        at += size
    if at != len(packed):
        raise ValueError("no packed names")
    return found[0], found[1], found[2]


def _label(said: object, longest: int) -> tuple[int, bytes]:
    label = plain(said)
    if label is None:
        return _NONE, b""
    if label is True or label is False:
        return (_TRUE if label else _FALSE), b""
    if type(label) is int:
        return _INT, label.to_bytes(label.bit_length() // 8 + 1, "little", signed=True)
    if type(label) is float:
        return _REAL, _FLOAT.pack(label)
    return _TEXT, sendable(str(label), longest).encode()


def _bare(padded: bytes) -> bytes:
    """Without its padding. Raises ValueError where there is none."""
    text = padded.rstrip(b"\0")
    if text[-1:] != _PAD[:1] or len(padded) - len(text) >= _BLOCK:
        raise ValueError("no padding")
    return text[:-1]


def _read_label(kind: int, packed: bytes) -> Label:
    if kind == _TEXT:
        return packed.decode()
    if kind == _REAL and len(packed) == 8:
        return float(_FLOAT.unpack(packed)[0])
    if kind == _INT and 0 < len(packed) <= _BITS // 8 + 1:
        return int.from_bytes(packed, "little", signed=True)
    if kind > _TRUE or packed:
        raise ValueError("no packed label")
    return None if kind == _NONE else kind == _TRUE
