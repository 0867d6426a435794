"""What `prev:` of a layer is in the first step of a loop: the common option initial_output."""

from __future__ import annotations

from dataclasses import replace

from returnn_lite.data import Data, fitted
from returnn_lite.dim import BATCH
from returnn_lite.frame import Frame
from returnn_lite.infer import template_of
from returnn_lite.lazy import tf
from returnn_lite.node import Node
from returnn_lite.run import Run
from returnn_lite.site import Site


def initial_output(site: Site, node: Node, like: Data | None = None) -> Data:
    """Return what `prev:` of a node is in the first step: float or int [batch, ...].

    site: of the layer that asks. like: the node's template in a step, where it is not that of the
    node.
    """
    like = template_of(node) if like is None else like
    node = _giver(node)
    value = node.common.initial_output
    if value == "apply(0)":
        x = _applied(site, node)
    elif value == "var":
        dim = like.feature
        x = replace(like, dims=(dim,), time_dim=None, beam=None)
        x = replace(x, tensor=site.of(node).param(_variable(node), (), None))
    elif node.initial is not None:
        x = site.data(node.initial)
    else:
        first = node.layer.first_output(site.of(node))
        return site.constant(value, like) if first is None else first
    x = fitted(x, like)
    sizes = [tf.maximum(n, site.size(d)) for d, n in zip(x.dims, x.sizes(), strict=True)]
    return replace(x, tensor=tf.broadcast_to(x.tensor, sizes))


def declare(asker: Node) -> None:
    """Declare the parameters that a layer asks for by "var"; check that "apply(0)" is possible."""
    for node in map(_giver, asker.layer.begins_with(asker)):
        site, out = Site(node), template_of(node)
        if node.common.initial_output == "var":
            if out.feature_dim is None or {*out.dims} != {BATCH, out.feature_dim}:
                raise site.error(f"found initial_output 'var' for {out}, needed [batch, features]")
            site.param(_variable(node), (out.feature_size,), 0.0)
        if node.common.initial_output == "apply(0)":
            others = {*node.refs} - {"reuse_params"}
            if node.layer.steps(node) or node.inner is not None or others or not node.sources:
                raise site.error(
                    "found initial_output 'apply(0)', needed a layer without a state, whose output "
                    "depends on 'from' alone; try a number, or a layer outside of the loop"
                )


def _giver(node: Node) -> Node:
    """Return the layer whose option says what `prev:` of a node is in the first step."""
    while node.common.initial_output is None:
        before, node = node, node.layer.begins_as(node)
        if node is before:
            break
    return node


def _variable(node: Node) -> str:
    """Return RETURNN's name of the parameter."""
    return f"init_{node.name}_var"


def _applied(site: Site, node: Node) -> Data:
    """Return what a layer makes of zeros."""
    frame = site.frame
    while frame is not None and frame.loop is node.loop:
        frame = frame.parent
    zeros = {m: site.constant(0, template_of(m)) for m in node.sources}
    return _Applied(site.run, node, frame, zeros).compute(node)


class _Applied(Frame):
    """A layer with other inputs than those that it has. inputs: its sources' values."""

    def __init__(self, run: Run, node: Node, parent: Frame | None, inputs: dict[Node, Data]):
        super().__init__(run, node.loop, parent)
        self.inputs = inputs

    def value(self, node: Node) -> Data:
        """Return an input."""
        return self.inputs[node]
