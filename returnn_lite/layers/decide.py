"""From the hypotheses of a search to one of them, or to all side by side."""

from __future__ import annotations

from dataclasses import dataclass, replace

from returnn_lite.data import Data
from returnn_lite.dim import BATCH
from returnn_lite.layers.base import Layer, register
from returnn_lite.lazy import tf
from returnn_lite.site import Site


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
