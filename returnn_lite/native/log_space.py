"""Paths in log-space: what the forms in TensorFlow's own operations share."""

from __future__ import annotations

from typing import Any

from returnn_lite.lazy import tf

# Stands for log 0 where TensorFlow is to differentiate: differences of infinities have no gradient.
NEVER = -1e30


def negative_log(total: Any) -> Any:
    """Return minus the log of a sum, inf without a gradient where it has no terms."""
    possible = total > 0.5 * NEVER
    return tf.where(possible, -tf.where(possible, total, 0.0), float("inf"))


def exact(scores: Any) -> Any:
    """Return float64, in which kernels add up the best path: ties stay, NaN and +inf are -inf."""
    impossible = tf.constant(float("-inf"), tf.float64)
    return tf.where(scores < float("inf"), tf.cast(scores, tf.float64), impossible)


def path_to(states: Any, moves: Any) -> Any:
    """Return int32 [batch, steps]: the states after each step of the paths that end in `states`.

    states: int32 [batch]. moves: int32 [steps, batch, states], how far back the state before is.
    """

    def before(after: Any, move: Any) -> Any:
        return after - tf.gather(move, after, batch_dims=1)

    path = tf.scan(before, moves, initializer=states, reverse=True)
    return tf.transpose(tf.concat([path[1:], states[None]], axis=0))


def after_scan(scanned: Any, first: Any) -> Any:
    """Return the last entry of what `tf.scan` gives, or, of no step, what it begins with."""
    return tf.concat([first[None], scanned], axis=0)[-1]
