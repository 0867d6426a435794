"""Energies of additive attention, which need not store the tanh of each pair.

A linear layer of one output, on the tanh of the sum of keys and queries, is made from these by one
operation, where nothing else uses the layers between (Bahdanau et al., 2015).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from returnn_lite import native
from returnn_lite.data import Data, in_common_beam
from returnn_lite.dim import BATCH, HYPOTHESES
from returnn_lite.frame import Frame, StepFrame
from returnn_lite.layers.elementwise import broadcast
from returnn_lite.lazy import tf
from returnn_lite.node import Node
from returnn_lite.site import Site
from returnn_lite.sums import sum_of_two


def additive_energies(site: Site, weights: Callable[[], Any]) -> Data | None:
    """Return x W for a linear layer of one output, if its source x is a tanh of keys and queries.

    weights: makes W, float [size, 1]. None where it is not, or where nothing is to be gained.
    """
    frame = site.frame
    assert frame is not None
    between = _between(site.node)
    if not between or not _unused(between, site.node, frame):
        return None
    nodes = between[-1].sources
    datas = [frame.value(n) for n in nodes]
    if not all(d.dtype == "float32" and d.feature_dim and d.has_batch for d in datas):
        return None
    if datas[0].feature_size != datas[1].feature_size:
        return None
    like = broadcast([d.template() for d in datas])
    datas, beam = in_common_beam(datas)
    pairs = [_Rows(d, n) for d, n in zip(datas, nodes, strict=True)]
    keys, queries = sorted(pairs, key=_Rows.asks)
    dims = (BATCH, *queries.dims, *keys.dims)
    rest = {d for d in dims if d is not HYPOTHESES}
    if keys.asks() or not queries.dims or len({*dims}) < len(dims):
        return None
    if rest != {*like.dims} - {like.feature_dim}:
        return None
    v = tf.reshape(weights(), [-1])
    energies = native.additive_energies(keys.known(site), queries.tensor(), v)
    sizes = [tf.shape(energies)[0], *queries.sizes(), *keys.sizes(), 1]
    out = like.with_feature(site.feature(1))
    tensor = tf.reshape(energies, sizes)
    found = replace(out, dims=(*dims, out.feature), tensor=tensor)
    return (found if beam is None else found.together(beam)).ordered(out.dims)


class _Rows:
    """Keys, or queries; dims: what they are by, besides sequences."""

    def __init__(self, data: Data, node: Node):
        self.data = data
        self.node = node
        self.dims = [d for d in data.dims if d not in (BATCH, data.feature)]

    def asks(self) -> bool:
        """Whether they are queries: those of hypotheses, of steps, or one for each sequence."""
        loop = self.node.loop
        steps = loop is not None and loop.dim in self.dims
        return not self.dims or HYPOTHESES in self.dims or steps

    def sizes(self) -> list[Any]:
        """Return the sizes of the dims."""
        return [n for d, n in zip(self.data.dims, self.data.sizes(), strict=True) if d in self.dims]

    def tensor(self) -> Any:
        """Return float32 [batch, rows, size]."""
        x = self.data.ordered([BATCH, *self.dims, self.data.feature])
        if len(self.dims) == 1:
            return x.tensor
        return tf.reshape(x.tensor, [tf.shape(x.tensor)[0], -1, x.feature_size])

    def known(self, site: Site) -> Any:
        """Return the tensor, made before a loop in the steps of which it does not change."""
        frame = site.frame
        if isinstance(frame, StepFrame) and frame.known(self.node) is self.data:
            return frame.before.once((site.node, "keys"), self.tensor)
        return self.tensor()


def _between(linear: Node) -> list[Node]:
    """Return the layers from the source of a linear layer to a sum of two, if tanh is all else."""
    if not linear.plain("linear") or len(linear.sources) != 1:
        return []
    found = sum_of_two(linear.sources[0])
    tanh = found is not None and found.activation == "tanh" and not found.opts
    return found.nodes if found is not None and tanh else []


def _unused(between: list[Node], linear: Node, frame: Frame) -> bool:
    """Whether nothing needs the outputs of the layers between two."""
    inside = {linear, *between}
    for node in linear.scope.root().all_nodes():
        if node in inside:
            continue
        others = {node.target, node.initial, *node.loss_refs.values()}
        if not others.union(node.layer.needs(node)).isdisjoint(between):
            return False
    return all(_hidden(node, linear, frame) for node in between)


def _hidden(node: Node, linear: Node, frame: Frame) -> bool:
    """Whether a layer has no output of the network or the loop, and is not computed anyway."""
    loop, common = linear.loop, node.common
    if node.scope is not linear.scope or node.criterion is not None or common.is_output_layer:
        return False
    if common.register_as_extern_data or (loop is not None and node in loop.node.wanted):
        return False
    if isinstance(frame, StepFrame):
        return frame.placement.place.get(node) == frame.placement.place.get(linear)
    return node not in frame.values
