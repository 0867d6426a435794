"""More or fewer frames, from those that there are."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

from returnn_lite.data import Data
from returnn_lite.dim import BATCH, Dim, derived
from returnn_lite.layers.base import Layer, register
from returnn_lite.lazy import tf
from returnn_lite.node import Node
from returnn_lite.site import Site


@register("resize")
@dataclass(frozen=True, kw_only=True)
class Resize(Layer):
    """A dim with `factor` entries for each of its own; of a fraction, rounded up.

    factor: a number, or a layer without dims. kind: "nn" or "nearest_neighbor" repeats an entry;
    "linear" goes straight on to the next one, the last one of a sequence is repeated (RETURNN's
    looks behind the end of the shorter ones); "fill" puts fill_value behind it. With a fraction,
    each sequence has the distance of entries by the factor (RETURNN's is that of the longest).
    """

    refs = ("factor",)
    axis: Any
    factor: int | float | str
    kind: Literal["nn", "nearest_neighbor", "linear", "fill"] = "nn"
    fill_value: float | None = None

    def stays(self, node: Node) -> bool:
        """Return whether a layer says how many entries there are: of each step, in a loop."""
        return isinstance(self.factor, str)

    def infer(self, site: Site) -> Data:
        """Return the template with the longer dim."""
        x = site.source
        axis = site.axis_of(self.axis, x)
        if axis is BATCH or (not isinstance(self.factor, str) and self.factor <= 0):
            raise site.error(f"found factor {self.factor} for {axis!r}, needed > 0, and no batch")
        if (self.kind == "fill") != (self.fill_value is not None):
            raise site.error(f"found kind {self.kind!r} and fill_value {self.fill_value}")
        if self.kind == "fill" and not isinstance(self.factor, int):
            raise site.error(f"found factor {self.factor!r} for 'fill', needed a whole number")
        if self.kind == "linear" and not x.dtype.startswith("float"):
            raise site.error(f"found source {x}, needed floats for the kind 'linear'")
        if isinstance(self.factor, str):
            self._check_factor(site, axis)
        return x.renamed(axis, self._longer(site, axis))

    def _check_factor(self, site: Site, axis: Dim) -> None:
        factor = site.ref("factor")
        if factor.dims or factor.sparse_dim is not None or factor.dtype not in ("int32", "float32"):
            raise site.error(f"found factor {factor}, needed one number, int32 or float32")
        if not axis.dynamic:
            raise site.error(f"found axis {axis!r}, needed one with lengths for a layer as factor")

    def _longer(self, site: Site, axis: Dim) -> Dim:
        factor = self.factor
        if isinstance(factor, str):
            return site.node.dim("spatial", "resized")
        if isinstance(factor, float):
            key, name = ("resized", factor), f"ceil({axis.name}*{factor})"
            return derived(key, name, [axis], lambda n: _rounded_up(n, factor))
        key, name = ("times", factor), f"{axis.name}*{factor}"
        return derived(key, name, [axis], lambda n: n * factor)

    def call(self, site: Site) -> Data:
        """Return the entries."""
        x = site.source
        axis = site.axis_of(self.axis, x)
        new = self._longer(site, axis)
        x = x.first(axis)
        if isinstance(self.factor, int):
            tensor = self._repeated(site, x, axis, self.factor)
        else:
            tensor = self._between(site, x, axis, new)
        return site.as_output(replace(x.renamed(axis, new), tensor=tensor))

    def _repeated(self, site: Site, x: Data, axis: Dim, factor: int) -> Any:
        """Return as many entries for each one of x, whose first dim is the axis."""
        if self.kind == "fill":
            tensor = x.tensor[:, None]
            rest = [[0, 0]] * (len(tensor.shape) - 2)
            value = tf.cast(self.fill_value, tensor.dtype)
            parts = tf.pad(tensor, [[0, 0], [0, factor - 1], *rest], constant_values=value)
        elif self.kind == "linear":
            share = tf.range(factor, dtype=x.tensor.dtype) / factor
            share = tf.reshape(share, [-1, *[1] * (len(x.dims) - 1)])
            further = _next(site, x, axis) - x.tensor
            parts = x.tensor[:, None] + share * further[:, None]
        else:
            parts = tf.repeat(x.tensor[:, None], factor, axis=1)
        shape = tf.shape(x.tensor)
        return tf.reshape(parts, tf.concat([shape[:1] * factor, shape[1:]], axis=0))

    def _between(self, site: Site, x: Data, axis: Dim, new: Dim) -> Any:
        """Return the entries of x, whose first dim is the axis, at fractions of their distance."""
        factor = self.factor
        if isinstance(factor, str):
            factor = site.ref("factor").tensor
            lengths = site.run.lengths_of(axis, x.beam)
            site.run.set_lengths(new, _rounded_up(lengths, factor), x.beam)
        place = tf.range(site.run.entries(new), dtype=tf.float32) / tf.cast(factor, tf.float32)
        before = tf.minimum(tf.cast(tf.floor(place), tf.int32), tf.shape(x.tensor)[0] - 1)
        found = tf.gather(x.tensor, before)
        if self.kind != "linear":
            return found
        share = tf.cast(place - tf.floor(place), x.tensor.dtype)
        share = tf.reshape(share, [-1, *[1] * (len(x.dims) - 1)])
        return found + share * (tf.gather(_next(site, x, axis), before) - found)


def _rounded_up(n: Any, factor: Any) -> Any:
    """Return the whole number from a fraction of another one on: int, or int32."""
    if isinstance(n, int):
        return math.ceil(n * factor)
    return tf.cast(tf.math.ceil(tf.cast(n, tf.float32) * tf.cast(factor, tf.float32)), tf.int32)


def _next(site: Site, x: Data, axis: Dim) -> Any:
    """Return the entry behind each one of x, whose first dim is the axis; at the end, the same."""
    behind = tf.concat([x.tensor[1:], x.tensor[-1:]], axis=0)
    if not site.run.pads(x, axis):
        return behind
    inside = site.run.mask(axis, x)
    inside = tf.concat([inside[1:], tf.zeros_like(inside[:1])], axis=0)
    return tf.where(inside, behind, x.tensor)
