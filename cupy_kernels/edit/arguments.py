"""What the operations over edit distances share: their checks, and loops over the references."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from cupy_kernels import check

SOURCE = Path(__file__).with_name("edit.cu")


def check_sequences(where: str, **arrays: Any) -> ModuleType:
    """Check pairs of labels and their lengths, given as `name`, `name_lengths`, ...

    Returns their array module.
    """
    xp = check.array_module(where, **arrays)
    batch: int | None = None
    for name in [name for name in arrays if not name.endswith("_lengths")]:
        labels, lengths = arrays[name], arrays[f"{name}_lengths"]
        check.array(where, name, labels, np.int32, batch=batch, **{f"max_{name}": None})
        batch, width = labels.shape
        check.array(where, f"{name}_lengths", lengths, np.int32, batch=batch)
        check.lengths(where, f"{name}_lengths", lengths, width, f"second axis of {name}")
    return xp


def check_row(where: str, row: Any, b: Any, b_lengths: Any, **rest: Any) -> ModuleType:
    """Check a row and the labels it belongs to; `rest` must be arrays on the same device."""
    xp = check.array_module(where, row=row, b=b, b_lengths=b_lengths, **rest)
    check_sequences(where, b=b, b_lengths=b_lengths)
    batch, max_b = b.shape
    check.array(where, "row", row, np.int32, batch=batch, **{"max_b + 1": max_b + 1})
    return xp


def used(labels: Any, lengths: Any) -> Iterator[list[int]]:
    """The labels of each sequence, without padding."""
    for sequence, length in zip(labels, lengths, strict=True):
        yield sequence[:length].tolist()


def padded(rows: list[list[int]], width: int) -> Any:
    """int32 [batch, width]: rows, with their last value behind them."""
    filled = [row + [row[-1]] * (width - len(row)) for row in rows]
    return np.array(filled, np.int32).reshape(len(rows), width)
