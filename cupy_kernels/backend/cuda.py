"""Compiles a kernel's source for the current GPU with NVRTC, through CuPy."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from cupy_kernels.backend.host import HEADERS


def options(source: Path) -> tuple[str, ...]:
    """The arguments with which NVRTC compiles a source."""
    return "-std=c++17", f"-I{HEADERS}", f"-I{source.parent}"


def function(source: Path, name: str) -> Any:
    """The CuPy function of a kernel for the current device."""
    import cupy

    return _module(source, cupy.cuda.Device().id).get_function(name)


@functools.cache
def _module(source: Path, device: int) -> Any:
    import cupy

    return cupy.RawModule(code=source.read_text(), options=options(source))
