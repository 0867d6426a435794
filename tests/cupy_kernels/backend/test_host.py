"""The host build: made once, found again, and replaced by the references where it cannot be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cupy_kernels.backend import host

PROJECT = Path(__file__).parents[3]
NEEDS_COMPILER = pytest.mark.skipif(host._compiler() is None, reason="no C++ compiler here")

FUZZ = Path(__file__).parents[1] / "fuzz.py"


def _fuzz(
    count: int, target: Path, cache: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "RETURNN_LITE_CACHE": str(cache), **environment}
    command = [sys.executable, str(FUZZ), str(count), str(target)]
    return subprocess.run(command, env=variables, cwd=PROJECT, capture_output=True, text=True)


@NEEDS_COMPILER
def test_threads_may_run_in_any_order(tmp_path: Path) -> None:
    """Backwards through every THREADS loop: a missing barrier or a race would change a result.

    Products of the LSTM have no such loops; its cells and all other kernels do.
    """
    usual, backwards = tmp_path / "usual.npz", tmp_path / "backwards.npz"
    # -ffp-contract=off: the same rounding whether it vectorises or not.
    for target, flag in ((usual, ""), (backwards, " -DKERNEL_REVERSED")):
        run = _fuzz(12, target, tmp_path, CXX="g++ -ffp-contract=off" + flag)
        assert run.returncode == 0, run.stderr[-3000:]
        assert "references serve" not in run.stderr
    with np.load(usual) as a, np.load(backwards) as b:
        assert len(a.files) > 100
        for name in a.files:
            np.testing.assert_array_equal(a[name], b[name])


@NEEDS_COMPILER
def test_no_memory_out_of_bounds(tmp_path: Path) -> None:
    query = ["g++", "-print-file-name=libasan.so"]
    asan = subprocess.run(query, capture_output=True, text=True).stdout.strip()
    if not Path(asan).is_absolute():
        pytest.skip("g++ has no AddressSanitizer here")
    run = _fuzz(
        12,
        tmp_path / "results.npz",
        tmp_path,
        CXX="g++ -O1 -fsanitize=address",
        LD_PRELOAD=asan,
        ASAN_OPTIONS="detect_leaks=0",
        PYTHONMALLOC="malloc",
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert "references serve" not in run.stderr


@NEEDS_COMPILER
def test_a_library_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETURNN_LITE_CACHE", str(tmp_path))
    source = tmp_path / "one.cu"
    source.write_text('#include "kernel.h"\nKERNEL one(float* x) { *x = 1; }\n')
    compiler = host._compiler()
    assert compiler is not None
    first = host._compiled(source, compiler)
    assert [path.name for path in (tmp_path / "kernels").iterdir()] == [first.name]
    monkeypatch.setattr(host, "_compile", lambda *_: pytest.fail("compiled again"))
    assert host._compiled(source, compiler) == first
    source.write_text(source.read_text().replace("= 1", "= 2"))
    with pytest.raises(pytest.fail.Exception, match="compiled again"):
        host._compiled(source, compiler)


@NEEDS_COMPILER
def test_a_folder_that_cannot_be_written_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RETURNN_LITE_CACHE", str(tmp_path / "file"))
    assert host._cache_folder().is_dir()


def test_without_a_compiler_the_references_serve_with_one_warning(tmp_path: Path) -> None:
    run = _fuzz(3, tmp_path / "results.npz", tmp_path, CXX="no-such-compiler")
    assert run.returncode == 0, run.stderr[-3000:]
    assert run.stderr.count("UserWarning: cupy_kernels: no C++ compiler (g++ or clang++;") == 1
    assert "the slow references serve instead" in run.stderr


def test_a_source_that_does_not_compile_warns_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if host._compiler() is None:
        pytest.skip("no C++ compiler here")
    monkeypatch.setenv("RETURNN_LITE_CACHE", str(tmp_path))
    source = tmp_path / "wrong.cu"
    source.write_text("KERNEL")
    with pytest.warns(UserWarning, match=r"cannot compile wrong\.cu: .*wrong\.cu:1:\d+: error"):
        assert host.library(source) is None
