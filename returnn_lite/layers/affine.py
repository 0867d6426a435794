"""The affine map of features, or of labels as their vectors."""

from __future__ import annotations

from typing import Any

from returnn_lite.data import Data
from returnn_lite.lazy import tf


def affine(x: Data, weights: Any, bias: Any | None) -> Any:
    """Return x W + b, a tensor with the feature axis last; for sparse x the rows of W it names.

    x: float [..., in] or int32 [...]. weights: float [in, out]. bias: float [out].
    """
    if x.sparse_dim is not None:
        y = tf.gather(weights, x.tensor)
    else:
        x = x.last(x.feature)
        flat = tf.reshape(x.tensor, [-1, x.feature_size])
        y = tf.reshape(tf.matmul(flat, weights), [*x.sizes()[:-1], weights.shape[-1]])
    return y if bias is None else y + bias
