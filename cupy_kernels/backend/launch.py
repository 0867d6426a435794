"""Runs a kernel where its arrays lie."""

from __future__ import annotations

import ctypes
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from cupy_kernels import check
from cupy_kernels.backend import cuda, host


def launch(
    source: Path, name: str, *arguments: Any, workers: int, xp: ModuleType, block: int = 128
) -> None:
    """Run kernel `name` of `source` over arrays of the module `xp`.

    Arguments are contiguous arrays, integers, and None for a null pointer; `workers` is passed
    last. On the host it is the number of threads, on the GPU the number of blocks in the grid, of
    `block` threads each.
    """
    if xp is np:
        library = host.library(source)
        assert library is not None, "the operation asks host.library before it launches"
        getattr(library, name)(*map(_host_argument, (*arguments, workers)))
    else:
        given = (0 if x is None else x for x in (*arguments, workers))  # a pointer's eight bytes
        values = [np.int64(x) if check.whole(x) else x for x in given]
        cuda.function(source, name)((workers,), (block,), tuple(values))


def _host_argument(value: Any) -> ctypes.c_void_p | ctypes.c_longlong:
    if check.whole(value):
        return ctypes.c_longlong(int(value))
    return ctypes.c_void_p(None if value is None else value.ctypes.data)
