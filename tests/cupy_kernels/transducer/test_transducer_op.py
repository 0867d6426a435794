"""Transducer loss: what a caller sees, then the reference, other losses, and bad arguments."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cupy_kernels.check import ArgumentError
from cupy_kernels.ctc import ctc_loss
from cupy_kernels.transducer import (
    TransducerScores,
    reference,
    transducer_compact_loss,
    transducer_loss,
)
from cupy_kernels.transducer.arguments import TOPOLOGIES

each_topology = pytest.mark.parametrize("topology", TOPOLOGIES)


def _numpy(x: Any) -> Any:
    return x.get() if hasattr(x, "get") else x


def _case(time: int = 6, batch: int = 2, vocabulary: int = 5, count: int = 3) -> list[Any]:
    rng = np.random.default_rng(3)
    return [
        rng.standard_normal((batch, time, count + 1, vocabulary), np.float32),
        np.full(batch, time, np.int32),
        rng.integers(1, vocabulary, (batch, count), np.int32),
        np.full(batch, count, np.int32),
    ]


def _log_probs(sequences: Any) -> list[Any]:
    """The case with scores that depend on the labels so far too; some of them above 0."""
    logits = sequences.logits.transpose(1, 0, 2)[:, :, None]
    rows = sequences.labels.shape[1] + 1
    noise = np.random.default_rng(5).standard_normal((rows, logits.shape[3]), np.float32)
    top = logits.max(axis=3, keepdims=True) if logits.size else 0
    return [np.ascontiguousarray(logits - top + noise), *sequences[1:]]


def _compact(log_probs: Any, labels: Any, label_lengths: Any, topology: str) -> TransducerScores:
    """What transducer_loss takes of log_probs, blank 0."""
    used = np.arange(labels.shape[1]) < label_lengths[:, None]
    ids = np.where(used, labels, 0)[:, None, :, None]
    label = np.take_along_axis(log_probs[:, :, :-1], ids, axis=3)[..., 0]
    repeat = np.take_along_axis(log_probs[:, :, 1:], ids, axis=3)[..., 0]
    return TransducerScores(
        np.ascontiguousarray(log_probs[..., 0]), label, repeat if topology == "ctc" else None
    )


def test_one_frame_has_one_path() -> None:
    log_probs = np.log(np.array([[[[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]]]], np.float32))
    one, labels = np.array([1], np.int32), np.array([[2]], np.int32)
    loss, grad = transducer_loss(log_probs, one, labels, one, blank=0, topology="rnnt")
    np.testing.assert_allclose(loss, [-np.log(0.5 * 0.6)], rtol=1e-6)
    np.testing.assert_array_equal(grad, [[[[0, 0, -1], [-1, 0, 0]]]])
    loss, grad = transducer_loss(log_probs, one, labels, one, blank=0, topology="rna")
    np.testing.assert_allclose(loss, [-np.log(0.5)], rtol=1e-6)
    np.testing.assert_array_equal(grad, [[[[0, 0, -1], [0, 0, 0]]]])


@each_topology
def test_equals_the_reference(xp: ModuleType, sequences: Any, topology: str) -> None:
    case = _log_probs(sequences)
    options: dict[str, Any] = {"blank": 0, "topology": topology}
    loss, grad = map(_numpy, transducer_loss(*map(xp.asarray, case), **options))
    loss64, grad64 = reference.transducer_loss(*case, **options)
    assert (loss.dtype, grad.dtype) == (np.float32, np.float32)
    np.testing.assert_allclose(loss, loss64, rtol=1e-6, atol=2e-6)
    np.testing.assert_allclose(grad, grad64, rtol=1e-4, atol=2e-6)
    for b, (length, count) in enumerate(zip(sequences[1], sequences[3], strict=True)):
        assert not grad[b, length:].any()
        assert not grad[b, :, count + 1 :].any()
        assert np.isfinite(loss[b]) or not grad[b].any()


@each_topology
def test_compact_form_is_the_same(sequences: Any, topology: str) -> None:
    log_probs, *rest = _log_probs(sequences)
    scores = _compact(log_probs, rest[1], rest[2], topology)
    loss, grads = transducer_compact_loss(scores, *rest, topology=topology)
    loss2, grad2 = transducer_loss(log_probs, *rest, blank=0, topology=topology)
    np.testing.assert_array_equal(loss, loss2)
    np.testing.assert_array_equal(grads.blank, grad2[..., 0])
    assert (grads.repeat is None) == (topology != "ctc")
    labels = sum(x.sum(dtype=np.float64) for x in grads[1:] if x is not None)
    np.testing.assert_allclose(grad2[..., 1:].sum(dtype=np.float64), labels, rtol=1e-6)


@each_topology
def test_compact_form_equals_the_reference(xp: ModuleType, topology: str) -> None:
    log_probs, *rest = _case()
    scores = _compact(log_probs, rest[1], rest[2], topology)
    inputs = TransducerScores(*(x if x is None else xp.asarray(x) for x in scores))
    loss, grads = transducer_compact_loss(inputs, *map(xp.asarray, rest), topology=topology)
    loss64, grads64 = reference.compact_loss(scores, *rest, topology=topology)
    np.testing.assert_allclose(_numpy(loss), loss64, rtol=1e-6)
    for found, wanted in zip(grads, grads64, strict=True):
        if found is not None:
            np.testing.assert_allclose(_numpy(found), wanted, atol=1e-6)


@pytest.mark.parametrize("topology", ["rna", "ctc"])
def test_without_dependency_on_labels_it_is_the_ctc_loss(sequences: Any, topology: str) -> None:
    repetition = topology == "ctc"
    loss, grad = ctc_loss(*sequences, blank=0, label_repetition=repetition)
    logits = sequences.logits.astype(np.float64)
    log_norm = np.logaddexp.reduce(logits, axis=2, keepdims=True)
    log_probs = (logits - log_norm).transpose(1, 0, 2)[:, :, None]
    rows = sequences.labels.shape[1] + 1
    inputs = np.repeat(log_probs, rows, axis=2).astype(np.float32)
    loss2, grad2 = transducer_loss(inputs, *sequences[1:], blank=0, topology=topology)
    np.testing.assert_allclose(loss2, loss, rtol=2e-6, atol=1e-6)
    posterior = grad2.sum(axis=2).transpose(1, 0, 2)
    softmax = -posterior.sum(axis=2, keepdims=True) * np.exp(logits - log_norm)
    np.testing.assert_allclose(softmax + posterior, grad, atol=1e-5)


def test_targets_that_do_not_fit_have_infinite_loss() -> None:
    log_probs, _, _, _ = _case(time=4, batch=5, count=5)
    labels = np.array([[1, 2, 3, 4, 1], [2, 2, 2, 0, 0], [1, 2, 3, 4, 0]] + [[1] * 5] * 2, np.int32)
    rest = np.array([4, 4, 4, 0, 0], np.int32), labels, np.array([5, 3, 4, 1, 0], np.int32)
    wanted = {"rnnt": [0, 0, 0, 1, 0], "rna": [1, 0, 0, 1, 0], "ctc": [1, 1, 0, 1, 0]}
    for topology, infinite in wanted.items():
        loss, grad = transducer_loss(log_probs, *rest, blank=0, topology=topology)
        assert np.isinf(loss).tolist() == infinite
        assert not grad[np.isinf(loss)].any()
        assert loss[4] == 0  # the empty path
        options: dict[str, Any] = {"blank": 0, "topology": topology, "infeasible": "skip"}
        skipped, same = transducer_loss(log_probs, *rest, **options)
        np.testing.assert_array_equal(skipped, np.where(infinite, 0, loss))
        np.testing.assert_array_equal(same, grad)
        scores = _compact(log_probs, *rest[1:], topology)
        options.pop("blank")
        np.testing.assert_array_equal(transducer_compact_loss(scores, *rest, **options)[0], skipped)


@each_topology
def test_impossible_by_scores_is_infinite_too(topology: str) -> None:
    log_probs, *rest = _case(batch=1)
    log_probs[..., rest[1][0, 1]] = -np.inf
    loss, grad = transducer_loss(log_probs, *rest, blank=0, topology=topology)
    assert loss[0] == np.inf
    assert not grad.any()


@each_topology
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_nan_and_inf_spoil_their_sequence_only(value: float, topology: str) -> None:
    log_probs, *rest = _case()
    options: dict[str, Any] = {"blank": 0, "topology": topology}
    clean = transducer_loss(log_probs, *rest, **options)
    log_probs[1, 2, 1, 0] = value
    loss, grad = transducer_loss(log_probs, *rest, **options)
    assert np.isnan(loss).tolist() == [False, True]
    assert np.isnan(grad[1, ..., 0]).all()
    np.testing.assert_array_equal(grad[0], clean[1][0])
    log_probs[1, 2, 1, 0], log_probs[0, :, 3, 1:], log_probs[1, 0, 3] = 0, np.nan, np.nan
    loss, _ = transducer_loss(log_probs, *rest, **options)
    assert np.isnan(loss).tolist() == [topology == "ctc", topology == "rnnt"]  # what is not used


@each_topology
@pytest.mark.parametrize("threads", [2, 5])
def test_runs_are_equal_bit_for_bit(sequences: Any, threads: int, topology: str) -> None:
    case = _log_probs(sequences)
    first = transducer_loss(*case, blank=0, topology=topology, threads=1)
    second = transducer_loss(*case, blank=0, topology=topology, threads=threads)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


@each_topology
def test_long_sequences_keep_their_digits(topology: str) -> None:
    """Scores that sum up to thousands, where float32 logarithms would keep three digits."""
    time, count = 300, 40
    log_probs, *rest = _case(time=time, batch=1, vocabulary=3, count=count)
    log_probs = log_probs * 3 - 20
    loss, grad = transducer_loss(log_probs, *rest, blank=0, topology=topology)
    loss64, grad64 = reference.transducer_loss(log_probs, *rest, blank=0, topology=topology)
    np.testing.assert_allclose(loss, loss64, rtol=1e-7)
    np.testing.assert_allclose(grad, grad64, atol=2e-6)


def test_more_than_two_billion_elements() -> None:
    """Of which only a few pages are ever touched."""
    vocabulary = 600_000_001
    try:
        log_probs = np.zeros((1, 2, 2, vocabulary), np.float32)
        last = vocabulary - 1
        log_probs[0, 0, 0, [0, last]], log_probs[0, 1, :, [0, last]] = -1, [[-2, -4], [-3, -5]]
        rest = np.array([2], np.int32), np.array([[last]], np.int32), np.array([1], np.int32)
        loss, grad = transducer_loss(log_probs, *rest, blank=0, topology="rna")
    except MemoryError:
        pytest.skip("the system does not promise 20 GB of memory, though none of it is used")
    paths = np.array([-1 - 3, -1 - 4])  # blank then label, label then blank
    np.testing.assert_allclose(loss, [-np.logaddexp(*paths)], rtol=1e-6)
    first, second = np.exp(paths + loss[0])
    np.testing.assert_allclose(grad[0, 1, 0, last], -first, rtol=1e-5)
    np.testing.assert_allclose(grad[0, 1, 1, 0], -second, rtol=1e-5)


@each_topology
def test_empty_axes(topology: str) -> None:
    empty = np.zeros(0, np.int32)
    case = np.zeros((0, 3, 2, 5), np.float32), empty, np.zeros((0, 1), np.int32), empty
    loss, grad = transducer_loss(*case, blank=0, topology=topology)
    assert (loss.shape, grad.shape) == ((0,), (0, 3, 2, 5))
    zero = np.zeros(1, np.int32)
    case = np.zeros((1, 0, 1, 5), np.float32), zero, np.zeros((1, 0), np.int32), zero
    assert transducer_loss(*case, blank=0, topology=topology)[0].tolist() == [0.0]


def test_an_independent_library_agrees(sequences: Any) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    warprnnt = pytest.importorskip("warprnnt_numba", reason="warprnnt-numba is not installed")
    log_probs, frames, labels, counts = _log_probs(sequences)
    keep = (frames > 0) & (counts > 0)
    log_probs -= np.logaddexp.reduce(log_probs, axis=3, keepdims=True)
    width = int(counts[keep].max(initial=0))
    if not width or not (frames[keep] == frames.max()).any():
        pytest.skip("the library takes no empty targets")
    log_probs = np.ascontiguousarray(log_probs[keep][:, :, : width + 1])
    used = np.arange(width) < counts[keep, None]
    target = np.where(used, labels[keep, :width], 0).astype(np.int32)
    acts = torch.from_numpy(log_probs).requires_grad_()
    arrays = map(torch.from_numpy, (target, frames[keep], counts[keep]))
    theirs = warprnnt.RNNTLossNumba(blank=0, reduction="none")(acts, *arrays)
    theirs.sum().backward()
    rest = frames[keep], target, counts[keep]
    loss, grad = transducer_loss(log_probs, *rest, blank=0, topology="rnnt")
    np.testing.assert_allclose(loss, theirs.detach().numpy(), rtol=1e-4)
    softmax = np.exp(log_probs) * -grad.sum(axis=3, keepdims=True)
    np.testing.assert_allclose(softmax + grad, acts.grad.numpy(), atol=1e-3)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), topology=st.sampled_from(TOPOLOGIES))
def test_any_shape_equals_the_reference(seed: int, topology: str) -> None:
    rng = np.random.default_rng(seed)
    batch, time, width, vocabulary = rng.integers([1, 1, 0, 2], [4, 10, 7, 6])
    case = (
        (rng.standard_normal((batch, time, width + 1, vocabulary)) * 9).astype(np.float32),
        rng.integers(0, time + 1, batch, dtype=np.int32),
        rng.integers(1, vocabulary, (batch, width), dtype=np.int32),
        rng.integers(0, width + 1, batch, dtype=np.int32),
    )
    options: dict[str, Any] = {"blank": 0, "topology": topology}
    loss, grad = transducer_loss(*case, **options, threads=1)
    loss64, grad64 = reference.transducer_loss(*case, **options)
    np.testing.assert_allclose(loss, loss64, rtol=1e-5, atol=2e-6)
    np.testing.assert_allclose(grad, grad64, atol=3e-6)


@pytest.mark.parametrize(
    ("position", "change", "message"),
    [
        (0, lambda x: x.astype(np.float64), r"\(log_probs\): found float64, needed float32; try l"),
        (0, lambda x: x[0], r"\(log_probs\): found shape \(6, 4, 5\), needed \[batch=any, time="),
        (0, lambda x: x[:, :, :3].copy(), r"\(log_probs\): found shape .*needed \[.* rows=4"),
        (0, lambda x: x[..., ::-1], r"\(log_probs\): found a non-contiguous view, needed a cont"),
        (0, lambda x: x.tolist(), r"\(log_probs\): found a list, needed a numpy or cupy array"),
        (1, lambda x: x + 1, r"\(frames\[0\]\): found 7, needed 0 to 6"),
        (1, lambda x: x - 7, r"\(frames\[0\]\): found -1, needed 0 to 6"),
        (1, lambda x: x[:1], r"\(frames\): found shape \(1,\), needed \[batch=2\]"),
        (2, lambda x: x.astype(np.int64), r"\(labels\): found int64, needed int32"),
        (2, lambda x: x + 5, r"\(labels\[0, 0\]\): found \d, needed 0 to 4 without the blank 0"),
        (2, lambda x: x * 0, r"\(labels\[0, 0\]\): found 0, needed 0 to 4 without the blank 0"),
        (3, lambda x: x + 1, r"\(label_lengths\[0\]\): found 4, needed 0 to 3"),
    ],
)
def test_wrong_arguments_are_named(position: int, change: Any, message: str) -> None:
    arguments = _case()
    arguments[position] = change(arguments[position])
    with pytest.raises(ArgumentError, match=r"transducer_loss " + message):
        transducer_loss(*arguments, blank=0, topology="rna")


def test_wrong_options_are_named() -> None:
    with pytest.raises(ArgumentError, match=r"\(blank\): found 5, needed 0 to 4"):
        transducer_loss(*_case(), blank=5, topology="rna")
    with pytest.raises(ArgumentError, match=r"\(topology\): found 'hmm', needed one of rnnt, rna"):
        transducer_loss(*_case(), blank=0, topology="hmm")


def test_wrong_scores_are_named() -> None:
    log_probs, *rest = _case()
    scores = _compact(log_probs, rest[1], rest[2], "ctc")
    for wrong, topology, message in [
        (scores, "rna", r"\(repeat\): found an array, needed an array for topology ctc, None for"),
        (scores._replace(repeat=None), "ctc", r"\(repeat\): found None, needed an array for topol"),
        (scores._replace(label=scores.blank), "ctc", r"\(label\): found shape \(2, 6, 4\), needed"),
        (scores._replace(blank=scores.label), "ctc", r"\(blank\): found shape \(2, 6, 3\), needed"),
    ]:
        with pytest.raises(ArgumentError, match="transducer_compact_loss " + message):
            transducer_compact_loss(wrong, *rest, topology=topology)
