"""Products with weights of what a layer in a loop gets, made before the loop where they can be.

A linear layer of several inputs is a sum of products, one for each of them. In a search most of
them need not be made for each hypothesis in each step: what is known before the loop is multiplied
there, for all steps at once and without hypotheses; a mean of frames, as of attention, times
weights is the mean of the frames times weights, which are made before the loop, too; vectors of
labels times weights are rows of a table of all labels; and of the output of a masked_computation,
the product is held as the output is, and made anew for the hypotheses alone whose mask is true.
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
from returnn_lite.layers.attention import GenericAttention, attended
from returnn_lite.layers.split_merge import MergeDims
from returnn_lite.lazy import tf
from returnn_lite.node import Node
from returnn_lite.rec import masked_rows
from returnn_lite.rec.masked_rows import affine_of_rows, true_rows

if TYPE_CHECKING:
    from returnn_lite.rec.placement import Placement
    from returnn_lite.site import Site

# The state with the output of a layer after the step before: the weights of a mean, or labels.
BEFORE = "before"
LARGEST = 2**25  # entries of a table


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


def labels_of(node: Node) -> Node | None:
    """Return the labels, one for each hypothesis, of which a layer in a loop has the vectors."""
    from returnn_lite.layers.feedforward import Linear

    common = node.common
    if not isinstance(node.layer, Linear) or len(node.sources) != 1 or node.loop is None:
        return None
    if common.dropout or common.batch_norm or "softmax" in (node.layer.activation or ""):
        return None
    labels = template_of(node.sources[0])
    return node.sources[0] if labels.sparse_dim is not None and labels.dims == (BATCH,) else None


def made_of(node: Node) -> tuple[Node, Any] | None:
    """Return a layer whose output `prev:` of another is made of, and what it is at first.

    At first the other is zero: a mean with weights of 0, or the vector of a label behind the last.
    """
    if node.common.initial_output not in (None, 0, "zeros") or node.initial is not None:
        return None
    mean, labels = mean_of(node), labels_of(node)
    if mean is not None:
        return mean.weights, 0
    if labels is None or node.loop is None or node.scope is not node.loop.scope:
        return None
    return labels, _classes(template_of(labels))


def held_products(node: Node) -> dict[str, Node]:
    """Return the sources of a layer in a loop whose products it holds, by the name of the state."""
    scope = node.loop.scope if node.loop is not None else None
    sources = node.sources if node.scope is scope else []
    return {
        _held_name(i): n
        for i, n in enumerate(sources)
        if n.scope is scope and "mask" in n.refs and n.layer.steps(n)
    }


def first_products(site: Site, placement: Placement) -> dict[str, Data]:
    """Return zeros for the products that a layer of a search holds; the first step makes them."""
    size = site.node.layer.product_size(site)
    if size is None or not _in_parts(site.node):
        return {}
    found = {}
    for name, source in held_products(site.node).items():
        like, mask = template_of(source), template_of(source.refs["mask"][0])
        vectors = like.dims == (BATCH, like.feature_dim) and mask.dims == (BATCH,)
        worth = vectors and like.feature_size * size >= masked_rows.WORTH
        if worth and source in placement.beamed:
            found[name] = site.constant(0, like.with_feature(site.feature(size)))
    return found


def product(site: Site, weights: Callable[[], Any]) -> Data | None:
    """Return x W for the joined sources of a layer, float [..., out], in a step of a search.

    weights: makes W, float [in, out]. None where nothing is to be gained.
    """
    frame = site.frame
    if not isinstance(frame, StepFrame) or not frame.before.saves:
        return None
    if not _in_parts(site.node) or any(d.feature_dim is None for d in site.sources):
        return None
    return _Products(site, frame, weights).sum()


def _in_parts(node: Node) -> bool:
    """Whether the sources of a layer may be multiplied one by one, in a search."""
    common = node.common
    dropped = common.dropout and common.dropout_on_forward  # there is no search in training here
    return not (dropped or common.in_dim is not None or node.reuse is not None)


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
            part = self._known(i, node) or self._held(i, node) or self._mean(i, node)
            part = part or self._label(i, node)
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
        y = affine_of_rows(self.site, x, self.weights(*sources), None)
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
        times = self._once(("known", i), lambda: self._times(whole, i))
        return self.frame.sliced(node, times)

    def _held(self, i: int, node: Node) -> Data | None:
        """Return the product of the output of a masked_computation, held as that is."""
        frame, consumer, name = self.frame, self.site.node, _held_name(i)
        if (consumer, name) not in frame.states_before:
            return None
        x = self.datas[i]
        x = x.last(x.feature)
        before = frame.state(consumer, name).in_beam(x.beam)
        mask = frame.value(node.refs["mask"][0]).in_beam(x.beam)
        rows = true_rows(tf.logical_or(mask.tensor, frame.index == 0))
        y = rows.put(tf.matmul(rows.of(x.tensor), self.weights(i)), before.tensor)
        held = replace(x.with_feature(self._out()), tensor=y)
        frame.set_state(consumer, name, held)
        return held

    def _mean(self, i: int, node: Node) -> Data | None:
        """Return the product of a source that is a mean of frames known before the loop."""
        frame = self.frame
        mean = mean_of(_named(node))
        weights = None if mean is None else self._of_step(node, mean.weights)
        if mean is None or weights is None:
            return None
        base = frame.known(mean.base)
        if base is None or base.beam is not None or frame.by_steps(mean.base):
            return None
        x = self.datas[i]
        out = x.with_feature(self._out())
        pays = self._once(("pays", i), lambda: _pays(base))
        frames = self._once(("frames", i), lambda: self._frames_times(base, pays, i))

        def through_frames() -> Any:
            y = attended(self.site.of(mean.attention), weights, frames)
            return y.ordered(out.dims).tensor

        tensor = tf.cond(pays, through_frames, lambda: self._times(x, i).tensor)
        return replace(out, tensor=tf.ensure_shape(tensor, [d.size for d in out.dims]))

    def _of_step(self, node: Node, of: Node) -> Data | None:
        """Return the output that a source is made of, in this step or, for `prev:`, before it."""
        frame = self.frame
        if node.layer.layer_class != "prev":
            return frame.value(of)
        found = made_of(node.sources[0])
        if found is None or found[0] is not of or (of, BEFORE) not in frame.states_before:
            return None
        return frame.state(of, BEFORE)

    def _label(self, i: int, node: Node) -> Data | None:
        """Return the product of a source that is vectors of labels, from a table of all labels."""
        x, embedding, frame = self.datas[i], _named(node), self.frame
        layer = labels_of(embedding) if embedding.loop is frame.loop else None
        labels = None if layer is None else self._of_step(node, layer)
        if labels is None or {*x.dims} != {BATCH, x.feature_dim}:
            return None
        count, size = _classes(labels), self.weights(0).shape[-1]
        if count * size > LARGEST:
            return None
        hypotheses = x.beam.size if x.beam is not None else 1

        def asked() -> Any:
            return frame.run.batch * hypotheses * frame.before.steps

        pays = self._once(("table pays", i), lambda: asked() >= 2 * count)

        def table() -> Any:
            vectors = embedding.layer.vectors(self.site.of(embedding))  # type: ignore[attr-defined]
            made = tf.matmul(vectors, self.weights(i))
            return tf.pad(made, [[0, 1], [0, 0]])  # no label yet

        made = self._once(("table", i), lambda: tf.cond(pays, table, lambda: tf.zeros([0, size])))
        x, index = x.last(x.feature), labels.in_beam(x.beam).tensor
        tensor = tf.cond(pays, lambda: tf.gather(made, index), lambda: self._times(x, i).tensor)
        out = x.with_feature(self._out())
        return replace(out, tensor=tf.ensure_shape(tensor, [d.size for d in out.dims]))

    def _frames_times(self, base: Data, pays: Any, i: int) -> Data:
        """Return the product of all frames; nothing where it does not pay."""
        base = base.first(BATCH)
        sizes = [0] * (len(base.dims) - 1) + [self._out().size]
        tensor = tf.cond(pays, lambda: self._times(base, i).tensor, lambda: tf.zeros(sizes))
        return replace(base.with_feature(self._out()), tensor=tensor)


def _held_name(i: int) -> str:
    return f"product {i}"


def _classes(labels: Data) -> int:
    assert labels.sparse_dim is not None and labels.sparse_dim.size is not None
    return labels.sparse_dim.size


def _named(node: Node) -> Node:
    """Return the layer that a source is the output of, in this step or the one before."""
    return node.sources[0] if node.layer.layer_class == "prev" else node


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
