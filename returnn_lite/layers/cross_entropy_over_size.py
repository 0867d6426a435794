"""A cross entropy of distributions over the entries of a sequence, as expressions have it."""

from __future__ import annotations

from typing import Any

from returnn_lite.data import Data
from returnn_lite.dim import BATCH, Dim
from returnn_lite.lazy import tf
from returnn_lite.view import DataView


def softmax_cross_entropy_over_size(
    logits: DataView, labels: DataView, stable_gradient: bool = True
) -> Any:
    """Return -sum(labels * log softmax(logits)) over the last dynamic dim of logits, without it.

    logits: float, of any dims; what lies behind the end of a sequence does not count. labels:
    float, as many dims, in any order of batch, features and the rest, which are taken in turn; 0
    behind the end. stable_gradient: whether the gradient is softmax(logits) - labels, as it is for
    labels whose sum is 1, and none of labels. Raises ValueError for other dims.
    """
    x, over = logits.data, _over(logits.data)
    y = labels.data.ordered(_partners(x, labels.data)).tensor
    axis, mask = x.axis(over), logits.run.mask(over, x)
    if stable_gradient:
        y = tf.stop_gradient(y)

    def forward(tensor: Any) -> Any:
        inside = tf.where(mask, tensor, tf.cast(float("-inf"), tensor.dtype))
        found = tf.where(mask, tf.nn.log_softmax(inside, axis=axis), tf.zeros_like(tensor))
        return -tf.reduce_sum(y * found, axis=axis), tf.nn.softmax(inside, axis=axis)

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def stable(tensor: Any) -> Any:
        loss, probs = forward(tensor)
        return loss, lambda gradient: tf.expand_dims(gradient, axis) * (probs - y)

    return stable(x.tensor) if stable_gradient else forward(x.tensor)[0]


def _over(x: Data) -> Dim:
    dims = [d for d in x.dims if d.dynamic]
    if not dims or not x.has_batch:
        raise ValueError(f"logits {x}, needed a batch and a dynamic dim")
    return dims[-1]


def _partners(x: Data, y: Data) -> list[Dim]:
    """Return the dims of y in the order of those of x."""
    rest = iter([d for d in y.dims if d is not BATCH and d is not y.feature_dim])
    special = {BATCH: BATCH if y.has_batch else None, x.feature_dim: y.feature_dim}
    found = [special[d] if d in special else next(rest, None) for d in x.dims]
    dims = [d for d in found if d is not None]
    if len(dims) != len(x.dims) or len(dims) != len(y.dims):
        raise ValueError(f"labels {y} for logits {x}, needed as many dims")
    return dims
