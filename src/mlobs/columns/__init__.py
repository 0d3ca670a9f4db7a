"""Reads what a model is given and what it answers: any supported container becomes blocks of rows.

Two halves. In the caller's thread `Kind.keep` keeps a cheap copy that the caller's later changes cannot reach; on
mlobs' own thread `blocks` turns many such copies at once into `Block`. Both look the type up in one table of kinds
(`kinds.py`), which is the only place a new container is added.
"""

from mlobs.columns.arrays import joined
from mlobs.columns.block import Block
from mlobs.columns.kinds import LARGE, SMALL, Kind, TracedError, blocks, is_container, kind_of, read
from mlobs.columns.weight import weight

__all__ = [
    "LARGE",
    "SMALL",
    "Block",
    "Kind",
    "TracedError",
    "blocks",
    "is_container",
    "joined",
    "kind_of",
    "read",
    "weight",
]
