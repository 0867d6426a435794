"""The affine map of features, or of labels as their vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from returnn_lite import native
from returnn_lite.data import Data
from returnn_lite.lazy import tf

if TYPE_CHECKING:
    from returnn_lite.run import Run


def affine(x: Data, weights: Any, bias: Any | None, run: Run | None = None) -> Any:
    """Return x W + b, a tensor with the feature axis last; for sparse x the rows of W it names.

    x: float [..., in] or int32 [...]. weights: float [in, out]. bias: float [out]. run: where
    padding, of which the result may be zero, costs nothing.
    """
    if x.sparse_dim is not None:
        y = tf.gather(weights, x.tensor)
        return y if bias is None else y + bias
    x = x.last(x.feature)
    lengths, time_axis = (None, 1) if run is None else run.counted(x)
    return native.affine(x.tensor, weights, bias, lengths, time_axis)
