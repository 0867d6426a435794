"""CTC loss: what a caller sees, then the reference, independent losses, and bad arguments."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cupy_kernels.check import ArgumentError
from cupy_kernels.ctc import ctc_loss, reference


def _numpy(x: Any) -> Any:
    return x.get() if hasattr(x, "get") else x


def _case(time: int = 6, batch: int = 2, vocabulary: int = 5, count: int = 3) -> list[Any]:
    rng = np.random.default_rng(3)
    return [
        rng.standard_normal((time, batch, vocabulary), np.float32),
        np.full(batch, time, np.int32),
        rng.integers(1, vocabulary, (batch, count), np.int32),
        np.full(batch, count, np.int32),
    ]


def test_one_frame_one_label_is_softmax_cross_entropy() -> None:
    logits = np.array([[[1.0, 2.0, 4.0]]], np.float32)
    one = np.array([1], np.int32)
    loss, grad = ctc_loss(logits, one, np.array([[2]], np.int32), one, blank=0)
    softmax = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(loss, -np.log(softmax[0, 0, 2]).ravel(), rtol=1e-6)
    np.testing.assert_allclose(grad, softmax - [0, 0, 1], atol=1e-7)


@pytest.mark.parametrize("repetition", [True, False])
def test_equals_the_reference(xp: ModuleType, sequences: Any, repetition: bool) -> None:
    arguments = [xp.asarray(x) for x in sequences]
    loss, grad = map(_numpy, ctc_loss(*arguments, blank=0, label_repetition=repetition))
    loss64, grad64 = reference.ctc_loss(*sequences, blank=0, label_repetition=repetition)
    assert (loss.dtype, grad.dtype) == (np.float32, np.float32)
    np.testing.assert_allclose(loss, loss64, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(grad, grad64, rtol=1e-4, atol=2e-6)


def test_gradient_of_padding_and_of_impossible_targets_is_zero(
    xp: ModuleType, sequences: Any
) -> None:
    loss, grad = map(_numpy, ctc_loss(*[xp.asarray(x) for x in sequences], blank=0))
    for b, length in enumerate(sequences.logit_lengths):
        assert not grad[length:, b].any()
        assert np.isfinite(loss[b]) or not grad[:, b].any()


def test_impossible_targets_have_infinite_loss() -> None:
    logits, _, _, _ = _case(time=4, batch=3)
    labels = np.array([[1, 2, 3, 4, 1], [2, 2, 2, 0, 0], [1, 2, 3, 4, 0]], np.int32)
    counts = np.array([5, 3, 4], np.int32)
    lengths = np.full(3, 4, np.int32)
    assert np.isinf(ctc_loss(logits, lengths, labels, counts, blank=0)[0]).tolist() == [1, 1, 0]
    rna, _ = ctc_loss(logits, lengths, labels, counts, blank=0, label_repetition=False)
    assert np.isinf(rna).tolist() == [1, 0, 0]


def test_impossible_targets_can_be_skipped(xp: ModuleType) -> None:
    arguments = [xp.asarray(x) for x in _case(time=3, batch=2)]
    arguments[3][1] = 1
    arguments[2][0] = xp.asarray([2, 2, 1], np.int32)
    loss, grad = map(_numpy, ctc_loss(*arguments, blank=0))
    skipped, same = map(_numpy, ctc_loss(*arguments, blank=0, infeasible="skip"))
    assert np.isinf(loss).tolist() == [True, False]
    assert skipped.tolist() == [0.0, loss[1]]
    np.testing.assert_array_equal(same, grad)


def test_impossible_by_logits_is_infinite_too() -> None:
    logits, lengths, labels, counts = _case(batch=1)
    logits[:, :, labels[0, 1]] = -np.inf
    loss, grad = ctc_loss(logits, lengths, labels, counts, blank=0)
    assert loss[0] == np.inf
    assert not grad.any()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_inf_spoil_their_sequence_only(value: float) -> None:
    logits, lengths, labels, counts = _case()
    clean = ctc_loss(logits, lengths, labels, counts, blank=0)
    logits[2, 1, 4] = value
    loss, grad = ctc_loss(logits, lengths, labels, counts, blank=0)
    assert np.isnan(loss).tolist() == [False, True]
    assert np.isnan(grad[:, 1]).all()
    np.testing.assert_array_equal(grad[:, 0], clean[1][:, 0])


def test_blank_may_be_any_label(sequences: Any) -> None:
    """Moving the blank from the front to the back moves its gradient, and nothing else."""
    loss, grad = ctc_loss(*sequences, blank=0)
    moved = np.ascontiguousarray(np.roll(sequences.logits, -1, axis=-1))
    used = np.arange(sequences.labels.shape[1]) < sequences.label_lengths[:, None]
    labels = np.where(used, sequences.labels - 1, 0).astype(np.int32)
    rest = sequences.logit_lengths, labels, sequences.label_lengths
    loss2, grad2 = ctc_loss(moved, *rest, blank=moved.shape[-1] - 1)
    np.testing.assert_allclose(loss2, loss, rtol=1e-6)
    np.testing.assert_allclose(np.roll(grad2, 1, axis=-1), grad, atol=1e-6)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_runs_are_equal_bit_for_bit(xp: ModuleType, sequences: Any, threads: int) -> None:
    arguments = [xp.asarray(x) for x in sequences]
    first = ctc_loss(*arguments, blank=0, threads=1)
    second = ctc_loss(*arguments, blank=0, threads=threads)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(_numpy(a), _numpy(b))


def test_empty_batch_and_empty_time() -> None:
    empty = np.zeros(0, np.int32)
    loss, grad = ctc_loss(
        np.zeros((3, 0, 5), np.float32), empty, np.zeros((0, 2), np.int32), empty, blank=0
    )
    assert (loss.shape, grad.shape) == ((0,), (3, 0, 5))
    zero = np.zeros(1, np.int32)
    logits, labels = np.zeros((0, 1, 5), np.float32), np.zeros((1, 0), np.int32)
    assert ctc_loss(logits, zero, labels, zero, blank=0)[0].tolist() == [0.0]


def test_tensorflow_agrees(sequences: Any) -> None:
    tf = pytest.importorskip("tensorflow", reason="TensorFlow is not installed")
    fits = np.isfinite(reference.ctc_loss(*sequences, blank=0)[0])
    keep = fits & (sequences.logit_lengths > 0) & (sequences.label_lengths > 0)
    if not keep.any():
        pytest.skip("TensorFlow's CTC takes neither empty targets nor impossible ones")
    logits, labels = sequences.logits[:, keep], sequences.labels[keep]
    lengths, counts = sequences.logit_lengths[keep], sequences.label_lengths[keep]
    used = np.arange(labels.shape[1]) < counts[:, None]
    variable = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(variable)
        theirs = tf.nn.ctc_loss(
            tf.constant(np.where(used, labels, 0)), variable, counts, lengths, blank_index=0
        )
    loss, grad = ctc_loss(np.ascontiguousarray(logits), lengths, labels, counts, blank=0)
    np.testing.assert_allclose(loss, theirs, rtol=2e-5)
    np.testing.assert_allclose(grad, tape.gradient(theirs, variable), atol=2e-4)


def test_pytorch_agrees(sequences: Any) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    fits = np.isfinite(reference.ctc_loss(*sequences, blank=0)[0])
    keep = fits & (sequences.logit_lengths > 0)
    if not keep.any():
        pytest.skip("all targets of the case are impossible")
    logits = np.ascontiguousarray(sequences.logits[:, keep])
    lengths, counts = sequences.logit_lengths[keep], sequences.label_lengths[keep]
    labels = sequences.labels[keep]
    used = np.arange(labels.shape[1]) < counts[:, None]
    variable = torch.from_numpy(logits).requires_grad_()
    arrays = (np.where(used, labels, 1), lengths, counts)
    targets = [torch.from_numpy(x.astype(np.int64)) for x in arrays]
    log_probs = torch.log_softmax(variable, dim=2)
    theirs = torch.nn.functional.ctc_loss(log_probs, *targets, blank=0, reduction="none")
    theirs.sum().backward()
    loss, grad = ctc_loss(logits, lengths, labels, counts, blank=0)
    np.testing.assert_allclose(loss, theirs.detach(), rtol=2e-5)
    np.testing.assert_allclose(grad, variable.grad, atol=2e-3)  # its logarithms are float32


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), repetition=st.booleans(), scale=st.sampled_from([1, 30]))
def test_any_shape_equals_the_reference(seed: int, repetition: bool, scale: int) -> None:
    rng = np.random.default_rng(seed)
    time, batch, vocabulary = rng.integers(1, 12), rng.integers(1, 4), rng.integers(2, 40)
    width = rng.integers(0, 8)
    arguments = (
        (rng.standard_normal((time, batch, vocabulary)) * scale).astype(np.float32),
        rng.integers(0, time + 1, batch, dtype=np.int32),
        rng.integers(1, vocabulary, (batch, width), dtype=np.int32),
        rng.integers(0, width + 1, batch, dtype=np.int32),
    )
    loss, grad = ctc_loss(*arguments, blank=0, label_repetition=repetition, threads=1)
    loss64, grad64 = reference.ctc_loss(*arguments, blank=0, label_repetition=repetition)
    np.testing.assert_allclose(loss, loss64, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(grad, grad64, atol=5e-6)


@pytest.mark.parametrize(
    ("position", "change", "message"),
    [
        (0, lambda x: x.astype(np.float64), r"\(logits\): found float64, needed float32; try lo"),
        (0, lambda x: x[:, 0], r"\(logits\): found shape \(6, 5\), needed \[time=any, batch=any"),
        (0, lambda x: x[:, :, ::-1], r"\(logits\): found a non-contiguous view, needed a contig"),
        (0, lambda x: x.tolist(), r"\(logits\): found a list, needed a numpy or cupy array; try"),
        (1, lambda x: x + 1, r"\(logit_lengths\[0\]\): found 7, needed 0 to 6"),
        (1, lambda x: x - 7, r"\(logit_lengths\[0\]\): found -1, needed 0 to 6"),
        (1, lambda x: x[:1], r"\(logit_lengths\): found shape \(1,\), needed \[batch=2\]"),
        (2, lambda x: x.astype(np.int64), r"\(labels\): found int64, needed int32"),
        (2, lambda x: x + 5, r"\(labels\[0, 0\]\): found \d, needed 0 to 4 without the blank 0"),
        (2, lambda x: x * 0, r"\(labels\[0, 0\]\): found 0, needed 0 to 4 without the blank 0"),
        (2, lambda x: x.T.copy().T, r"\(labels\): found a non-contiguous view"),
        (3, lambda x: x + 1, r"\(label_lengths\[0\]\): found 4, needed 0 to 3"),
        (3, lambda x: x.astype(np.float32), r"\(label_lengths\): found float32, needed int32"),
    ],
)
def test_wrong_arguments_are_named(position: int, change: Any, message: str) -> None:
    arguments = _case()
    arguments[position] = change(arguments[position])
    with pytest.raises(ArgumentError, match=r"ctc_loss " + message):
        ctc_loss(*arguments, blank=0)


def test_wrong_options() -> None:
    with pytest.raises(ArgumentError, match=r"\(infeasible\): found 'zero', needed 'inf'"):
        ctc_loss(*_case(), blank=0, infeasible="zero")
    with pytest.raises(ArgumentError, match=r"ctc_loss \(blank\): found 5, needed 0 to 4"):
        ctc_loss(*_case(), blank=5)
    with pytest.raises(ValueError, match="threads: found 0, needed at least 1; try threads=1"):
        ctc_loss(*_case(), blank=0, threads=0)
