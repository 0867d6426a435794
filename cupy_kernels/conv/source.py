"""The source of the operation, and how it counts tiles."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

SOURCE = Path(__file__).with_name("conv.cu")
ELEMENTS = 16  # of a tile, as in tiles.h
Pair = tuple[int, int]


class Tiles(NamedTuple):
    """How many tiles there are for outputs of so many pixels."""

    number: int
    rows: int
    columns: int


def count_tiles(batch: int, size: Pair) -> Tiles:
    """Return the tiles of outputs [batch, *size]."""
    rows, columns = (-(-n // 2) for n in size)
    return Tiles(batch * rows * columns, rows, columns)
