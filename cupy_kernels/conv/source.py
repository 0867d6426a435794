"""The source of the operation, and what of images it counts."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

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


def counted(xp: ModuleType, images: Any, lengths: Any) -> Any:
    """Return images with zeros in rows that do not count."""
    if lengths is None:
        return images
    rows = xp.arange(images.shape[1])[None] < lengths[:, None]
    return xp.where(rows[:, :, None, None], images, xp.zeros((), images.dtype))
