"""The functions of functions.h and extended.h over their whole range, against float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cupy_kernels.backend import host
from cupy_kernels.backend.launch import launch

_SOURCE = """
#include "extended.h"
#define MAP(name, expression) \\
  KERNEL name(const float* x, float* y, index_t n, index_t workers) { \\
    BLOCKS(b, 1) THREADS(i, n) y[i] = expression; \\
  }
MAP(map_exp, exp_fast(x[i]))
MAP(map_sigmoid, sigmoid(x[i]))
MAP(map_tanh, tanh_fast(x[i]))
MAP(map_expm1, expm1_fast(x[i]))
MAP(map_erf, erf_fast(x[i]))
MAP(map_softplus, softplus(x[i]))
MAP(map_log_sigmoid, log_sigmoid(x[i]))
MAP(map_log_of_exp, (float)extended_log(extended_exp((double)x[i])))
MAP(map_log_of_sum, (float)extended_log(
    multiply(add(extended_exp((double)x[i]), extended_exp(2.0 * x[i])), extended_one())))
"""

Map = Callable[[str, Any], Any]


@pytest.fixture
def evaluate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Map:
    """Evaluates a kernel at each element."""
    monkeypatch.setenv("RETURNN_LITE_CACHE", str(tmp_path))
    source = tmp_path / "maps.cu"
    source.write_text(_SOURCE)
    if host._compiler() is None:
        pytest.skip("no C++ compiler here")
    assert host.library(source) is not None  # pytest makes an error of the warning before

    def run(name: str, x: Any) -> Any:
        x = np.asarray(x, np.float32)
        y = np.empty_like(x)
        launch(source, f"map_{name}", x, y, len(x), workers=1, xp=np)
        return y

    return run


def test_exp(evaluate: Map) -> None:
    x = np.linspace(-87, 88, 100001, dtype=np.float32)
    np.testing.assert_allclose(evaluate("exp", x), np.exp(x.astype(np.float64)), rtol=2e-7)
    found = evaluate("exp", [-np.inf, -200, 0, 100, np.inf, np.nan])
    np.testing.assert_array_equal(found, [0, 0, 1, np.inf, np.inf, np.nan])


def test_expm1(evaluate: Map) -> None:
    small = np.geomspace(1e-30, 1, 20001)
    x = np.concatenate([-small, small, np.linspace(-90, 80, 50001)]).astype(np.float32)
    np.testing.assert_allclose(evaluate("expm1", x), np.expm1(x.astype(np.float64)), rtol=3e-7)
    found = evaluate("expm1", [-np.inf, -1e9, 0, np.nan])
    np.testing.assert_array_equal(found, [-1, -1, 0, np.nan])


def test_sigmoid(evaluate: Map) -> None:
    x = np.linspace(-87, 87, 100001, dtype=np.float32)
    wanted = 1 / (1 + np.exp(-x.astype(np.float64)))
    np.testing.assert_allclose(evaluate("sigmoid", x), wanted, rtol=3e-7)
    found = evaluate("sigmoid", [-np.inf, -1000, 0, 1000, np.inf, np.nan])
    np.testing.assert_array_equal(found, [0, 0, 0.5, 1, 1, np.nan])


def test_tanh(evaluate: Map) -> None:
    small = np.geomspace(1e-30, 1, 20001)
    x = np.concatenate([-small, small, np.linspace(-12, 12, 50001)]).astype(np.float32)
    wanted = np.tanh(x.astype(np.float64))
    np.testing.assert_allclose(evaluate("tanh", x), wanted, rtol=3e-7)
    found = evaluate("tanh", [-np.inf, -50, 0, 50, np.inf, np.nan])
    np.testing.assert_array_equal(found, [-1, -1, 0, 1, 1, np.nan])


def test_erf(evaluate: Map) -> None:
    small = np.geomspace(1e-30, 1, 20001)
    x = np.concatenate([-small, small, np.linspace(-5, 5, 50001)]).astype(np.float32)
    wanted = np.vectorize(math.erf)(x.astype(np.float64))
    np.testing.assert_allclose(evaluate("erf", x), wanted, rtol=4e-7)
    found = evaluate("erf", [-np.inf, -50, 0, 50, np.inf, np.nan])
    np.testing.assert_array_equal(found, [-1, -1, 0, 1, 1, np.nan])


def test_softplus(evaluate: Map) -> None:
    x = np.linspace(-87, 100, 100001, dtype=np.float32)
    wanted = np.logaddexp(0, x.astype(np.float64))
    np.testing.assert_allclose(evaluate("softplus", x), wanted, rtol=4e-7)
    np.testing.assert_allclose(evaluate("log_sigmoid", -x), -wanted, rtol=4e-7)
    found = evaluate("softplus", [-np.inf, -1000, 1000, np.inf, np.nan])
    np.testing.assert_array_equal(found, [0, 0, 1000, np.inf, np.nan])


def test_extended_numbers_keep_what_floats_lose(evaluate: Map) -> None:
    x = -np.geomspace(1e-3, 80000, 5001).astype(np.float32)
    np.testing.assert_allclose(evaluate("log_of_exp", x), x, rtol=2e-7, atol=1e-7)
    assert evaluate("log_of_exp", [-np.inf, -1e6]).tolist() == [-np.inf, -np.inf]
    x = x[x > -40000]
    wanted = np.logaddexp(x.astype(np.float64), 2 * x.astype(np.float64))
    np.testing.assert_allclose(evaluate("log_of_sum", x), wanted, rtol=3e-7, atol=2e-7)
