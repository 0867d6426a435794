"""Kernels against what independent libraries gave: make_peers.py has the cases, and makes them."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from cupy_kernels.ctc import ctc_loss
from cupy_kernels.lstm import lstm_backward, lstm_forward
from cupy_kernels.transducer import transducer_fused_loss, transducer_loss
from cupy_kernels.transducer.activations import ACTIVATIONS

STORED = np.load(Path(__file__).with_name("peers.npz"))
SEQUENCES = ("frames", "labels", "counts")


def _case(name: str) -> dict[str, Any]:
    """The arrays of a case, by their names."""
    found = (key.partition(":") for key in STORED.files)
    return {array: STORED[f"{case}:{array}"] for case, _, array in found if case == name}


def _arrays(xp: ModuleType, case: dict[str, Any], *names: str) -> list[Any]:
    return [xp.asarray(case[name]) for name in names]


def _close(found: Any, wanted: Any) -> None:
    found = found.get() if hasattr(found, "get") else found
    np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=2e-6)


def test_ctc_of_pytorch(xp: ModuleType) -> None:
    case = _case("ctc")
    loss, grad = ctc_loss(*_arrays(xp, case, "logits", *SEQUENCES), blank=5)
    _close(loss, case["loss"])
    _close(grad, case["d_logits"])


def test_transducer_of_warprnnt(xp: ModuleType) -> None:
    """It has the softmax in it, whose gradient is taken here."""
    case = _case("transducer")
    log_probs = case["logits"] - np.logaddexp.reduce(case["logits"], axis=3, keepdims=True)
    arrays = xp.asarray(log_probs), *_arrays(xp, case, *SEQUENCES)
    loss, grad = transducer_loss(*arrays, blank=0, topology="rnnt")
    _close(loss, case["loss"])
    grad = grad.get() if hasattr(grad, "get") else grad
    _close(grad - np.exp(log_probs) * grad.sum(axis=3, keepdims=True), case["d_logits"])


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_fused_transducer_of_pytorch_and_warprnnt(xp: ModuleType, activation: str) -> None:
    case = _case(f"fused {activation}")
    names = ("encoder", "predictor", "weight", "bias")
    arrays = _arrays(xp, case, *names, *SEQUENCES)
    loss, *grads = transducer_fused_loss(*arrays, blank=0, topology="rnnt", activation=activation)
    _close(loss, case["loss"])
    for name, grad in zip(names, grads, strict=True):
        _close(grad, case[f"d_{name}"])


def test_lstm_of_pytorch(xp: ModuleType) -> None:
    case = _case("lstm")
    z, w_re, y0, c0, dy = _arrays(xp, case, "z", "w_re", "y0", "c0", "cotangent")
    lengths = xp.full(3, 5, np.int32)
    y, cell, saved = lstm_forward(z, w_re, lengths, y0, c0)
    grads = lstm_backward(dy, xp.zeros_like(c0), saved, y, w_re, lengths, y0, c0)
    _close(y, case["y"])
    _close(cell, case["cell"])
    for name, grad in zip(("z", "w_re", "y0", "c0"), grads, strict=True):
        _close(grad, case[f"d_{name}"])
