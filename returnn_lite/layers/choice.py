"""The choice layer: a stochastic variable, the ground truth in training, a beam in search."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from returnn_lite.beam import Beam
from returnn_lite.data import Data
from returnn_lite.dim import BATCH, Dim
from returnn_lite.layers.activations import safe_log
from returnn_lite.layers.base import Layer, register
from returnn_lite.lazy import tf
from returnn_lite.node import Mode, Node
from returnn_lite.site import Site


@register("choice")
@dataclass(frozen=True, kw_only=True)
class Choice(Layer):
    """A label per step: without search that of the target, with search the best of the beam.

    in: float [batch, labels], probabilities, or log-probabilities with input_type "log_prob"; out:
    int32 [batch]. beam_size: number of hypotheses per sequence that are kept.
    """

    target: str
    beam_size: int
    input_type: Literal["prob", "log_prob"] = "prob"

    def open(self, node: Node) -> None:
        """Check where it lies and what its options are."""
        if node.loop is None:
            raise Site(node).error("found it outside of the unit of a rec layer; move it there")
        if self.beam_size < 1:
            raise Site(node).error(f"found beam_size {self.beam_size}, needed at least 1")

    def needs(self, node: Node, mode: Mode) -> Iterable[Node]:
        """Yield the source in a search, and the target otherwise."""
        if mode.search:
            yield from node.sources
        else:
            assert node.target is not None
            yield node.target

    def infer(self, site: Site) -> Data:
        """Return the template int32 [batch]; its classes are those of the source."""
        if site.node.scope.mode.search:
            x = site.source
            if x.feature_dim is None:
                raise site.error(f"found source {x}, needed a feature dim of labels")
            return Data(name=site.node.path, dims=(BATCH,), dtype="int32", sparse_dim=x.feature_dim)
        target = site.target
        if target.sparse_dim is None:
            raise site.error(f"found target {target}, needed sparse data")
        return target

    def call(self, site: Site) -> Data:
        """Return the labels."""
        if site.node.scope.mode.search:
            return self._search(site)
        return site.target

    def _search(self, site: Site) -> Data:
        """Extend every hypothesis by every label and keep the best."""
        search = site.frame.search  # type: ignore[union-attr]
        parent: Beam = search.beam
        x = site.source.in_beam(parent)
        x = x.ordered([BATCH, x.feature])
        scores = x.tensor if self.input_type == "log_prob" else safe_log(x.tensor)
        ended = search.ended.in_beam(parent).tensor
        scores = tf.where(ended[:, None], self._stay(x.feature), scores)
        beam, labels = extend(parent, scores, self.beam_size, site.node.path)
        search.beam = beam
        return Data(
            name=site.node.path,
            dims=(BATCH,),
            dtype="int32",
            sparse_dim=x.feature_dim,
            beam=beam,
            tensor=labels,
        )

    def _stay(self, classes: Dim) -> Any:
        """Return float32 [1, labels]: a complete hypothesis goes on as itself, by label 0 alone."""
        assert classes.size is not None
        return tf.constant([[0.0] + [float("-inf")] * (classes.size - 1)])


def extend(parent: Beam, scores: Any, size: int, name: str) -> tuple[Beam, Any]:
    """Return the best extensions of a beam's hypotheses, and their labels int32 [batch * size].

    scores: float32 [batch * parent size, labels], log-probabilities of the labels.
    """
    labels = scores.shape[-1]
    total = tf.reshape(parent.scores, [-1, parent.size, 1]) + tf.reshape(
        scores, [-1, parent.size, labels]
    )
    flat = tf.reshape(total, [-1, parent.size * labels])
    missing = size - parent.size * labels
    if missing > 0:
        flat = tf.pad(flat, [[0, 0], [0, missing]], constant_values=float("-inf"))
    best, index = tf.math.top_k(flat, size)
    source = tf.minimum(index // labels, parent.size - 1)
    beam = Beam(name, size, parent, source, best)
    return beam, tf.reshape(index % labels, [-1])


@register("decide")
@dataclass(frozen=True, kw_only=True)
class Decide(Layer):
    """The best hypothesis of a beam; without search, the input.

    length_normalization: the best by score per label, rather than by score.
    """

    length_normalization: bool = False

    def infer(self, site: Site) -> Data:
        """Return the template without beam; its lengths may then be others, so the dim is new."""
        x = site.source
        if self.length_normalization and x.time_dim is None:
            raise site.error(f"found length_normalization of source {x}, needed a time dim")
        if site.node.scope.mode.search and x.time_dim is not None:
            x = x.renamed(x.time_dim, site.node.dim("spatial", "decided"))
        return replace(x, beam=None)

    def call(self, site: Site) -> Data:
        """Return the best entry of each beam: beams are sorted by score."""
        x = site.source
        index = tf.range(site.run.batch) * (x.beam.size if x.beam is not None else 1)
        if self.length_normalization and x.beam is not None:
            lengths = tf.cast(site.run.lengths_of(x.time_dim, x.beam), tf.float32)
            scores = x.beam.scores / tf.reshape(lengths, [-1, x.beam.size])
            index += tf.argmax(scores, axis=1, output_type=tf.int32)
        if not site.node.scope.mode.search or x.time_dim is None:
            return replace(x, beam=None, tensor=tf.gather(x.tensor, index, axis=x.axis(BATCH)))
        decided = site.node.dim("spatial", "decided")
        site.run.set_lengths(decided, tf.gather(site.run.lengths_of(x.time_dim, x.beam), index))
        x = x.renamed(x.time_dim, decided)
        tensor = tf.gather(x.tensor, index, axis=x.axis(BATCH))
        frames = [slice(None)] * len(x.dims)
        # What was found may be shorter than other hypotheses.
        frames[x.axis(decided)] = slice(None, site.run.entries(decided))
        return replace(x, beam=None, tensor=tensor[tuple(frames)])
