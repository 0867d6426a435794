"""Losses of an output layer for which a few of its classes are computed: those of a large one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from returnn_lite.data import Data
from returnn_lite.errors import NetworkError
from returnn_lite.lazy import tf
from returnn_lite.losses.base import Criterion, Given, Parts, register
from returnn_lite.losses.framewise import aligned, check_sizes, frames_of, wrong_labels
from returnn_lite.random import uniform
from returnn_lite.sampling import Sampler, draw, noise_size, sampled_scores
from returnn_lite.site import Site


@register("sampling_loss")
@dataclass(frozen=True, kw_only=True)
class SamplingLoss(Criterion):
    """Cross-entropy of a linear layer over the label and sampled classes (Jean et al., 2015).

    num_sampled: number of classes, without repetition, the same for all frames of a step. sampler:
    of all alike, or "log_uniform", for classes sorted from the most frequent one on. nce_loss:
    noise-contrastive estimation (Gutmann, Hyvaerinen, 2010) instead; nce_log_norm_term: the
    logarithm of what its scores are divided by. remove_accidental_hits: whether the label is no
    sample of its own frame; by default not with nce_loss. use_full_softmax: cross-entropy over all
    classes, for evaluation. What is drawn has the distribution that it has in RETURNN.
    """

    of_input: ClassVar[bool] = True
    num_sampled: int = 128
    sampler: Sampler = "log_uniform"
    nce_loss: bool = False
    use_full_softmax: bool = False
    remove_accidental_hits: bool | None = None
    nce_log_norm_term: float = 0.0

    def check(self) -> None:
        """Check the number of classes."""
        if self.num_sampled < 1:
            raise NetworkError(f"found num_sampled {self.num_sampled}, needed 1 or more")

    def check_target(self, out: Data, target: Data) -> None:
        """Check that the target has labels, and the output as many classes, and enough."""
        check_sizes(out, target)
        if target.sparse_dim is None:
            raise NetworkError(f"found target {target}, needed labels")
        if not self.use_full_softmax and self.num_sampled > out.feature_size:
            found, needed = self.num_sampled, out.feature_size
            raise NetworkError(f"found num_sampled {found}, needed at most the {needed} classes")

    def parts(self, given: Given) -> Parts:
        """Return value and error of every frame."""
        out, target = aligned(given)
        name, before = given.before
        if not self.use_full_softmax:
            value = self._sampled(given, out, target)
        elif name == "softmax":
            logits = before.ordered(out.dims).tensor
            value = tf.nn.sparse_softmax_cross_entropy_with_logits(target.tensor, logits)
        else:
            raise given.error(f"found the activation {name!r}, needed 'softmax'")
        error = wrong_labels(out, target) if given.errors else None
        return Parts(frames_of(out, value), error)

    def _sampled(self, given: Given, out: Data, target: Data) -> Any:
        """Return the loss of every frame, with the dims of the target."""
        weights, bias, x = _affine(given, out)
        size = out.feature_size
        flat = tf.reshape(x.tensor, [-1, x.feature_size])
        labels = tf.cast(tf.reshape(target.tensor, [-1]), tf.int32)
        drawn = self._draw(given, size)
        remove = self.remove_accidental_hits
        remove = remove if remove is not None else not self.nce_loss
        scores = sampled_scores(flat, labels, (weights, bias), drawn, without_hits=remove)
        if self.nce_loss:
            true = tf.one_hot(tf.zeros_like(labels), self.num_sampled + 1)
            scores -= self.nce_log_norm_term
            value = tf.nn.sigmoid_cross_entropy_with_logits(true, scores)
            value = tf.reduce_sum(value, axis=1)
        else:
            value = tf.reduce_logsumexp(scores, axis=1) - scores[:, 0]
        return tf.reshape(value, tf.shape(target.tensor))

    def _draw(self, given: Given, size: int) -> tuple[Any, Any]:
        """Return int32 [num_sampled] classes; [size], how often each is expected among them."""
        seed = given.run.rng(f"{given.node.path}/sampling")
        noise = uniform([noise_size(size, self.num_sampled)], seed)
        return draw(self.sampler, size, self.num_sampled, noise)


def _affine(given: Given, out: Data) -> tuple[Any, Any, Data]:
    """Return weights [classes, in], bias [classes], and the input with the dims of the output."""
    node = given.node
    if "W" not in node.shapes or "b" not in node.shapes:
        raise given.error("found no weights or no bias, needed a linear layer with both")
    site = Site(node, given.frame.home(node))
    x = site.source
    if x.sparse_dim is not None:
        raise given.error(f"found source {x}, needed features")
    weights = site.param("W", (), None)
    if not getattr(node.layer, "use_transposed_weights", False):
        weights = tf.transpose(weights)
    x = x.in_beam(out.beam).ordered([*out.dims[:-1], x.feature])
    return weights, site.param("b", (), None), x
