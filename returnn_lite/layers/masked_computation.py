"""masked_computation: a layer that is computed where a mask is true."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from returnn_lite.beam import latest
from returnn_lite.data import Data, common
from returnn_lite.dim import BATCH, Dim
from returnn_lite.frame import StepFrame
from returnn_lite.initial_output import initial_output
from returnn_lite.layers.base import Layer, register
from returnn_lite.layers.subnetwork import open_scope
from returnn_lite.lazy import tf
from returnn_lite.node import Node
from returnn_lite.site import Site


@register("masked_computation")
@dataclass(frozen=True, kw_only=True)
class MaskedComputation(Layer):
    """A unit that only runs where a mask is true; elsewhere its output and state stay as they are.

    mask: bool layer [batch] in a loop, [batch, time] outside. unit: the dict of one layer.
    masked_from: a layer that is the sequence of the masked frames already, in place of `from` and
    mask, which may then be None: the unit runs on it at once, and `unmask` brings its output to the
    steps.
    In a loop the output is that of the last step in which the mask was true (`initial_output`
    before the first), whether the layer is moved out of the loop or not. Outside of any loop the
    output is the shorter sequence of the frames with a true mask (Zeyer et al., 2020, section 3).
    The unit has the names of the network that this layer lies in, and `data` for the input. Of what
    it takes from there by other names than `data`, it gets the same frames. `<layer>/<name>` is a
    layer in the unit, where that is a subnetwork; in a loop it is held like the output.
    out_spatial_dim: a Dim by which others may then name its frames; several layers with the same
    have the same dim, so that their masks must be true as often.
    """

    refs = ("mask",)
    mask: str | None = None
    unit: dict[str, Any]
    masked_from: str | None = None
    out_spatial_dim: Dim | None = None

    @classmethod
    def sources_of(cls, opts: dict[str, Any]) -> Any:
        """Return masked_from in place of `from`, if it is given."""
        sources = super().sources_of(opts)
        return opts.get("masked_from") or sources

    def needs(self, node: Node) -> Iterable[Node]:
        """Yield the source, and the mask where it is used."""
        yield from node.sources
        if self.masked_from is None:
            yield from node.refs["mask"]

    def open(self, node: Node) -> None:
        """Build the unit; its parameters have the names of this layer."""
        if self.mask is None and self.masked_from is None:
            raise Site(node).error("missing option 'mask'; or try masked_from")
        unit = {"from": "data", **self.unit}
        open_scope(node, {"output": unit}, {"output": node.param_path})

    def begins_as(self, node: Node) -> Node:
        """Return the unit."""
        assert node.inner is not None
        return node.inner.get("output")

    def seen(self, node: Node, inner: Node) -> Node:
        """Return a layer in the unit: in a loop its output is held where the mask is false."""
        if not self.steps(node):
            return inner
        if inner.loop is not node.loop:
            raise Site(node).error(f"found {inner.path} of a loop in the unit, asked for outside")
        path = f"{node.path}/{inner.name}"
        return node.scope.view("held", HeldPart(of=node), inner, path=path)

    def masked_dim(self, node: Node) -> Dim:
        """Return the dim of the frames in which the mask is true."""
        dim = Site(node).shared(self.out_spatial_dim, node.dim("spatial", "masked"))
        node.resolved["masked"] = dim
        return dim

    def infer(self, site: Site) -> Data:
        """Return the template of the unit's output."""
        node = site.node
        assert node.inner is not None
        if self.masked_from is not None:
            return site.data(node.inner.get("output"))
        self.masked_dim(node)
        mask = site.ref("mask")
        # In a loop the source may be this layer's own last output, of which nothing is known yet.
        if node.loop is None and (x := site.source).time_dim not in mask.dims:
            raise site.error(f"found mask {mask}, needed bool over the time dim of {x}")
        if mask.dtype != "bool":
            raise site.error(f"found mask {mask}, needed bool")
        return site.data(node.inner.get("output"))

    def begins_with(self, node: Node) -> Iterable[Node]:
        """Yield the layer itself, where it masks steps of a loop."""
        if self.steps(node):
            yield node

    def first_state(self, site: Site) -> dict[str, Data]:
        """Return the output before the first true mask."""
        return {"held": initial_output(site, site.node)} if self.steps(site.node) else {}

    def steps(self, node: Node) -> bool:
        """Return whether it masks steps of a loop."""
        return node.loop is not None and self.masked_from is None

    def inner_input(self, site: Site) -> Data:
        """Return the input where the mask is true; in a step, zero where it is not.

        What is masked away may be no valid input of the unit, such as a blank for an embedding.
        """
        x = site.source
        if self.masked_from is not None:
            if x.time_dim is None:
                raise site.error(f"found masked_from {x}, needed a time dim")
            return x
        over = self._over(site, x)
        if over is None:
            return x if site.frame is None else where(site.ref("mask"), x, _zeros(x))
        return self._frames(site, x, over)

    def masked(self, site: Site, x: Data) -> Data:
        """Return the frames with a true mask of what the unit takes from around; in a step, x."""
        if self.masked_from is not None:
            raise site.error(f"found {x.name} in the unit with masked_from, needed it in 'from'")
        over = self._over(site, site.source)
        return x if over is None or over not in x.dims else self._frames(site, x, over)

    def _frames(self, site: Site, x: Data, over: Dim) -> Data:
        """Return the frames of x with a true mask."""
        dim = self.masked_dim(site.node)
        if site.frame is None:
            return x.renamed(over, dim)
        x = site.over(site.over(x, BATCH), over)
        order, count = self._masked_frames(site, over, x)
        count = site.agreed(dim, site.node.dim("spatial", "masked"), count, x.beam)
        x = x.first(BATCH, over)
        site.run.set_lengths(dim, count, x.beam)
        site.run.set_positions(dim, over, order)
        y = replace(x.renamed(over, dim), tensor=tf.gather(x.tensor, order, batch_dims=1))
        return replace(y, tensor=tf.where(site.run.mask(dim, y), y.tensor, _zeros(y).tensor))

    def _over(self, site: Site, x: Data) -> Dim | None:
        """Return the dim that is masked: none in a step."""
        if site.node.loop is None:
            if x.time_dim is None:
                raise site.error(f"found source {x}, needed a time dim")
            return x.time_dim
        return None if site.frame is None else site.axis

    def _mask(self, site: Site, over: Dim, x: Data) -> Any:
        """Return bool [batch, time]: the mask, false behind the end of a sequence."""
        mask = site.over(site.over(site.ref("mask").in_beam(x.beam), over), BATCH)
        mask = mask.ordered([BATCH, over])
        return tf.logical_and(mask.tensor, site.run.mask(over, mask))

    def _masked_frames(self, site: Site, over: Dim, x: Data) -> tuple[Any, Any]:
        """Return the frames with a true mask, int32 [batch, masked], and their number [batch]."""
        mask = self._mask(site, over, x)
        count = tf.reduce_sum(tf.cast(mask, tf.int32), axis=1)
        order = tf.argsort(tf.cast(tf.logical_not(mask), tf.int32), axis=1, stable=True)
        # At least one frame, so that layers in the unit never see an empty time axis.
        return order[:, : tf.maximum(tf.reduce_max(count), 1)], count

    def call(self, site: Site) -> Data:
        """Return the unit's output, held where the mask is false."""
        assert site.node.inner is not None
        output = site.node.inner.get("output")
        if not self.steps(site.node):
            return site.data(output)
        over = site.axis
        if over is None:
            return self._step(site, output)
        return self.held(site, output, over, site.node)

    def held(self, site: Site, output: Node, over: Dim, begins: Node) -> Data:
        """Return for every frame an output in the unit of the last frame with a true mask.

        begins: the layer whose initial_output it is before the first one.
        """
        y = site.data(output)
        masked = self.masked_dim(site.node)
        y = y.first(masked, BATCH)
        mask = self._mask(site, over, y)
        index = tf.transpose(tf.cumsum(tf.cast(mask, tf.int32), axis=1))
        initial = initial_output(site, begins).in_beam(y.beam).ordered(y.dims[1:])
        values = tf.concat([initial.tensor[None], y.tensor], axis=0)
        columns = tf.broadcast_to(tf.range(tf.shape(index)[1])[None, :], tf.shape(index))
        held = tf.gather_nd(values, tf.stack([index, columns], axis=-1))
        return replace(y.renamed(masked, over), tensor=held)

    def _step(self, site: Site, output: Node) -> Data:
        """Run the unit for one step; keep output and states of hypotheses whose mask is false."""
        frame = site.frame
        assert isinstance(frame, StepFrame) and site.node.inner is not None
        new = frame.value(output)
        mask = site.ref("mask")
        held = where(mask, new, site.state("held"))
        site.set_state("held", held)
        for node, name in frame.states_before:
            if site.node.inner.contains(node):
                value = frame.value(node) if name == "output" else frame.states[node, name]
                old = _as_long(frame.state(node, name), value)
                frame.set_state(node, name, where(mask, value, old))
        return held


@dataclass(frozen=True, kw_only=True)
class HeldPart(Layer):
    """A layer in the unit of a masked_computation in a loop, as others see it.

    of: the masked_computation. The output is that of the last step in which the mask was true.
    """

    layer_class = "held_part"
    of: Node

    def needs(self, node: Node) -> Iterable[Node]:
        """Yield the layer, the mask, and the masked_computation, which holds the unit's states."""
        yield from [*node.sources, *self.of.refs["mask"], self.of]

    def steps(self, node: Node) -> bool:
        """Return True: it depends on the steps before."""
        return True

    def begins_as(self, node: Node) -> Node:
        """Return the layer."""
        return node.sources[0]

    def begins_with(self, node: Node) -> Iterable[Node]:
        """Yield the layer."""
        yield node.sources[0]

    def first_state(self, site: Site) -> dict[str, Data]:
        """Return the output before the first true mask."""
        return {"held": initial_output(site, site.node.sources[0])}

    def infer(self, site: Site) -> Data:
        """Return the template of the layer."""
        return site.sources[0].template()

    def call(self, site: Site) -> Data:
        """Return the output, held where the mask is false."""
        (inner,) = site.node.sources
        layer, owner = self.of.layer, site.of(self.of)
        assert isinstance(layer, MaskedComputation)
        if site.axis is not None:
            return layer.held(owner, inner, site.axis, inner)
        held = where(owner.ref("mask"), site.data(inner), site.state("held"))
        site.set_state("held", held)
        return held


def where(mask: Data, new: Data, old: Data) -> Data:
    """Return new where the mask is true, else old."""
    mask, new, old = common([mask, new, old])
    return replace(new, tensor=tf.where(mask.tensor, new.tensor, old.tensor))


def _as_long(old: Data, new: Data) -> Data:
    """Return a state with zeros for the entries by which it grows in a step."""
    if not any(d.dynamic for d in new.dims):
        return old
    old = old.in_beam(latest([old.beam, new.beam]))
    more = tf.shape(new.tensor) - tf.shape(old.tensor)
    paddings = [[0, more[i] if d.dynamic else 0] for i, d in enumerate(new.dims)]
    return replace(old, tensor=tf.pad(old.tensor, paddings))


def _zeros(x: Data) -> Data:
    return replace(x, tensor=tf.zeros_like(x.tensor))
