"""More frames from those that there are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from returnn_lite.data import Data
from returnn_lite.dim import BATCH, Dim, derived
from returnn_lite.layers.base import Layer, register
from returnn_lite.lazy import tf
from returnn_lite.site import Site


@register("resize")
@dataclass(frozen=True, kw_only=True)
class Resize(Layer):
    """A dim with `factor` entries for each of its own.

    kind: "nn" or "nearest_neighbor" repeats an entry; "linear" goes straight on to the next one,
    the last one of a sequence is repeated (RETURNN's looks behind the end of the shorter ones);
    "fill" puts fill_value behind it.
    """

    axis: Any
    factor: int
    kind: Literal["nn", "nearest_neighbor", "linear", "fill"] = "nn"
    fill_value: float | None = None

    def infer(self, site: Site) -> Data:
        """Return the template with the longer dim."""
        x = site.source
        axis = site.axis_of(self.axis, x)
        if self.factor < 1 or axis is BATCH:
            raise site.error(f"found factor {self.factor} for {axis!r}, needed 1 or more, no batch")
        if (self.kind == "fill") != (self.fill_value is not None):
            raise site.error(f"found kind {self.kind!r} and fill_value {self.fill_value}")
        if self.kind == "linear" and not x.dtype.startswith("float"):
            raise site.error(f"found source {x}, needed floats for the kind 'linear'")
        return x.renamed(axis, self._longer(axis))

    def _longer(self, axis: Dim) -> Dim:
        key, name = ("times", self.factor), f"{axis.name}*{self.factor}"
        return derived(key, name, [axis], lambda n: n * self.factor)

    def call(self, site: Site) -> Data:
        """Return the entries."""
        x = site.source
        axis = site.axis_of(self.axis, x)
        x = x.first(axis)
        if self.kind == "fill":
            tensor = x.tensor[:, None]
            rest = [[0, 0]] * (len(tensor.shape) - 2)
            value = tf.cast(self.fill_value, tensor.dtype)
            paddings = [[0, 0], [0, self.factor - 1], *rest]
            parts = tf.pad(tensor, paddings, constant_values=value)
        elif self.kind == "linear":
            behind = tf.concat([x.tensor[1:], x.tensor[-1:]], axis=0)
            if site.run.pads(x, axis):
                inside = site.run.mask(axis, x)
                inside = tf.concat([inside[1:], tf.zeros_like(inside[:1])], axis=0)
                behind = tf.where(inside, behind, x.tensor)
            share = tf.range(self.factor, dtype=x.tensor.dtype) / self.factor
            share = tf.reshape(share, [-1, *[1] * (len(x.dims) - 1)])
            parts = x.tensor[:, None] + share * (behind - x.tensor)[:, None]
        else:
            parts = tf.repeat(x.tensor[:, None], self.factor, axis=1)
        shape = tf.shape(x.tensor)
        tensor = tf.reshape(parts, tf.concat([shape[:1] * self.factor, shape[1:]], axis=0))
        return site.as_output(replace(x.renamed(axis, self._longer(axis)), tensor=tensor))
