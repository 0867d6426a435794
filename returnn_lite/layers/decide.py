"""From the hypotheses of a search to one of them, or to all side by side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from returnn_lite.data import Data, with_hypotheses
from returnn_lite.dim import BATCH, HYPOTHESES, Dim
from returnn_lite.frame import Frame
from returnn_lite.infer import template_of
from returnn_lite.layers.base import Layer, register
from returnn_lite.lazy import tf
from returnn_lite.node import Node
from returnn_lite.rec.hypotheses import beam_size, ordered_choices
from returnn_lite.run import Run
from returnn_lite.site import Site


@register("decide")
@dataclass(frozen=True, kw_only=True)
class Decide(Layer):
    """The best hypothesis of a beam; without search, the input.

    length_normalization: the best by score per label, rather than by score.
    """

    length_normalization: bool = False

    def infer(self, site: Site) -> Data:
        """Return the template without beam; where lengths may be others then, the dim is new."""
        x = site.source
        if self.length_normalization and x.time_dim is None:
            raise site.error(f"found length_normalization of source {x}, needed a time dim")
        known = site.node.scope.stream_dims()
        if x.time_dim is not None and not x.time_dim.leaves() <= known and _searched(site.node):
            x = x.renamed(x.time_dim, site.node.dim("spatial", "decided"))
        return replace(x, beam=None)

    def call(self, site: Site) -> Data:
        """Return the best entry of each beam: beams are sorted by score."""
        return decided(site, site.source, self.best(site.source, site.run))

    def best(self, x: Data, run: Run) -> Any:
        """Return int32 [batch], the place of the best hypothesis in each beam."""
        if not self.length_normalization or x.beam is None or x.time_dim is None:
            return tf.zeros([run.batch], tf.int32)
        lengths = tf.cast(run.lengths_of(x.time_dim, x.beam), tf.float32)
        scores = x.beam.scores / tf.reshape(lengths, [-1, x.beam.size])
        return tf.argmax(scores, axis=1, output_type=tf.int32)

    def scores_found(self, node: Node, frame: Frame) -> Any:
        """Return float32 [batch, 1], the score of the best hypothesis; None without a search."""
        x = frame.value(node.sources[0])
        if x.beam is None:
            return None
        return tf.gather(x.beam.scores, self.best(x, frame.run), batch_dims=1)[:, None]


def decided(site: Site, x: Data, index: Any) -> Data:
    """Return one hypothesis of each beam, by its place in it, int32 [batch]."""
    index += tf.range(site.run.batch) * (x.beam.size if x.beam is not None else 1)
    dim = template_of(site.node).time_dim
    if x.time_dim is None or dim is None or dim is x.time_dim:
        return replace(x, beam=None, tensor=tf.gather(x.tensor, index, axis=x.axis(BATCH)))
    site.run.set_lengths(dim, tf.gather(site.run.lengths_of(x.time_dim, x.beam), index))
    x = x.renamed(x.time_dim, dim)
    tensor = tf.gather(x.tensor, index, axis=x.axis(BATCH))
    frames = [slice(None)] * len(x.dims)
    # What was found may be shorter than other hypotheses.
    frames[x.axis(dim)] = slice(None, site.run.entries(dim))
    return replace(x, beam=None, tensor=tensor[tuple(frames)])


def hypotheses(site: Site) -> int:
    """Return how many hypotheses the source of a layer has. Raises NetworkError."""
    for node in _before(site.node):
        rec = node if node.inner is not None and node.inner.is_body else None
        if rec is None and node.loop is not None and node.loop is not site.node.loop:
            rec = node.loop.node
        if rec is not None and rec.inner is not None and rec.inner.loop is not None:
            placement = rec.layer.placement(rec)  # type: ignore[attr-defined]
            choices = ordered_choices(rec.inner.loop, placement)
            if choices:
                return beam_size(choices)
    raise site.error("found a source without hypotheses, needed what a search found")


def _searched(node: Node) -> bool:
    """Whether a layer may have hypotheses before it, if only of an extra network."""
    searches = node.scope.mode.search
    return searches or any(n.scope.mode.search for n in _before(node))


def _before(node: Node) -> Iterator[Node]:
    """Yield what a layer is made of, up to what has no hypotheses any more."""
    seen, todo = {node}, list(node.sources)
    while todo:
        node = todo.pop()
        yield node
        more = [] if node.layer.layer_class in _WITHOUT_BEAM else node.depends()
        todo += [n for n in more if n not in seen]
        seen.update(more)


_WITHOUT_BEAM = ("decide", "get_beamed_layer", "split_batch_beam")


@register("get_beamed_layer")
@dataclass(frozen=True, kw_only=True)
class GetBeamedLayer(Layer):
    """One hypothesis of a search, as labels or as one-hot vectors, for what is built on it.

    in: sparse [batch, time], the output of a search; out: the same without a beam, or with one_hot
    float [batch, time, labels]. beam_size: that of the search. mode: "best", the hypothesis that is
    ranked first, or with beam_idx another one by its rank, from 0. scores, beams: layers
    choice_get_beam_scores and choice_get_src_beams, as older configs name them; both are known
    here. debug: whether the scores are printed.
    """

    scores: str
    beams: str
    beam_size: int
    mode: Literal["best"] = "best"
    beam_idx: int | None = None
    one_hot: bool = False
    debug: bool = False

    def open(self, node: Node) -> None:
        """Check what the options name."""
        named = (
            ("scores", self.scores, "choice_get_beam_scores"),
            ("beams", self.beams, "choice_get_src_beams"),
        )
        for option, name, needed in named:
            layer = node.scope.get(name, str(node)).layer
            if layer.layer_class != needed:
                found = f"found {option} {name!r}, which is {layer.layer_class}"
                raise Site(node).error(f"{found}, needed {needed}")

    def infer(self, site: Site) -> Data:
        """Return the template without beam."""
        x, count = site.source, hypotheses(site)
        if x.sparse_dim is None or x.sparse_dim.size is None or x.time_dim is None:
            raise site.error(f"found source {x}, needed labels [batch, time]")
        if count != self.beam_size:
            raise site.error(
                f"found beam_size {self.beam_size}, needed that of the search, {count}"
            )
        if not 0 <= (self.beam_idx or 0) < count:
            raise site.error(f"found beam_idx {self.beam_idx}, needed less than {count}")
        x = replace(x.renamed(x.time_dim, site.node.dim("spatial", "decided")), beam=None)
        return self._one_hot(site, x) if self.one_hot else x

    def _one_hot(self, site: Site, x: Data) -> Data:
        """Return the vectors, or their template."""
        assert x.sparse_dim is not None
        dim = site.feature(x.sparse_dim.size)  # type: ignore[arg-type]
        out = replace(x, sparse_dim=None, dtype="float32", vocab=None).with_feature(dim)
        return out if x.tensor is None else replace(out, tensor=tf.one_hot(x.tensor, dim.size))

    def call(self, site: Site) -> Data:
        """Return the hypothesis."""
        x = site.source
        assert x.beam is not None
        if self.debug:
            tf.print(site.node.path, "scores", x.beam.scores)
        found = decided(site, x, tf.fill([site.run.batch], self.beam_idx or 0))
        return self._one_hot(site, found) if self.one_hot else found


@register("split_batch_beam")
@dataclass(frozen=True, kw_only=True)
class SplitBatchBeam(Layer):
    """The hypotheses of a search side by side, in a dim of their own, the best first.

    in: [batch, ...], once for each hypothesis; out: [batch, beam, ...]. What has lengths that
    differ between hypotheses is not taken, such as their labels. beam_dim: a Dim by which others
    may name that of the hypotheses.
    """

    beam_dim: Dim | None = None

    def open(self, node: Node) -> None:
        """Check where it lies."""
        if node.loop is not None:
            raise Site(node).error("found it in the unit of a rec layer; move it out")

    def infer(self, site: Site) -> Data:
        """Return the template with a dim of hypotheses behind the batch."""
        x, beam = site.source, site.node.dim("spatial", "beam", hypotheses(site))
        if any(d.dynamic for d in x.dims):
            raise site.error(f"found source {x}, needed one without time")
        if not x.has_batch:
            raise site.error(f"found source {x}, needed a batch dim")
        dims = tuple(beam if d is HYPOTHESES else d for d in with_hypotheses(x.dims))
        return replace(x, dims=dims, beam=None)

    def call(self, site: Site) -> Data:
        """Return the hypotheses."""
        beam = site.node.dim("spatial", "beam", hypotheses(site))
        return site.source.apart().renamed(HYPOTHESES, beam)
