"""Products with weights of what a layer in a loop gets, made before the loop where they can be.

A linear layer of several inputs is a sum of products, one for each of them. In a search most of
them need not be made for each hypothesis in each step: what is known before the loop is multiplied
there, for all steps at once and without hypotheses; and a mean of frames, as of attention, times
weights is the mean of the frames times weights, which are made before the loop, too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any, NamedTuple

from returnn_lite import data
from returnn_lite.data import Data, in_common_beam, join_features, with_hypotheses
from returnn_lite.dim import BATCH, Dim
from returnn_lite.frame import StepFrame
from returnn_lite.infer import template_of
from returnn_lite.layers.affine import affine
from returnn_lite.layers.attention import GenericAttention, attended
from returnn_lite.layers.split_merge import MergeDims
from returnn_lite.lazy import tf
from returnn_lite.node import Node

if TYPE_CHECKING:
    from returnn_lite.site import Site

MEAN = "mean"  # the state with the weights of a mean after the step before


class Mean(NamedTuple):
    """A weighted mean of frames: the layers of the weights and of the frames, and who takes it."""

    attention: Node
    weights: Node
    base: Node


def mean_of(node: Node) -> Mean | None:
    """Return of which frames a layer in a loop is the mean, if it is one, with a single head."""
    attention = node
    if isinstance(node.layer, MergeDims) and len(node.sources) == 1:
        attention = node.sources[0]
    if not isinstance(attention.layer, GenericAttention) or attention.loop is None:
        return None
    weights, base = (attention.refs[k][0] for k in ("weights", "base"))
    if any(len(template_of(n).dims) > 2 for n in (node, attention)):
        return None
    if any(n.scope is not attention.loop.scope for n in (node, attention, weights)):
        return None
    return Mean(attention, weights, base)


def mean_before(node: Node) -> Mean | None:
    """Return of which frames `prev:` of a layer is the mean, from the first step on: of none."""
    if node.common.initial_output not in (None, 0, "zeros") or node.initial is not None:
        return None
    return mean_of(node)


def product(site: Site, weights: Callable[[], Any]) -> Data | None:
    """Return x W for the joined sources of a layer, float [..., out], in a step of a search.

    weights: makes W, float [in, out]. None where nothing is to be gained.
    """
    frame = site.frame
    if not isinstance(frame, StepFrame) or not frame.before.saves:
        return None
    common = site.node.common
    changed = common.dropout or common.in_dim is not None or site.node.reuse is not None
    if changed or any(d.feature_dim is None for d in site.sources):
        return None
    return _Products(site, frame, weights).sum()


def once(site: Site, name: Any, make: Callable[[], Any]) -> Any:
    """Return what a layer needs in every step, made before the loop."""
    assert isinstance(site.frame, StepFrame)
    return site.frame.before.once((site.node, name), make)


class _Products:
    """The products of one layer in one step."""

    def __init__(self, site: Site, frame: StepFrame, weights: Callable[[], Any]):
        self.site = site
        self.frame = frame
        self.datas = site.sources
        self.make_weights = weights
        sizes = [d.feature_size for d in self.datas]
        self.rows = [slice(sum(sizes[:i]), sum(sizes[: i + 1])) for i in range(len(sizes))]

    def weights(self, *sources: int) -> Any:
        """Return the rows of W for some sources."""

        def make() -> Any:
            w = self._once("weights", self.make_weights)
            return tf.concat([w[self.rows[i]] for i in sources], axis=0)

        return self._once(("rows", *sources), make)

    def _once(self, name: Any, make: Callable[[], Any]) -> Any:
        return once(self.site, name, make)

    def sum(self) -> Data | None:
        """Return the sum of all products."""
        rest, parts = [], []
        for i, node in enumerate(self.site.node.sources):
            part = self._known(i, node) or self._mean(i, node)
            if part is None:
                rest.append(i)
            else:
                parts.append(part)
        if not parts:
            return None
        if rest:
            parts.append(self._made_here(rest))
        like = self.datas[0].template()
        if len(self.datas) > 1:
            like = join_features([d.template() for d in self.datas], self._out())
        return _sum(parts, like.with_feature(self._out()))

    def _out(self) -> Dim:
        return self.site.feature(self.weights(0).shape[-1])

    def _times(self, x: Data, *sources: int) -> Data:
        y = affine(x, self.weights(*sources), None)
        return replace(x.with_feature(self._out()), tensor=y)

    def _made_here(self, sources: list[int]) -> Data:
        """Return the product of sources that are only known in the step."""
        datas = [self.datas[i] for i in sources]
        size = sum(d.feature_size for d in datas)
        x = datas[0]
        if len(datas) > 1:
            x = join_features(datas, self.site.node.dim("feature", "rest", size))
        return self._times(x, *sources)

    def _known(self, i: int, node: Node) -> Data | None:
        """Return the product of a source that is known before the loop."""
        whole = self.frame.known(node)
        if whole is None or whole.beam is not None:
            return None
        return self.frame.sliced(self._once(("known", i), lambda: self._times(whole, i)))

    def _mean(self, i: int, node: Node) -> Data | None:
        """Return the product of a source that is a mean of frames known before the loop."""
        frame, before = self.frame, node.layer.layer_class == "prev"
        mean = mean_before(node.sources[0]) if before else mean_of(node)
        if mean is None or (before and (mean.weights, MEAN) not in frame.states_before):
            return None
        base = frame.known(mean.base)
        assert frame.loop is not None
        if base is None or base.beam is not None or frame.loop.dim in base.dims:
            return None
        weights = frame.state(mean.weights, MEAN) if before else frame.value(mean.weights)
        x = self.datas[i]
        out = x.with_feature(self._out())
        pays = self._once(("pays", i), lambda: _pays(base))
        frames = self._once(("frames", i), lambda: self._frames_times(base, pays, i))

        def through_frames() -> Any:
            y = attended(self.site.of(mean.attention), weights, frames)
            return y.ordered(out.dims).tensor

        tensor = tf.cond(pays, through_frames, lambda: self._times(x, i).tensor)
        return replace(out, tensor=tf.ensure_shape(tensor, [d.size for d in out.dims]))

    def _frames_times(self, base: Data, pays: Any, i: int) -> Data:
        """Return the product of all frames; nothing where it does not pay."""
        base = base.first(BATCH)
        sizes = [0] * (len(base.dims) - 1) + [self._out().size]
        tensor = tf.cond(pays, lambda: self._times(base, i).tensor, lambda: tf.zeros(sizes))
        return replace(base.with_feature(self._out()), tensor=tensor)


def _pays(base: Data) -> Any:
    """Return bool: whether frames are fewer than features, so that to go over them is less."""
    assert base.time_dim is not None
    return tf.shape(base.tensor)[base.axis(base.time_dim)] * 2 <= base.feature_size


def _sum(parts: list[Data], like: Data) -> Data:
    """Return the sum of data, some of them without hypotheses, with the dims of a template."""
    parts, apart = in_common_beam(parts)
    beam = next((p.beam for p in parts if p.beam is not None), None)
    dims = with_hypotheses(like.dims) if apart is not None else like.dims
    parts = data.common(parts)
    tensor = reduce(add, (p.tensor for p in parts))
    found = replace(like, dims=parts[0].dims, beam=beam, tensor=tensor).ordered(dims)
    return found if apart is None else found.together(apart)
