"""Compiles a kernel's source for the current GPU with NVRTC, through CuPy."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np

from cupy_kernels import check
from cupy_kernels.backend.host import HEADERS


def options(source: Path) -> tuple[str, ...]:
    """The arguments with which NVRTC compiles a source; all functions of it are the device's."""
    return "-std=c++17", "-default-device", f"-I{HEADERS}", f"-I{source.parent}"


def function(source: Path, name: str) -> Any:
    """The CuPy function of a kernel for the current device."""
    import cupy

    return _module(source, cupy.cuda.Device().id).get_function(name)


def room() -> tuple[int, int]:
    """Blocks that the current device runs at once, one on each of its multiprocessors; bytes of
    shared memory that each may have."""
    return _room(_device())


def launch_together(
    source: Path, name: str, *arguments: Any, blocks: int, block: int, memory: int
) -> None:
    """Run a kernel whose blocks, within `room`, all run at once, so that they can meet.

    block: threads of each. memory: bytes of shared memory of each.
    """
    kernel = _together(source, name, _device())
    values = tuple(np.int64(x) if check.whole(x) else x for x in (*arguments, blocks))
    kernel((blocks,), (block,), values, memory, enable_cooperative_groups=True)


def _device() -> int:
    import cupy

    return int(cupy.cuda.Device().id)


@functools.cache
def _room(device: int) -> tuple[int, int]:
    import cupy

    found = cupy.cuda.Device(device).attributes
    return int(found["MultiProcessorCount"]), int(found["MaxSharedMemoryPerBlockOptin"])


@functools.cache
def _together(source: Path, name: str, device: int) -> Any:
    raw = _module(source, device).get_function(name)
    raw.max_dynamic_shared_size_bytes = _room(device)[1]
    return raw.kernel


@functools.cache
def _module(source: Path, device: int) -> Any:
    import cupy

    return cupy.RawModule(code=source.read_text(), options=options(source))
