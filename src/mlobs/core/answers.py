"""What the rows of an answer say as predictions: a label, a score, both or neither.

Tickets and the counts of scores read by the same rules, which docs/outcomes.md has as a table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from mlobs.core.column import columns_of, is_whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from mlobs.columns import Block
    from mlobs.core.column import Column
    from mlobs.release.objective import Objective
    from mlobs.release.packing import Label

    Floats = NDArray[np.float64]
    Mask = NDArray[np.bool_]

# whose answers are no probabilities and no labels, also where they look like some
MARGINS: Final = frozenset(("decision_function", "predict_log_proba", "score_samples"))
_LABEL: Final = "label"  # of columns with names
_SCORE: Final = "score"
_NEAR: Final = 1e-3  # how far from one a sum of probabilities may be
_EXACT: Final = 2**53  # from here on not every whole number is a float
_HALF: Final = 0.5


class Said(NamedTuple):
    """Of each row whether it has a label, which one, and its score, NaN where it has none.

    ``labels`` are positions in ``classes`` where these are given. ``reason``: for what rows without both are dropped.
    """

    labelled: Mask
    labels: Sequence[Any] | NDArray[Any]
    scores: Floats
    classes: Sequence[Label] | None = None
    reason: str = "score_unread"

    @property
    def unread(self) -> int:
        """How many rows say nothing."""
        return int(np.count_nonzero(~self.labelled & np.isnan(self.scores)))


def read(block: Block, objective: Objective | None) -> Said:
    """What each row says. A bad row, of NaN say, is one that says nothing; the others are read all the same."""
    matrix, names, width = block.matrix, block.names, block.width
    if not width or not block.rows:
        return _nothing(block.rows)
    if matrix is not None and matrix.dtype.kind == "f" and width > 1 and names is None and block.source is None:
        return _probabilities(matrix, objective)
    columns = columns_of(block)
    if width == 1:
        return _single(columns[0], objective)
    task = None if objective is None else objective.task
    if names is not None and _LABEL in names:
        where = names.index(_LABEL)
        label = columns[where].values() if task == "regression" else columns[where].classes()
        return _named(label, _beside(names, where, columns), objective)
    return _several(columns, objective, named=names is not None)


def _several(columns: list[Column], objective: Objective | None, *, named: bool) -> Said:
    """Columns beside each other of which none is called label."""
    task = None if objective is None else objective.task
    numbers = [column.numbers for column in columns if column.numbers is not None]
    labels = [column for column in columns if column.labelled is not None]
    if task == "regression" or len(labels) + len(numbers) < len(columns) or len(labels) > 1:
        return _nothing(columns[0].rows)
    if not labels:
        matrix = np.column_stack(numbers)
        where = _merged(matrix) if named else None
        if where is None:
            return _probabilities(matrix, objective)
        labels = [columns[where].classes()]
        del numbers[where]
    label = labels[0]
    if objective is not None and task == "binary":
        label = label.among((objective.positive, objective.negative))
    return _named(label, numbers, objective)


def _merged(matrix: Floats) -> int | None:
    """Where in a frame labels are that became floats, beside others or for missing ones: whole, where all others have fractions."""
    found = np.flatnonzero((is_whole(matrix) | np.isnan(matrix)).all(axis=0))
    return int(found[0]) if len(found) == 1 and _sums(matrix).mean() < _HALF else None


def upright(block: Block, objective: Objective | None) -> Iterator[Block]:
    """The rows of a block: the probabilities that were answered for one row of input are one row, not as many."""
    matrix, vector = block.matrix, block.vector
    wanted = None if objective is None or objective.task == "regression" else objective.width
    if not vector or vector != wanted or matrix is None or matrix.dtype.kind != "f" or matrix.shape[1] != 1:
        yield block
        return
    rows: NDArray[Any] = matrix.reshape(-1, vector)
    good = _sums(rows)
    if good.any():
        yield block._replace(rows=int(good.sum()), names=None, matrix=rows[good], source=None)
    if not good.all():
        rest = rows[~good].reshape(-1, 1)
        yield block._replace(rows=len(rest), matrix=rest, source=None)


def vector(kept: Any) -> int:  # noqa: ANN401 - what was kept of an answer
    """How many numbers an answer of one dimension has; 0 of any other."""
    cls = type(kept)
    if cls is list:
        return len(kept) if kept and issubclass(type(kept[0]), (float, np.floating)) else 0
    return len(kept) if issubclass(cls, np.ndarray) and kept.ndim == 1 else 0


def _nothing(rows: int, reason: str = "score_unread") -> Said:
    return Said(np.zeros(rows, bool), (), np.full(rows, np.nan), None, reason)


def _beside(names: Sequence[str], where: int, columns: Sequence[Column]) -> list[Floats]:
    """The score, or the probabilities, beside a column of labels."""
    if _SCORE in names:
        found = columns[names.index(_SCORE)].numbers
        return [] if found is None else [found]
    others = [column.numbers for index, column in enumerate(columns) if index != where]
    numbers = [one for one in others if one is not None]
    return numbers if len(numbers) == len(others) else []


# ── rows ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _single(column: Column, objective: Objective | None) -> Said:
    """One value a row: a label, or a float, which its task says what it is."""
    numbers, task = column.numbers, None if objective is None else objective.task
    if column.labelled is not None:
        return Said(column.labelled, column.labels, np.full(len(column.labelled), np.nan))
    if numbers is None:
        return _nothing(column.rows)
    if task == "binary":
        return _nothing(len(numbers))._replace(scores=_scores(numbers))
    if task == "multiclass":
        labelled = _is_class(numbers, objective)
        return Said(labelled, numbers, np.where(labelled, np.nan, _scores(numbers)))
    scores = np.full(len(numbers), np.nan) if task == "regression" else _scores(numbers)
    return Said(np.ones(len(numbers), bool), numbers, scores)


def _is_class(numbers: Floats, objective: Objective | None) -> Mask:
    """Which floats are classes: whole ones; 0 and 1 are probabilities where the classes have other names."""
    whole = is_whole(numbers)
    known = () if objective is None else objective.classes
    if not known:
        return whole
    named = np.isin(numbers, [label for label in known if isinstance(label, (int, float)) and abs(label) < _EXACT])
    with np.errstate(invalid="ignore"):
        return named | (whole & ~((numbers >= 0) & (numbers <= 1)))


def _named(label: Column, beside: list[Floats], objective: Objective | None) -> Said:
    """A label beside a score, or beside probabilities."""
    labelled = label.labelled
    if labelled is None:
        return _nothing(label.rows)
    scores = np.full(len(labelled), np.nan)
    if len(beside) == 1:
        scores = _scores(beside[0])
    elif beside:
        matrix = np.column_stack(beside)
        scores = np.where(_sums(matrix), _deciding(matrix, objective, text=label.text), np.nan)
    return Said(labelled, label.labels, scores)


def _deciding(matrix: NDArray[Any], objective: Objective | None, *, text: bool) -> Floats:
    """Of rows of probabilities the one of the positive class, or, of more than two, the largest."""
    task = None if objective is None else objective.task
    if matrix.shape[1] == 2 and (task == "binary" or (task is None and not text)):
        chosen: NDArray[Any] = matrix[:, 1 if objective is None else objective.column]
    elif task == "binary":
        return np.full(len(matrix), np.nan)
    else:
        chosen = matrix.max(axis=1)
    return np.minimum(np.asarray(chosen, np.float64), 1.0)


def _probabilities(matrix: NDArray[Any], objective: Objective | None) -> Said:
    """Rows of class probabilities; without the objective's classes a class goes by its position."""
    rows, width = matrix.shape
    if objective is not None and objective.task == "regression":
        return _nothing(rows)
    good = _sums(matrix)
    wanted = None if objective is None else objective.width
    if wanted is not None and width != wanted:
        return _nothing(rows, "class_width" if good.any() else "score_unread")
    if width == 2 and (objective is None or objective.task != "multiclass"):
        return _nothing(rows)._replace(scores=np.where(good, _deciding(matrix, objective, text=False), np.nan))
    best = matrix.argmax(axis=1)
    scores = np.where(good, np.minimum(np.asarray(matrix.max(axis=1), np.float64), 1.0), np.nan)
    classes = objective.classes if objective is not None and objective.classes else tuple(range(width))
    return Said(good, best, scores, classes)


def _sums(matrix: NDArray[Any]) -> Mask:
    """Which rows are probabilities: none negative, and together one."""
    with np.errstate(invalid="ignore", over="ignore"):
        near: Mask = np.abs(matrix.sum(axis=1, dtype=np.float64) - 1) <= _NEAR
        return near & (matrix >= 0).all(axis=1)


def _scores(numbers: Floats) -> Floats:
    with np.errstate(invalid="ignore"):
        return np.where((numbers >= 0) & (numbers <= 1), numbers, np.nan)
