"""Classes drawn from all of a large output layer, each at most once."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from returnn_lite.lazy import tf

Sampler = Literal["uniform", "log_uniform"]


def noise_size(size: int, count: int) -> int:
    """Return how many random numbers `draw` needs."""
    return size + count


def draw(sampler: Sampler, size: int, count: int, noise: Any) -> tuple[Any, Any]:
    """Return int32 [count] classes; float32 [size], how often each is expected among them.

    sampler: all classes alike, or "log_uniform", for classes sorted from the most frequent one on.
    noise: float32 [noise_size], in [0, 1). The classes are the first different ones in a row of
    draws: each class comes after a time with an exponential distribution, of mean one over its
    share. Between two new classes old ones are drawn, how many of them has a geometric
    distribution. So both have the distribution that they have in RETURNN.
    """
    shares = np.full(size, 1.0 / size)
    if sampler == "log_uniform":
        shares = np.diff(np.log(np.arange(1, size + 2))) / np.log(size + 1)
    # In the middle of the intervals of a float32 in [0, 1), so that no logarithm is infinite.
    waits = -tf.math.log(tf.cast(noise, tf.float64) + 2.0**-24)
    _, classes = tf.math.top_k(-waits[:size] / shares, count)
    known = tf.cumsum(tf.gather(shares, classes))[:-1]
    old = tf.floor(waits[size + 1 :] / -tf.math.log(known))
    draws = tf.reduce_sum(old) + count
    expected = tf.where(draws > count, -tf.math.expm1(draws * np.log1p(-shares)), count * shares)
    return classes, tf.cast(expected, tf.float32)


def sampled_scores(
    x: Any,
    labels: Any,
    affine: tuple[Any, Any],
    drawn: tuple[Any, Any],
    *,
    without_hits: bool,
) -> Any:
    """Return the scores of each frame's label and of sampled classes: float32 [frames, 1 + count].

    They are x W + b minus the logarithm of how often the class is expected. x: float32 [frames,
    in]. labels: int32 [frames]. affine: weights [classes, in], bias [classes]. drawn: from `draw`.
    without_hits: whether a sample that is the frame's label has the least score.
    """
    (weights, bias), (classes, expected) = affine, drawn
    offset = bias - tf.math.log(expected)
    of_label = tf.reduce_sum(x * tf.gather(weights, labels), axis=1) + tf.gather(offset, labels)
    of_samples = tf.matmul(x, tf.gather(weights, classes), transpose_b=True)
    of_samples += tf.gather(offset, classes)
    if without_hits:
        hits = labels[:, None] == classes[None, :]
        of_samples = tf.where(hits, of_samples.dtype.min, of_samples)
    return tf.concat([of_label[:, None], of_samples], axis=1)
