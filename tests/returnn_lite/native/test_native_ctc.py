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
def test_both_forms_find_the_same_best_path(repetition: bool) -> None:
    arguments = list(map(tf.constant, (FRAMES, LABELS, COUNTS)))

    def best() -> list[Any]:
        options = {"blank": 5, "label_repetition": repetition}
        return list(native.ctc_best_path(tf.constant(np.round(LOGITS)), *arguments, **options))

    path, score = best()
    with native.tensorflow_only():
        other, other_score = best()
    np.testing.assert_array_equal(other, path)
    np.testing.assert_allclose(other_score, score)
    assert np.isinf(score).tolist() == [False, False, True, False, False, False]
