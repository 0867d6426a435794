"""The entries of a dim, moved."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from returnn_lite.data import Data
from returnn_lite.dim import BATCH, Dim, derived
from returnn_lite.layers.base import Layer, register
from returnn_lite.lazy import tf
from returnn_lite.node import Node
from returnn_lite.site import Site


@register("shift_axis")
@dataclass(frozen=True, kw_only=True)
class ShiftAxis(Layer):
    """The entries of a dim moved by an amount, to the left where it is below 0.

    pad: whether pad_value fills the places that become free, so that the size stays; otherwise they
    are cut off. adjust_size_info: whether lengths move with the entries, as far as there is room.
    """

    axis: Any
    amount: int
    pad: bool = True
    pad_value: float = 0
    adjust_size_info: bool = True

    def infer(self, site: Site) -> Data:
        """Return the template with another dim."""
        x = site.source
        axis = site.axis_of(self.axis, x)
        if self.amount == 0 or axis is BATCH:
            raise site.error(f"found amount {self.amount} for axis {axis} of {x}, needed another")
        if not self.pad and not self.adjust_size_info and axis.dynamic:
            raise site.error("found neither pad nor adjust_size_info, needed one of a dynamic dim")
        if not self.pad and axis.size is not None and axis.size <= abs(self.amount):
            raise site.error(f"found amount {self.amount} for {x}, needed less than the size")
        return x.renamed(axis, self._new(axis))

    def sees_padding(self, node: Node) -> bool:
        """Whether entries behind the end of a sequence come before it."""
        return self.amount < 0 and not self.adjust_size_info

    def _new(self, axis: Dim) -> Dim:
        if axis.size is not None:
            return axis if self.pad else axis.padded(-abs(self.amount), 0)
        if not self.adjust_size_info:
            return axis
        amount, name = self.amount, f"{axis.name}>>{self.amount}"
        if amount < 0 and not self.pad:
            return axis.padded(amount, 0)
        if amount > 0 and not self.pad:
            # As long as before, but for the entries that are no longer there at all.
            return derived(
                ("cut", amount), name, [axis], lambda n: tf.clip_by_value(n, 0, _room(n, amount))
            )
        return derived(
            ("shift", amount), name, [axis], lambda n: tf.clip_by_value(n + amount, 0, _room(n, 0))
        )

    def call(self, site: Site) -> Data:
        """Return the moved entries."""
        x = site.source
        axis = site.axis_of(self.axis, x)
        size = tf.shape(x.tensor)[x.axis(axis)]
        amount = tf.minimum(abs(self.amount), size)
        part = slice(amount, None) if self.amount < 0 else slice(0, size - amount)
        tensor = x.tensor[(*[slice(None)] * x.axis(axis), part)]
        if self.pad:
            paddings: list[Any] = [[0, 0]] * len(x.dims)
            paddings[x.axis(axis)] = [0, amount] if self.amount < 0 else [amount, 0]
            number = tf.cast(self.pad_value, tensor.dtype)
            tensor = tf.pad(tensor, paddings, constant_values=number)
        new = self._new(axis)
        x = replace(x, tensor=tensor)
        return site.as_output(
            site.run.fitting(x, axis, new) if new.dynamic else x.renamed(axis, new)
        )


def _room(lengths: Any, cut: int) -> Any:
    """Return the number of entries that the tensor has."""
    return tf.maximum(tf.reduce_max(lengths) - cut, 0)
