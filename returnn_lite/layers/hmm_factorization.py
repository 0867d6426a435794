"""Attention as a hidden Markov model: a label of each frame, and the frame by its weight."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from returnn_lite.beam import latest
from returnn_lite.data import Data, common
from returnn_lite.dim import BATCH, Dim
from returnn_lite.layers.affine import affine
from returnn_lite.layers.base import Layer, register
from returnn_lite.layers.gather import take
from returnn_lite.lazy import tf
from returnn_lite.site import Site

_WEIGHTS = "dense/kernel"


@register("hmm_factorization")
@dataclass(frozen=True, kw_only=True)
class HmmFactorization(Layer):
    """sum over frames j of weights_j softmax(W (encoder_j + outputs + state)).

    attention_weights: float [batch, frames, ...]; base_encoder_transformed: float [batch, frames,
    k]; prev_state, prev_outputs: float [batch, ..., k], in a step of a loop or with all its steps;
    out: probabilities [batch, ..., n_out]. transpose_and_average_att_weights: the weights are the
    mean of those of several heads; else other axes of the weights have the size 1. top_k: only so
    many frames count, those with the greatest weights, which then do not sum to one. threshold: in
    frames of no greater weight all labels are alike. debug: without effect. A layer of published
    configs (Bahar et al., 2018); it is not in RETURNN. Parameter dense/kernel [k, n_out].
    """

    refs = ("attention_weights", "base_encoder_transformed", "prev_state", "prev_outputs")
    default_from: ClassVar[Any] = ()
    attention_weights: str
    base_encoder_transformed: str
    prev_state: str
    prev_outputs: str
    n_out: int
    top_k: int | None = None
    threshold: float | None = None
    transpose_and_average_att_weights: bool = False
    debug: bool = False

    def infer(self, site: Site) -> Data:
        """Return the template, and declare the parameter."""
        weights, frames, *queries = (site.ref(name) for name in self.refs)
        sizes = {x.feature_dim.size if x.feature_dim else None for x in (frames, *queries)}
        if len(sizes) != 1 or None in sizes or frames.time_dim is None:
            raise site.error(
                f"found base_encoder_transformed {frames} and {queries}, needed as many features, "
                "and the time dim of the first"
            )
        query = common([x.template() for x in queries])[0]
        over = frames.time_dim
        more = [d for d in weights.dims if d not in (over, BATCH, *query.dims)]
        averaged = self.transpose_and_average_att_weights
        if over not in weights.dims or not (averaged or all(d.size == 1 for d in more)):
            raise site.error(
                f"found attention_weights {weights}, needed the dim {over} and besides those of "
                f"{query}; try transpose_and_average_att_weights for heads"
            )
        if self.top_k is not None and self.top_k < 1:
            raise site.error(f"found top_k {self.top_k}, needed 1 or more")
        site.node.resolved["dims"] = over, more
        site.param(_WEIGHTS, (frames.feature_size, self.n_out), "glorot_uniform")
        return query.with_feature(site.feature(self.n_out))

    def call(self, site: Site) -> Data:
        """Return the probabilities."""
        over: Dim = site.node.resolved["dims"][0]
        refs = [site.ref(name) for name in self.refs]
        beam = latest([x.beam for x in refs])
        weights, frames, *queries = (x.in_beam(beam) for x in refs)
        state, outputs = common(queries)
        query = self._times(site, replace(state, tensor=state.tensor + outputs.tensor))
        # The sum is of products, so that the frames are multiplied once for all steps.
        keys = self._times(site, frames)
        weights = site.run.masked(self._reduced(site, weights), over).last(over)
        if self.top_k is not None:
            weights, keys, over = self._best(site, weights, keys, over)
        weights, keys, query = common([replace(weights, feature_dim=None), keys, query])
        logits = keys.tensor + query.tensor
        if self.threshold is not None:
            logits = tf.where(weights.tensor > self.threshold, logits, 0.0)
        y = replace(keys, tensor=logits).last(keys.feature)
        tensor = tf.nn.softmax(y.tensor) * weights.ordered(y.dims).tensor
        dims = tuple(d for d in y.dims if d is not over)
        tensor = tf.reduce_sum(tensor, axis=y.axis(over))
        return site.as_output(replace(y, dims=dims, beam=beam, tensor=tensor))

    def _times(self, site: Site, x: Data) -> Data:
        y = affine(x, site.param(_WEIGHTS, (), None), None)
        return replace(x.with_feature(site.feature(self.n_out)), tensor=y)

    def _reduced(self, site: Site, weights: Data) -> Data:
        """Return the weights without the axes of heads, or of size 1."""
        more = site.node.resolved["dims"][1]
        axes = [weights.axis(d) for d in more]
        dims = tuple(d for d in weights.dims if d not in more)
        return replace(weights, dims=dims, tensor=tf.reduce_mean(weights.tensor, axis=axes))

    def _best(self, site: Site, weights: Data, keys: Data, over: Dim) -> tuple[Data, Data, Dim]:
        """Return weights and keys of the frames with the greatest weights, and their dim."""
        best = site.node.dim("spatial", "best", self.top_k)
        missing = tf.maximum(self.top_k - tf.shape(weights.tensor)[-1], 0)
        padding = [[0, 0]] * (len(weights.dims) - 1) + [[0, missing]]
        values, places = tf.math.top_k(tf.pad(weights.tensor, padding), self.top_k)
        weights = replace(weights, dims=(*weights.dims[:-1], best), time_dim=None, tensor=values)
        index = replace(weights, dtype="int32", feature_dim=None, tensor=places)
        return weights, replace(take(site, keys, index, over), time_dim=None), best
