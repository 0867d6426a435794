"""Errors of a machine rather than of a stage, and the machines that had them."""

from __future__ import annotations

import errno
import os
import platform
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from jobs.files import replace_text
from workflows.stages import MACHINES

# As CUDA, its libraries, TensorFlow and CuPy name them; what asks for too much memory is no fault.
GPU = re.compile(
    r"\bCUDA_ERROR_(?!OUT_OF_MEMORY)|\bcudaError(?!MemoryAllocation)|CUDARuntimeError"
    r"|CUDADriverError|\b(CUDNN|CUBLAS|CUSOLVER|CUSPARSE)_STATUS_(?!ALLOC_FAILED)"
    r"|\bCUFFT_(?!ALLOC_FAILED)|\bcuFFT\b|CuFFTError"
)
DISK = (errno.EIO, errno.ESTALE)
FULL = (errno.ENOSPC, errno.EDQUOT)
OWN = ("/tmp", "/var/tmp", "/dev/shm")  # folders that each machine has for itself


def of_machine(error: BaseException, store: Path) -> bool:
    """Return whether an error, or what led to it, is of the machine: its GPU, or its own disk.

    store: where there is no room for any machine, wherever it lies.
    """
    return isinstance(error, Exception) and any(
        _gpu(one) or _disk(one, store) for one in _led_to(error)
    )


def _led_to(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _gpu(error: BaseException) -> bool:
    return not isinstance(error, MemoryError) and bool(GPU.search(f"{type(error)}: {error}"))


def _disk(error: BaseException, store: Path) -> bool:
    if not isinstance(error, OSError):
        return False
    if error.errno in DISK:
        return True
    if error.errno not in FULL or not error.filename:
        return False
    place = Path(os.fsdecode(error.filename))
    own = any(map(place.is_relative_to, (tempfile.gettempdir(), *OWN)))
    return own and not place.is_relative_to(store.absolute())


def this_machine() -> str:
    """Return the name of this machine, as its batch system has it."""
    return os.environ.get("SLURMD_NODENAME") or platform.node()


def machines(stage: Path) -> tuple[str, ...]:
    """Return the machines that failed while they did the stage of a folder."""
    path = stage / MACHINES
    found = path.read_text("utf-8", "replace").split() if path.is_file() else []
    return tuple(dict.fromkeys(found))


def note_machine(stage: Path) -> None:
    """Note that this machine failed."""
    names = dict.fromkeys([*machines(stage), this_machine()])
    replace_text(stage / MACHINES, "\n".join([*names, ""]))
