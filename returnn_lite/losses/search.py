"""Losses of the hypotheses of a beam search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from returnn_lite.data import Data
from returnn_lite.errors import NetworkError
from returnn_lite.lazy import tf
from returnn_lite.losses.base import Criterion, Given, Parts, find, hypothesis_sums, register
from returnn_lite.losses.sequence import by_sequence


def _scores(given: Given) -> Any:
    """Return float32 [batch, beam], the log-probabilities of the hypotheses."""
    scores = given.node.layer.scores_found(given.node, given.frame)
    if scores is None:
        raise given.error(f"found {given.out}, needed a beam of hypotheses")
    return scores


def _of_batch(given: Given, value: Any) -> Data:
    """Return data [batch] without a beam."""
    out = given.out
    return by_sequence(Data(name=out.name, dims=()), value)


@register("search_score")
@dataclass(frozen=True, kw_only=True)
class SearchScore(Criterion):
    """The sum of the hypotheses' scores, negated; without those that are none, of score -inf."""

    needs_target = False
    needs_search = True
    in_search = True
    by_frame = False

    def parts(self, given: Given) -> Parts:
        """Return the value of every sequence."""
        scores = _scores(given)
        scores = tf.where(scores == float("-inf"), 0.0, scores)
        return Parts(_of_batch(given, -tf.reduce_sum(scores, axis=1)))


@register("expected_loss")
@dataclass(frozen=True, kw_only=True)
class ExpectedLoss(Criterion):
    """The expectation of another loss over the hypotheses of a beam (Prabhavalkar et al., 2018).

    loss: that loss, as {"class": name, option: value}. loss_kind: its "error", or its "value".
    norm_scores: whether the probabilities sum to one; norm_scores_stop_gradient: but not for the
    gradient. subtract_average_loss: from every hypothesis's loss, for a gradient of less variance;
    loss_correction_grad_only: but not of the value. divide_beam_size: the mean over the beam.
    """

    needs_search = True
    in_search = True
    by_frame = False
    loss: dict[str, Any]
    loss_kind: Literal["error", "value"]
    norm_scores: bool = True
    norm_scores_stop_gradient: bool = True
    divide_beam_size: bool = True
    subtract_average_loss: bool = True
    loss_correction_grad_only: bool = False

    @property
    def inner(self) -> Criterion:
        """The loss of a hypothesis."""
        opts = dict(self.loss)
        return find(str(opts.pop("class", None)), opts)

    def check(self) -> None:
        """Check the loss of a hypothesis."""
        if self.inner.needs_search:
            raise NetworkError(f"found loss {self.loss!r}, needed one of a single hypothesis")

    def check_target(self, out: Data, target: Data) -> None:
        """Check that the inner loss takes the target."""
        self.inner.check_target(out, target)

    def parts(self, given: Given) -> Parts:
        """Return the value of every sequence."""
        scores = _scores(given)
        value, error = self.inner.parts(given)
        part = error if self.loss_kind == "error" else value
        if part is None:
            raise given.error(f"found no {self.loss_kind} of the loss {self.loss!r}")
        losses = tf.reshape(hypothesis_sums(given.run, part), tf.shape(scores))
        corrected = losses
        if self.subtract_average_loss:
            corrected -= tf.stop_gradient(tf.reduce_mean(losses, axis=1, keepdims=True))
        weights = tf.exp(scores - self._norm(scores))
        found = tf.reduce_sum(corrected * weights, axis=1)
        if self.loss_correction_grad_only:
            found += tf.stop_gradient(tf.reduce_sum((losses - corrected) * weights, axis=1))
        if self.divide_beam_size:
            found /= float(scores.shape[1] or given.out.beam.size)  # type: ignore[union-attr]
        return Parts(_of_batch(given, found))

    def _norm(self, scores: Any) -> Any:
        if not self.norm_scores:
            return 0.0
        norm = tf.reduce_logsumexp(scores, axis=1, keepdims=True)
        return tf.stop_gradient(norm) if self.norm_scores_stop_gradient else norm
