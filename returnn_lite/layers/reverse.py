"""Sequences backwards."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from returnn_lite.data import Data
from returnn_lite.layers.base import Layer, register
from returnn_lite.lazy import tf
from returnn_lite.node import Node
from returnn_lite.site import Site


@register("reverse_sequence")
@dataclass(frozen=True, kw_only=True)
class ReverseSequence(Layer):
    """The entries of a dim, by default of time, from the last one of each sequence to the first."""

    axis: Any = "T"

    def stays(self, node: Node) -> bool:
        """Return True: the lengths are those of one sequence for each of the batch."""
        return True

    def infer(self, site: Site) -> Data:
        """Return the template of the input."""
        x = site.source
        if site.axis_of(self.axis, x).kind == "batch":
            raise site.error(f"found axis {self.axis!r} of {x}, needed one of the sequences")
        return x

    def call(self, site: Site) -> Data:
        """Return the entries."""
        x = site.source
        axis = site.axis_of(self.axis, x)
        batch = x.batch_dim
        if batch is None or not site.run.pads(x, axis):
            return site.as_output(replace(x, tensor=tf.reverse(x.tensor, [x.axis(axis)])))
        x = x.first(batch, axis)
        lengths = site.run.lengths_in(x, axis)
        return site.as_output(
            replace(x, tensor=tf.reverse_sequence(x.tensor, lengths, seq_axis=1, batch_axis=0))
        )
