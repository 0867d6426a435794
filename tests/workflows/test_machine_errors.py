"""What is the fault of a machine, and what is not."""

from __future__ import annotations

import errno
import platform
from pathlib import Path

import pytest

from workflows.machine_errors import machines, note_machine, of_machine, this_machine


class CUDARuntimeError(RuntimeError):
    """As CuPy names it."""


STORE = Path("/tmp/store")
ILLEGAL = "an illegal memory access was encountered"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("CUDA_ERROR_ECC_UNCORRECTABLE: uncorrectable ECC error"), True),
        (CUDARuntimeError("cudaErrorDevicesUnavailable: busy"), True),
        (CUDARuntimeError(ILLEGAL), True),
        (ValueError("Failed to create cuFFT batched plan with scratch allocator"), True),
        (RuntimeError("CUDNN_STATUS_EXECUTION_FAILED in tensorflow/stream_executor"), True),
        (RuntimeError("CUBLAS_STATUS_ALLOC_FAILED"), False),
        (RuntimeError("CUDA_ERROR_OUT_OF_MEMORY: out of memory"), False),
        (MemoryError("CUDARuntimeError"), False),
        (OSError(errno.EIO, "Input/output error", "/tmp/store/a"), True),
        (OSError(errno.ENOSPC, "No space left on device", "/tmp/a"), True),
        (OSError(errno.ENOSPC, "No space left on device", "/tmp/store/a"), False),
        (OSError(errno.ENOSPC, "No space left on device", "/home/a"), False),
        (OSError(errno.ENOSPC, "No space left on device"), False),
        (OSError(errno.ENOENT, "No such file or directory", "/tmp/a"), False),
        (RuntimeError("a bug"), False),
        (KeyboardInterrupt("CUDA_ERROR_LAUNCH_FAILED"), False),
    ],
)
def test_errors(error: BaseException, expected: bool) -> None:
    assert of_machine(error, STORE) is expected


def test_what_led_to_an_error_counts() -> None:
    outer = RuntimeError("the step failed")
    outer.__cause__ = RuntimeError("CUDA_ERROR_LAUNCH_FAILED")
    assert of_machine(outer, STORE)


def test_machines_are_noted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert machines(tmp_path) == ()
    monkeypatch.delenv("SLURMD_NODENAME", raising=False)
    assert this_machine() == platform.node()
    for name in ("n1", "n2", "n1"):
        monkeypatch.setenv("SLURMD_NODENAME", name)
        note_machine(tmp_path)
    assert machines(tmp_path) == ("n1", "n2")
