"""Kernels as operations of TensorFlow: arguments, results, and where they do not serve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from both_forms import NEEDS_COMPILER

from cupy_kernels.backend import host
from returnn_lite import native
from returnn_lite.native import launch as module
from returnn_lite.native.launch import Result, Size, launch, like, pays, serves

pytestmark = NEEDS_COMPILER

TEXT = """
#include "kernel.h"
// y = x + offset (none: 0); of_rows [rows + 1, 2] = rows and columns.
KERNEL add(const float* x, const float* offset, float* y, int* of_rows, index_t rows,
           index_t columns, index_t count, index_t workers) {
  for (index_t i = 0; i < count; ++i) y[i] = x[i] + (offset ? *offset : 0.0f);
  for (index_t i = 0; i < 2 * rows + 2; ++i) of_rows[i] = (int)(i % 2 ? columns : rows);
}
KERNEL same_place(const float* x, float* y, index_t workers) { *y = x == y; }
KERNEL workers_of(const float* x, float* y, index_t workers) { *y = workers; }
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("kernel") / "add.cu"
    path.write_text(TEXT)
    return path


def _add(source: Path, x: Any, offset: Any, over: Any = None) -> tuple[Any, Any]:
    of_rows = Result([Size(x, 0, more=1), 2], "int32")
    sizes = Size(x, 0), Size(x, 1), Size(x)
    y, of_rows = launch(source, "add", x, offset, like(x, over), of_rows, *sizes)
    return y, of_rows


@pytest.mark.parametrize("rows", [3, 0])
def test_eager_and_in_a_graph(source: Path, rows: int) -> None:
    x, offset = tf.ones([rows, 4]), tf.constant(2.0)
    spec = tf.TensorSpec([None, 4], tf.float32)

    @tf.function(autograph=False, input_signature=[spec])
    def graph(x: Any) -> Any:
        y, of_rows = _add(source, x, offset)
        assert y.shape.as_list() == [None, 4] and of_rows.shape.as_list() == [None, 2]
        return y, of_rows

    for y, of_rows in (_add(source, x, offset), graph(x)):
        np.testing.assert_array_equal(y, np.full((rows, 4), 3.0))
        np.testing.assert_array_equal(of_rows, np.tile([[rows, 4]], (rows + 1, 1)))


def test_a_null_pointer(source: Path) -> None:
    y, _ = _add(source, tf.ones([2, 3]), None)
    np.testing.assert_array_equal(y, np.ones((2, 3)))


def test_it_is_written_over_what_nothing_else_needs(source: Path) -> None:
    """What else needs the input finds it unchanged."""

    @tf.function(autograph=False)
    def graph(x: Any) -> Any:
        passing, kept = x * 2.0, x * 3.0
        y, _ = _add(source, passing, tf.constant(1.0), over=passing)
        z, _ = _add(source, kept, tf.constant(1.0), over=kept)
        return y, z, kept

    y, z, kept = graph(tf.ones([5, 4]))
    for found, wanted in ((y, 3.0), (z, 4.0), (kept, 3.0)):
        np.testing.assert_array_equal(found, np.full((5, 4), wanted))


def test_nothing_is_allocated_for_what_is_written_over(source: Path) -> None:
    """What else needs the input keeps its place."""

    @tf.function(autograph=False)
    def graph(x: Any) -> Any:
        passing, kept = x * 2.0, x * 3.0
        (y,) = launch(source, "same_place", passing, like(passing, over=passing))
        (z,) = launch(source, "same_place", kept, like(kept, over=kept))
        return y[0], z[0], kept

    y, z, _ = graph(tf.ones([5]))
    assert (y, z) == (1, 0)


def test_it_has_as_many_workers_as_there_are(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    many, few = tf.zeros([50000]), tf.zeros([5])
    assert launch(source, "workers_of", many, Result([]))[0] == 5
    assert launch(source, "workers_of", few, Result([]))[0] == 1  # not worth waking others for


def test_where_it_serves(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames, step = tf.zeros([2, 3, 4]), tf.zeros([2, 4])
    assert pays(source, frames) and not pays(source, step)
    assert not pays(source, tf.cast(frames, tf.float64))
    with native.tensorflow_only():
        assert not serves(source)
    monkeypatch.setattr(module, "_operation", lambda: None)
    assert not serves(source)


def test_without_tensorflows_headers_it_does_not_serve(tmp_path: Path) -> None:
    """It says so once, and TensorFlow's own operations serve."""
    bad = tmp_path / "launch.cc"
    bad.write_text("#include <tensorflow/no_such_header.h>\n")
    with pytest.warns(UserWarning, match=r"cannot compile launch\.cc.*no_such_header"):
        assert host.compiled(bad) is None
