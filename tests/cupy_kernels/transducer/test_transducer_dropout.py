"""Dropout of a fused joint network: its stream of numbers, forward and backward, bad arguments."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from joint_cases import as_numpy, by_slices, joint_case, joint_network

from cupy_kernels.check import ArgumentError
from cupy_kernels.transducer import (
    Dropout,
    activations,
    dropout,
    fused,
    fused_reference,
    joint,
    transducer_align,
    transducer_fused_align,
    transducer_fused_backward,
    transducer_fused_forward,
    transducer_fused_loss,
)

KEY, COUNTER = 0x123456789ABCDEF0, 2**64 - 3  # the lower half overflows
EACH = Dropout(0.4, KEY, COUNTER, (6 * 4 * 7, 4 * 7, 7))  # of [2, 6, 4, 7]
# Draws for a frame, which all numbers of labels share; in another order of the axes; for features.
SHARED = EACH._replace(strides=(6 * 7, 7, 0))
OTHERS = [SHARED, EACH._replace(strides=(7, 2 * 7, 12 * 7)), EACH._replace(strides=(0, 0, 0))]


@pytest.mark.parametrize(
    ("counter", "key", "numbers"),
    [
        (0, 0, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        (2**128 - 1, 2**64 - 1, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    ],
)
def test_the_stream_is_that_of_the_publication(counter: int, key: int, numbers: list[int]) -> None:
    """Known answers of Philox4x32-10, of its authors."""
    assert dropout._philox(key, counter, [0]).tolist() == [numbers]


@pytest.mark.parametrize("rule", [EACH, *OTHERS])
@pytest.mark.parametrize("activation", ["tanh", "elu", "silu", "maxout"])
def test_equals_the_reference(xp: ModuleType, rule: Dropout, activation: str) -> None:
    case = joint_case(pieces=2 if activation == "maxout" else 1)
    options: dict[str, Any] = {"blank": 0, "topology": "ctc", "activation": activation}
    arrays = [xp.asarray(x) for x in case]
    d_loss = np.array([1, -2], np.float32)
    loss, saved = transducer_fused_forward(*arrays, **options, dropout=rule)
    grads = transducer_fused_backward(xp.asarray(d_loss), saved, *arrays, **options, dropout=rule)
    loss64, _, slopes = fused_reference.forward(*case, **options, dropout=rule)
    grads64 = fused_reference.backward(d_loss, slopes, *case, **options, dropout=rule)
    np.testing.assert_allclose(as_numpy(loss), loss64, rtol=2e-6)
    for found, wanted in zip(map(as_numpy, grads), grads64, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
    without, _, _ = fused_reference.forward(*case, **options)
    assert not np.allclose(loss64, without, rtol=1e-3)


@pytest.mark.parametrize("activation", activations.ACTIVATIONS)
def test_slices_give_the_same(activation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joint, "SLICE_ELEMENTS", 500)
    case = joint_case(pieces=2 if activation == "maxout" else 1)
    options = fused.Options(0, "rnnt", activation, True, EACH)
    d_loss = np.array([1, -2], np.float32)
    loss, grads = by_slices(case, d_loss, options)
    loss2, saved = transducer_fused_forward(*case, **options._asdict())
    grads2 = transducer_fused_backward(d_loss, saved, *case, **options._asdict())
    np.testing.assert_allclose(loss, loss2, rtol=1e-6)
    for found, wanted in zip(grads, grads2, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_reference_gradient_equals_differences() -> None:
    rng = np.random.default_rng(4)
    case = joint_case()
    inputs, rest = [x.astype(np.float64) for x in case[:4]], case[4:]
    options: dict[str, Any] = {"blank": 0, "topology": "rna", "dropout": EACH}
    directions = [rng.standard_normal(x.shape) for x in inputs]

    def value(step: float) -> float:
        moved = [x + step * d for x, d in zip(inputs, directions, strict=True)]
        return float(fused_reference.forward(*moved, *rest, **options)[0].sum())

    _, _, slopes = fused_reference.forward(*inputs, *rest, **options)
    grads = fused_reference.backward(np.ones(2), slopes, *inputs, *rest, **options)
    found = sum((g * d).sum() for g, d in zip(grads, directions, strict=True))
    np.testing.assert_allclose(found, (value(1e-6) - value(-1e-6)) / 2e-6, rtol=1e-6)


def test_the_share_that_is_dropped_is_the_rate() -> None:
    rule = Dropout(0.3, 5, 0, (10**6, 1000, 100))
    kept = dropout.factors(rule, (3, 10, 10, 100))
    assert (kept == 0).mean() == pytest.approx(0.3, abs=0.01)
    assert kept.mean() == pytest.approx(1, abs=0.01)
    np.testing.assert_array_equal(np.unique(kept), [0, np.float32(1 / 0.7)])
    other = dropout.factors(rule._replace(key=6), (3, 10, 10, 100))
    assert ((kept == 0) & (other == 0)).mean() == pytest.approx(0.09, abs=0.01)


def test_the_best_path_is_that_of_what_is_left() -> None:
    case = joint_case()
    options: dict[str, Any] = {"blank": 0, "topology": "rna"}
    h, _ = fused_reference.hidden(case[0], case[1], "tanh", EACH)
    full = fused_reference.log_probs(h @ case[2] + case[3], 0, False).astype(np.float32)
    found = transducer_fused_align(*case, **options, dropout=EACH)
    alignment, _, score = transducer_align(full, *case[4:], **options)
    np.testing.assert_array_equal(found[0], alignment)
    np.testing.assert_allclose(found[2], score, rtol=2e-6)


def test_runs_are_equal_bit_for_bit() -> None:
    case = [*joint_network(3, 40, 13, 130, joint_size=70), np.array([40, 31, 40], np.int32)]
    case += [np.random.default_rng(1).integers(1, 130, (3, 12), np.int32)]
    case += [np.array([12, 5, 9], np.int32)]
    rule = EACH._replace(strides=(40 * 13 * 70, 13 * 70, 70))
    options: dict[str, Any] = {"blank": 0, "topology": "rnnt", "dropout": rule}
    first = transducer_fused_loss(*case, **options, threads=1)
    second = transducer_fused_loss(*case, **options, threads=3)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (EACH._replace(rate=1.0), r"\(dropout.rate\): found 1.0, needed a number, 0 or more, be"),
        (EACH._replace(rate=float("nan")), r"\(dropout.rate\): found nan, needed a number, 0 or m"),
        (EACH._replace(rate="0.5"), r"\(dropout.rate\): found '0.5', needed a number, 0 or more"),
        (EACH._replace(key=-1), r"\(dropout.key\): found -1, needed 64 bits"),
        (EACH._replace(key=3.7), r"\(dropout.key\): found 3.7, needed a whole number"),
        (EACH._replace(counter=None), r"\(dropout.counter\): found None, needed a whole number"),
        (EACH._replace(counter=2**128), r"\(dropout.counter\): found 3402\d+, needed 128 bits"),
        (EACH._replace(strides=(1, -1, 0)), r"\(dropout.strides\): found \(1, -1, 0\), needed"),
        (EACH._replace(strides=(2**64, 0, 0)), r"\(dropout.strides\): found \(1844.*, needed thr"),
        (EACH._replace(strides=(96.9, 24, 6)), r"\(dropout.strides\): found \(96.9, 24, 6\), need"),
        (EACH._replace(strides=96), r"\(dropout.strides\): found 96, needed three whole numbers"),
        (0.5, r"\(dropout\): found a float, needed a Dropout, or None"),
    ],
)
def test_wrong_arguments_are_named(rule: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match="transducer_fused_forward " + message):
        transducer_fused_forward(*joint_case(), blank=0, topology="rna", dropout=rule)


def test_numbers_may_be_of_numpy(xp: ModuleType) -> None:
    arrays = [xp.asarray(x) for x in joint_case()]
    rule = Dropout(0.5, 2**62, 5, (6 * 4 * 7, 4 * 7, 7))
    other = Dropout(np.float32(0.5), np.int64(2**62), np.int64(5), tuple(map(np.int64, rule[3])))
    found = [
        transducer_fused_loss(*arrays, blank=0, topology="rna", dropout=x) for x in (rule, other)
    ]
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(as_numpy(a), as_numpy(b))
