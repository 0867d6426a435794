"""Transducer: the kernel and TensorFlow's own operations give the same, and what is defined."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from both_forms import assert_equal

from cupy_kernels.check import ArgumentError
from cupy_kernels.transducer import reference
from cupy_kernels.transducer.activations import ACTIVATIONS
from returnn_lite import native

FRAMES = np.array([5, 4, 3, 2, 0], np.int32)
LABELS = np.array([[1, 2, 2], [3, 0, 0], [0, 0, 0], [1, 2, 3], [0, 0, 0]], np.int32)
COUNTS = np.array([3, 1, 0, 3, 0], np.int32)  # the fourth fits into its frames in RNN-T alone
SCORES = np.random.default_rng(0).standard_normal((5, 5, 4, 5), np.float32)
BLANK = 4
Step = tuple[int, int, int]  # frame, labels out before, symbol

each_topology = pytest.mark.parametrize("topology", ["rnnt", "rna", "ctc"])


def _sequences() -> list[Any]:
    return [tf.constant(x) for x in (FRAMES, LABELS, COUNTS)]


def _loss(scores: Any, topology: str) -> Any:
    log_probs = tf.nn.log_softmax(scores)
    return native.transducer_loss(log_probs, *_sequences(), blank=BLANK, topology=topology)


def _align(scores: Any, topology: str) -> Any:
    return native.transducer_align(scores, *_sequences(), blank=BLANK, topology=topology)


def _fused(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    def compute(*arrays: Any) -> Any:
        return function(*arrays, *_sequences(), blank=BLANK, **options)

    return compute


def _joint(activation: str) -> list[Any]:
    """Encoder, predictor, weight and bias."""
    rng, inputs = np.random.default_rng(1), 6
    joint = inputs // 2 if activation == "maxout" else inputs
    shapes = [(5, 5, inputs), (5, 4, inputs), (joint, 5), (5,)]
    return [rng.standard_normal(s, np.float32) for s in shapes]


def _paths(frames: int, labels: list[int], topology: str) -> Iterator[list[Step]]:
    """Every path, as `native.transducer_loss` has them."""

    def after(t: int, u: int, out: bool) -> Iterator[list[Step]]:
        if t == frames:
            yield from [[]] if u == len(labels) else []
            return
        ways: list[tuple[Step, int, int, bool]] = [((t, u, BLANK), t + 1, u, False)]
        again = topology == "ctc" and out
        if again:
            ways.append(((t, u, labels[u - 1]), t + 1, u, True))
        if u < len(labels) and not (again and labels[u] == labels[u - 1]):
            ways.append(((t, u, labels[u]), t + (topology != "rnnt"), u + 1, True))
        for step, *state in ways:
            yield from ([step, *rest] for rest in after(*state))

    return after(0, 0, False)


def _sum(scores: Any, path: list[Step]) -> float:
    return float(sum(float(scores[step]) for step in path))


@each_topology
def test_both_forms_are_equal(topology: str) -> None:
    loss, _ = assert_equal(lambda x: _loss(x, topology), [SCORES])
    assert np.isinf(loss).tolist() == [False, False, False, topology != "rnnt", False]


@each_topology
def test_loss_and_best_path_are_those_of_all_paths(topology: str) -> None:
    log_probs = tf.nn.log_softmax(SCORES).numpy()
    loss = _loss(tf.constant(SCORES), topology).numpy()
    path, lengths, score = (x.numpy() for x in _align(tf.constant(log_probs), topology))
    for b, (frames, count) in enumerate(zip(FRAMES, COUNTS, strict=True)):
        every = list(_paths(frames, LABELS[b, :count].tolist(), topology))
        sums = [_sum(log_probs[b], one) for one in every]
        assert lengths[b] == frames + count * (topology == "rnnt")
        if not every:
            assert (loss[b], score[b], {*path[b]}) == (np.inf, -np.inf, {BLANK})
            continue
        assert loss[b] == pytest.approx(-np.logaddexp.reduce(sums), rel=1e-5, abs=1e-6)
        assert score[b] == pytest.approx(max(sums), rel=1e-6)
        best = [symbol for _, _, symbol in every[int(np.argmax(sums))]]
        assert path[b].tolist() == [*best, *[BLANK] * (path.shape[1] - lengths[b])]


@each_topology
def test_both_forms_find_the_same_best_path_bit_for_bit(topology: str) -> None:
    """Where paths are equally good, and where scores are none, too."""
    rng = np.random.default_rng(2)
    values = np.array([0.1, 0.2, 0.3, np.nan, np.inf, -np.inf], np.float32)
    shares = [0.3, 0.3, 0.3, 0.03, 0.03, 0.04]
    for scores in (SCORES, np.round(SCORES), rng.choice(values, SCORES.shape, p=shares)):
        found = _align(tf.constant(scores), topology)
        with native.tensorflow_only():
            other = _align(tf.constant(scores), topology)
        for a, b in zip(found, other, strict=True):
            assert (a.dtype, a.shape) == (b.dtype, b.shape)
            np.testing.assert_array_equal(a, b)
        path, score = reference.transducer_align(
            scores, FRAMES, LABELS, COUNTS, blank=BLANK, topology=topology
        )
        np.testing.assert_array_equal(found[0], path)
        np.testing.assert_allclose(found[2], score, rtol=1e-6)


# The activation of the joint network has nothing to do with the kind of blank: tanh is tested with
# both kinds, of the others each with one.
JOINTS = [("tanh", True), *((name, i % 2 == 1) for i, name in enumerate(sorted(ACTIVATIONS)))]


@pytest.mark.parametrize(("activation", "separate"), sorted({*JOINTS, ("tanh", False)}))
def test_both_forms_of_the_fused_ones_are_equal(activation: str, separate: bool) -> None:
    options = {"topology": "rna", "activation": activation, "separate_emit": separate}
    inputs = _joint(activation)
    [loss, *_] = assert_equal(_fused(native.transducer_fused_loss, **options), inputs)
    align = _fused(native.transducer_fused_align, **options)
    path, lengths, score = (x.numpy() for x in align(*map(tf.constant, inputs)))
    with native.tensorflow_only():
        other = [x.numpy() for x in align(*map(tf.constant, inputs))]
    np.testing.assert_array_equal(path, other[0])
    np.testing.assert_array_equal(lengths, other[1])
    np.testing.assert_allclose(score, other[2], rtol=1e-5)
    fits = np.isfinite(loss)
    assert np.isneginf(score).tolist() == (~fits).tolist()
    assert (score[fits] <= -loss[fits] + 1e-5).all()


@pytest.mark.parametrize("shared", [(), (1,), (0, 2)])
def test_both_forms_drop_the_same(shared: tuple[int, ...]) -> None:
    """As TensorFlow's numbers of a shape, in which some axes have size 1, say."""
    inputs, seed = _joint("tanh"), tf.constant([-12345, 7])
    sizes = [1 if axis in shared else n for axis, n in enumerate([5, 5, 4, 6])]
    steps = [0 if axis in shared else int(np.prod(sizes[axis + 1 :])) for axis in range(3)]
    dropout = native.JointDropout(0.4, seed, tf.constant(steps, tf.int64))
    options = {"topology": "rna", "dropout": dropout}
    [loss, *_] = assert_equal(_fused(native.transducer_fused_loss, **options), inputs)
    align = _fused(native.transducer_fused_align, **options)
    path, _, _ = align(*map(tf.constant, inputs))
    with native.tensorflow_only():
        np.testing.assert_array_equal(path, align(*map(tf.constant, inputs))[0])
    encoder, predictor, weight, bias = inputs
    keep = (tf.random.stateless_uniform(sizes, seed).numpy() >= 0.4) / 0.6
    hidden = np.tanh(encoder[:, :, None] + predictor[:, None]) * keep
    wanted, _ = reference.transducer_loss(
        tf.nn.log_softmax(hidden @ weight + bias).numpy(), FRAMES, LABELS, COUNTS,
        blank=BLANK, topology="rna",
    )  # fmt: skip
    np.testing.assert_allclose(loss, wanted, rtol=1e-5, atol=1e-6)


def test_xla_compiles_tensorflows_forms() -> None:
    assert_equal(lambda x: _loss(x, "ctc"), [SCORES], compiled=True)
    for topology in ("rnnt", "ctc"):
        wanted = _align(tf.constant(SCORES), topology)
        with native.tensorflow_only():
            compiled = tf.function(_align, autograph=False, jit_compile=True)
            found = compiled(tf.constant(SCORES), topology)
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(a, b)


def test_wrong_labels_are_named() -> None:
    labels = tf.constant(np.full_like(LABELS, BLANK))
    arguments = [tf.constant(SCORES), tf.constant(FRAMES), labels, tf.constant(COUNTS)]
    with pytest.raises(ArgumentError, match=r"align \(labels\[0, 0\]\): found 4"):
        native.transducer_align(*arguments, blank=BLANK, topology="rna")
