"""CTC: the kernel and TensorFlow's own operations give the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from both_forms import assert_equal

from returnn_lite import native

FRAMES = np.array([9, 5, 3, 4, 0, 6], np.int32)
LABELS = np.array(
    [[1, 2, 2, 4], [3, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0], [1, 1, 0, 0]], np.int32
)
COUNTS = np.array([4, 1, 4, 0, 0, 2], np.int32)  # the third does not fit into its frames
LOGITS = np.random.default_rng(0).standard_normal((9, 6, 6), np.float32) * 3


def _loss(logits: Any, **options: bool) -> Any:
    return native.ctc_loss(logits, *map(tf.constant, (FRAMES, LABELS, COUNTS)), blank=5, **options)


@pytest.mark.parametrize("repetition", [True, False])
def test_both_forms_are_equal(repetition: bool) -> None:
    loss, _ = assert_equal(lambda x: _loss(x, label_repetition=repetition), [LOGITS])
    assert np.isinf(loss).tolist() == [False, False, True, False, False, False]


def test_xla_compiles_tensorflows_form() -> None:
    assert_equal(_loss, [LOGITS], compiled=True)


@pytest.mark.parametrize("repetition", [True, False])
def test_both_forms_find_the_same_best_path_bit_for_bit(repetition: bool) -> None:
    """Where paths are equally good, and where scores are none, too."""
    arguments = list(map(tf.constant, (FRAMES, LABELS, COUNTS)))
    values = np.array([0.1, 0.2, 0.3, np.nan, np.inf], np.float32)
    mixed = np.random.default_rng(1).choice(values, LOGITS.shape, p=[0.3, 0.3, 0.36, 0.02, 0.02])

    def best(scores: Any) -> list[Any]:
        options = {"blank": 5, "label_repetition": repetition}
        return list(native.ctc_best_path(tf.constant(scores), *arguments, **options))

    for scores in (LOGITS, np.round(LOGITS), mixed):
        path, score = best(scores)
        with native.tensorflow_only():
            other, other_score = best(scores)
        np.testing.assert_array_equal(other, path)
        np.testing.assert_array_equal(other_score, score)
        if scores is not mixed:
            assert np.isinf(score).tolist() == [False, False, True, False, False, False]
