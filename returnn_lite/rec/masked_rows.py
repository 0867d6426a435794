"""In a step of a search, a masked_computation only works for what its mask is true for.

Of the hypotheses of a transducer only those that have emitted a label take a new state of the
SlowRNN, or of a language model; the others keep theirs, whatever is computed for them.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from returnn_lite.beam import latest
from returnn_lite.data import Data
from returnn_lite.dim import BATCH
from returnn_lite.frame import StepFrame
from returnn_lite.layers.affine import affine
from returnn_lite.lazy import tf
from returnn_lite.node import Node

if TYPE_CHECKING:
    from returnn_lite.site import Site

WORTH = 2**16  # weights: with fewer, to select and put back costs more than the products


class MaskedRows:
    """The rows of data [batch, ...] that are of use; index: int32 [rows, 1]."""

    def __init__(self, index: Any):
        self.index = index

    def of(self, x: Any) -> Any:
        """Return the rows of a tensor."""
        return tf.gather_nd(x, self.index)

    def of_data(self, x: Data) -> Data:
        """Return data with these rows alone."""
        return replace(x, tensor=self.of(x.tensor))

    def put(self, new: Any, old: Any) -> Any:
        """Return a tensor with new rows in the place of its old ones."""
        return tf.tensor_scatter_nd_update(old, self.index, new)

    def among_zeros(self, new: Any, count: Any) -> Any:
        """Return a tensor of so many rows, zero but for the new ones."""
        shape = tf.concat([[count], tf.shape(new)[1:]], axis=0)
        return tf.ensure_shape(tf.scatter_nd(self.index, new, shape), [None, *new.shape[1:]])


def masked_rows(site: Site, x: Data, weights: int) -> MaskedRows | None:
    """Return the rows of x that a masked_computation around a layer takes; None for all of them.

    weights: how many numbers a row is multiplied with.
    """
    frame = site.frame
    if not isinstance(frame, StepFrame) or not frame.before.saves or weights < WORTH:
        return None
    owner = _masked_around(site.node)
    if owner is None or x.dims[0] is not BATCH or x.beam is None:
        return None
    mask = frame.value(owner.refs["mask"][0])
    if mask.dims != (BATCH,) or latest([mask.beam, x.beam]) is not x.beam:
        return None
    return true_rows(mask.in_beam(x.beam).tensor)


def true_rows(mask: Any) -> MaskedRows:
    """Return the rows for which a mask, bool [batch], is true."""
    return MaskedRows(tf.cast(tf.where(mask), tf.int32))


def affine_of_rows(site: Site, x: Data, weights: Any, bias: Any | None) -> Any:
    """Return x W + b, where it is of use; see `affine`."""
    if x.sparse_dim is None:
        x = x.last(x.feature)
        rows = masked_rows(site, x, math.prod(weights.shape))
        if rows is not None:
            y = affine(rows.of_data(x), weights, bias)
            return rows.among_zeros(y, tf.shape(x.tensor)[0])
    return affine(x, weights, bias, site.run)


def _masked_around(node: Node) -> Node | None:
    """Return the innermost masked_computation of steps that a layer lies in."""
    scope = node.scope
    while scope.owner is not None and scope.parent is not None:
        if "mask" in scope.owner.refs and scope.owner.layer.steps(scope.owner):
            return scope.owner
        scope = scope.parent
    return None
