"""Between a loop and what is around it: a sequence taken apart, and the output of the last step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from returnn_lite.data import Data
from returnn_lite.dim import BATCH
from returnn_lite.initial_output import initial_output
from returnn_lite.layers.base import Layer, register
from returnn_lite.layers.gather import take
from returnn_lite.layers.inputs import StepInput
from returnn_lite.lazy import tf
from returnn_lite.node import Node
from returnn_lite.site import Site


@register("rec_unstack")
@dataclass(frozen=True, kw_only=True)
class RecUnstack(Layer):
    """In a loop, one entry in each step of a sequence from outside, which must be as long.

    axis: the dim that is taken apart, by default time. declare_rec_time: whether the loop, where
    nothing else says how many steps it has, has as many as that dim has entries.
    """

    axis: Any = None
    declare_rec_time: bool = False

    def open(self, node: Node) -> None:
        """Take the entry of each step in place of the source."""
        if node.loop is None:
            raise Site(node).error("found it outside of the unit of a rec layer; move it there")
        if len(node.sources) != 1 or node.sources[0].loop is node.loop:
            raise Site(node).error("found a source in the loop, needed one from outside of it")
        node.resolved["whole"] = node.sources[0]
        step = StepInput(axis="T" if self.axis is None else self.axis)
        node.sources = [node.scope.view(f"unstack:{self.axis}", step, node.sources[0])]

    def infer(self, site: Site) -> Data:
        """Return the template without the dim."""
        return site.source

    def call(self, site: Site) -> Data:
        """Return the entry."""
        return site.source


@register("rec_last_output")
@dataclass(frozen=True, kw_only=True)
class RecLastOutput(Layer):
    """The output of a layer in a loop in the last step of each sequence.

    rec_layer: the rec layer. sub_layer_name: the layer in it. Where there was no step, it is the
    layer's initial_output.
    """

    default_from = ()
    rec_layer: str
    sub_layer_name: str

    def open(self, node: Node) -> None:
        """Find the layer, also where a copy or a subnetwork gives what the rec layer does."""
        rec = node.scope.get(self.rec_layer, str(node))
        while rec.inner is None or not rec.inner.is_body:
            if rec.layer.layer_class == "subnetwork" and rec.inner is not None:
                rec = rec.inner.get("output")
            elif rec.layer.layer_class == "copy" and len(rec.sources) == 1:
                rec = rec.sources[0]
            else:
                found = f"found rec_layer {self.rec_layer!r}"
                raise Site(node).error(f"{found}, needed a rec layer with a network")
        node.sources = [rec.inner.get(self.sub_layer_name, str(node))]
        rec.wanted.add(node.sources[0])

    def infer(self, site: Site) -> Data:
        """Return the template of a step."""
        x = site.source
        assert x.time_dim is not None
        return x.without(x.time_dim)

    def begins_with(self, node: Node) -> Iterable[Node]:
        """Yield the layer in the loop."""
        yield node.sources[0]

    def call(self, site: Site) -> Data:
        """Return the output of the last step."""
        x, node = site.source, site.node.sources[0]
        assert x.time_dim is not None
        lengths: Data = site.run.lengths[x.time_dim].in_beam(x.beam)
        assert node.loop is not None
        if not x.has_batch and node.loop.node.resolved.get("ends_together"):
            lengths = replace(lengths, dims=(), tensor=tf.reduce_max(lengths.tensor))
        last = take(site, x, replace(lengths, tensor=lengths.tensor - 1), x.time_dim)
        initial = initial_output(site, node).in_beam(x.beam)
        dims = [d for d in last.dims if d in initial.dims or d is BATCH]
        if BATCH in dims:
            initial = site.over(initial, BATCH)
        initial = initial.ordered(dims)
        none = tf.reshape(lengths.tensor == 0, [-1 if d is BATCH else 1 for d in dims])
        tensor = tf.where(none, initial.tensor, last.ordered(dims).tensor)
        return site.as_output(replace(last, dims=tuple(dims), tensor=tensor))
