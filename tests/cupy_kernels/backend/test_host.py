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

# One random problem after the other through every operation, small enough to hit all edges.
_FUZZ = """
import sys
import numpy as np
from cupy_kernels.align import ctc_align
from cupy_kernels.backend import host
from cupy_kernels.ctc import ctc_loss
from cupy_kernels.lstm import *
from cupy_kernels.lstm import stepwise
from cupy_kernels.lstm.source import SOURCE

results = []
for seed in range(int(sys.argv[1])):
    rng = np.random.default_rng(seed)
    time, batch, width = (int(x) for x in rng.integers(0, [30, 9, 25]))
    vocabulary, n = int(rng.integers(2, 40)), int(rng.integers(1, 70))
    lengths = rng.integers(0, time + 1, batch, dtype=np.int32)
    logits = rng.standard_normal((time, batch, vocabulary), np.float32) * 20
    labels = rng.integers(1, vocabulary, (batch, width), dtype=np.int32)
    counts = rng.integers(0, width + 1, batch, dtype=np.int32)
    for repetition in (True, False):
        options = dict(blank=0, label_repetition=repetition, threads=2)
        results += ctc_loss(logits, lengths, labels, counts, **options)
        results += ctc_align(logits, lengths, labels, counts, **options)
    z = rng.standard_normal((time, batch, 4 * n), np.float32)
    w = rng.standard_normal((n, 4 * n), np.float32)
    states = rng.standard_normal((2, batch, n), np.float32)
    case = (w, lengths, states[0].copy(), states[1].copy())
    dy, dc = rng.standard_normal((time, batch, n), np.float32), states[1].copy()
    for direction in (1, -1):
        y, c, saved = lstm_forward(z, *case, direction=direction, threads=2)
        grads = lstm_backward(dy, dc, saved, y, *case, direction=direction, threads=2)
        results += [y, c, *saved, *grads]
        x, wx = rng.standard_normal((time, batch, width), np.float32), w[:1].repeat(width, axis=0)
        y, c, saved = lstm_layer_forward(x, wx, w[0], *case, direction=direction, threads=2)
        results += [y, c, *saved]
        results += lstm_layer_backward(
            dy, dc, saved, y, x, wx, *case, direction=direction, threads=2
        )
        if host.library(SOURCE):
            results += stepwise.forward(np, SOURCE, z, *case, direction)
np.savez(sys.argv[2], *results)
"""


def _fuzz(
    count: int, target: Path, cache: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "RETURNN_LITE_CACHE": str(cache), **environment}
    command = [sys.executable, "-c", _FUZZ, str(count), str(target)]
    return subprocess.run(command, env=variables, cwd=PROJECT, capture_output=True, text=True)


@NEEDS_COMPILER
def test_threads_may_run_in_any_order(tmp_path: Path) -> None:
    """Backwards through every THREADS loop: a missing barrier or a race would change a result.

    Products of the LSTM have no such loops; its cells and all other kernels do.
    """
    usual, backwards = tmp_path / "usual.npz", tmp_path / "backwards.npz"
    flags = {"CXX": "g++ -ffp-contract=off"}  # the same rounding whether it vectorises or not
    assert _fuzz(12, usual, tmp_path, **flags).returncode == 0
    flags["CXX"] += " -DKERNEL_REVERSED"
    assert _fuzz(12, backwards, tmp_path, **flags).returncode == 0
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
