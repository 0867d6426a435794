"""Every source compiles for GPUs, which needs NVRTC but no GPU."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import cupy_kernels
from cupy_kernels.backend import cuda

SOURCES = sorted(Path(cupy_kernels.__file__).parent.rglob("*.cu"))


@pytest.fixture(scope="module")
def compile_source() -> Callable[[Path, str], str]:
    """Compiles a source for an architecture; returns the errors, or nothing."""
    wheel = pytest.importorskip("nvidia.cuda_nvrtc", reason="no wheel nvidia-cuda-nvrtc-cu12")
    nvrtc = ctypes.CDLL(str(Path(next(iter(wheel.__path__))) / "lib" / "libnvrtc.so.12"))

    def run(source: Path, architecture: str) -> str:
        program = ctypes.c_void_p()
        text, name = source.read_bytes(), source.name.encode()
        nvrtc.nvrtcCreateProgram(ctypes.byref(program), text, name, 0, None, None)
        options = [f"-arch={architecture}", *cuda.options(source)]
        array = (ctypes.c_char_p * len(options))(*(x.encode() for x in options))
        status = nvrtc.nvrtcCompileProgram(program, len(options), array)
        size = ctypes.c_size_t()
        nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        log = ctypes.create_string_buffer(size.value)
        nvrtc.nvrtcGetProgramLog(program, log)
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
        return log.value.decode() if status else ""

    return run


def test_there_are_sources() -> None:
    assert {source.name for source in SOURCES} >= {
        "activation.cu",
        "align.cu",
        "batch_norm.cu",
        "conv.cu",
        "ctc.cu",
        "edit.cu",
        "energies.cu",
        "fsa.cu",
        "layer_norm.cu",
        "linear.cu",
        "lstm.cu",
        "pool.cu",
        "self_attention.cu",
        "transducer.cu",
    }


@pytest.mark.parametrize("architecture", ["sm_75", "sm_80", "sm_90"])
@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_compiles(source: Path, architecture: str, compile_source: Any) -> None:
    assert compile_source(source, architecture) == ""


def test_an_error_names_its_line(tmp_path: Path, compile_source: Any) -> None:
    wrong = tmp_path / "wrong.cu"
    wrong.write_text('#include "kernel.h"\nKERNEL f(float* x) { THREADS(i, 3) y[i] = 0; }\n')
    assert 'wrong.cu(2): error: identifier "y" is undefined' in compile_source(wrong, "sm_80")
