"""The reference against its definition: all paths, and differences of the loss."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from cupy_kernels.ctc import reference


def _collapse(path: tuple[int, ...], blank: int, repetition: bool) -> list[int]:
    """The labels of a path, by the definition of either topology."""
    if repetition:
        path = tuple(label for label, _ in itertools.groupby(path))
    return [label for label in path if label != blank]


@pytest.mark.parametrize("repetition", [True, False])
@pytest.mark.parametrize("labels", [[], [1], [0, 0], [1, 0], [0, 0, 1], [1, 1, 1]])
def test_sum_over_all_paths(labels: list[int], repetition: bool) -> None:
    blank, time = 2, 5
    logits = np.random.default_rng(1).standard_normal((time, 3)) * 2
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    total = sum(
        np.prod(probs[np.arange(time), path])
        for path in itertools.product(range(3), repeat=time)
        if _collapse(path, blank, repetition) == labels
    )
    target = np.array(labels, np.int64)
    loss, _ = reference.sequence_loss(logits, target, blank, repetition)
    np.testing.assert_allclose(loss, -np.log(total), rtol=1e-12)


@pytest.mark.parametrize("repetition", [True, False])
def test_gradient_equals_differences(repetition: bool) -> None:
    """Of a random combination of losses, so that no part of the gradient cancels."""
    rng = np.random.default_rng(2)
    logits = rng.standard_normal((7, 2, 4))
    rest = np.array([7, 5]), np.array([[1, 1, 2], [3, 1, 0]]), np.array([3, 2])
    weights = rng.standard_normal(2)
    direction, step = rng.standard_normal(logits.shape), 1e-5

    def value(x: np.ndarray) -> float:
        loss, _ = reference.ctc_loss(x, *rest, blank=0, label_repetition=repetition)
        return float(weights @ loss)

    _, grad = reference.ctc_loss(logits, *rest, blank=0, label_repetition=repetition)
    slope = (value(logits + step * direction) - value(logits - step * direction)) / (2 * step)
    np.testing.assert_allclose((grad * weights[:, None] * direction).sum(), slope, rtol=1e-8)
    assert not grad[5:, 1].any()
