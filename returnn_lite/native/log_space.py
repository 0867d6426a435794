"""Sums over paths in log-space, where TensorFlow is to differentiate them."""

from __future__ import annotations

from typing import Any

from returnn_lite.lazy import tf

# Stands for log 0: differences of infinities have no gradient.
NEVER = -1e30


def negative_log(total: Any) -> Any:
    """Return minus the log of a sum, inf without a gradient where it has no terms."""
    possible = total > 0.5 * NEVER
    return tf.where(possible, -tf.where(possible, total, 0.0), float("inf"))
