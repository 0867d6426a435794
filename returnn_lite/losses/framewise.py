"""Losses of every frame: cross-entropy, distances, and a layer's output as it is."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

from returnn_lite.data import Data
from returnn_lite.errors import NetworkError, nearest
from returnn_lite.layers.activations import safe_log
from returnn_lite.lazy import tf
from returnn_lite.losses.base import Criterion, Given, Parts, register


def aligned(given: Given) -> tuple[Data, Data]:
    """Return the output with its features last, and the target with its dims in the same order."""
    out, target = given.out, given.target
    if (out.time_dim is None) != (target.time_dim is None):
        raise given.error(f"found {out} for target {target}, needed time dims of both")
    if out.feature_dim is not None:
        out = out.last(out.feature_dim)
    if out.time_dim is not None and target.time_dim is not None:
        target = given.run.with_dim(target, target.time_dim, out.time_dim, str(given.node))
    if target.feature_dim is not None:
        target = target.renamed(target.feature_dim, out.feature)
    labels = target.sparse_dim is not None and out.feature_dim is not None
    order = out.dims[:-1] if labels else out.dims
    if set(order) != set(target.dims):
        raise given.error(f"found {out} for target {target}, needed the same dims")
    return out, target.ordered(order)


def frames_of(out: Data, tensor: Any) -> Data:
    """Return data with the dims of an output but its features, which are last."""
    return replace(out, dims=out.dims[:-1], feature_dim=None, dtype="float32", tensor=tensor)


def wrong_labels(out: Data, target: Data) -> Data:
    """Return for every frame whether the best label is not that of the target."""
    labels = target.tensor
    if target.sparse_dim is None:
        labels = tf.argmax(labels, axis=-1, output_type=tf.int32)
    best = tf.argmax(out.tensor, axis=-1, output_type=labels.dtype)
    return frames_of(out, tf.cast(best != labels, tf.float32))


def check_sizes(out: Data, target: Data) -> None:
    """Raise NetworkError where the target has other classes or features than the output."""
    if out.feature_dim is None or out.sparse_dim is not None or target.classes is None:
        raise NetworkError(f"found {out} for target {target}, needed feature dims, or labels in it")
    found, needed = out.feature_dim.size, target.classes.size
    if found != needed:
        raise NetworkError(f"found {found} outputs for target {target}, needed {needed}")


@register("ce")
@dataclass(frozen=True, kw_only=True)
class CrossEntropy(Criterion):
    """Cross-entropy of probabilities with labels, or with other probabilities.

    label_smoothing (Szegedy et al., 2016, section 7): the share of the probability that goes to the
    other labels; as in RETURNN, the loss is counted from its least value, in evaluation too.
    label_smoothing_gaussian: the targets are instead the density of a normal distribution about the
    label, of standard deviation 1 - label_smoothing.
    focal_loss_factor g (Lin et al., 2017): times (1 - p)^g, p that of the label. fake_upper_bound:
    no frame's loss is reported larger; the gradient is as if it were. input_type: "logits" for an
    output that a softmax is still applied to. safe_log_opts: eps and use_fake_grad of the logarithm
    of an output that is not that of a softmax. use_fused: without effect: it is computed from what
    is before a softmax wherever that is known. debug_dump: without effect: it prints.
    """

    input_type: Literal["prob", "logits"] = "prob"
    label_smoothing: float = 0.0
    label_smoothing_gaussian: bool = False
    focal_loss_factor: float = 0.0
    fake_upper_bound: float | None = None
    use_fused: bool = True
    safe_log_opts: dict[str, Any] | None = None
    debug_dump: bool = False

    def check(self) -> None:
        """Check the share, and the options of the logarithm."""
        if not 0.0 <= self.label_smoothing < 1.0:
            found = self.label_smoothing
            raise NetworkError(f"found label_smoothing {found}, needed 0 or more, below 1")
        known = ("eps", "use_fake_grad")
        for key in self.safe_log_opts or {}:
            if key not in known:
                raise NetworkError(f"unknown option {key!r} in safe_log_opts{nearest(key, known)}")

    def check_target(self, out: Data, target: Data) -> None:
        """Check the number of classes, and that what is for labels has labels."""
        check_sizes(out, target)
        if target.sparse_dim is None and (self.label_smoothing or self.focal_loss_factor):
            raise NetworkError(
                f"found label_smoothing or focal_loss_factor for target {target}, needed labels"
            )

    def parts(self, given: Given) -> Parts:
        """Return value and error of every frame."""
        out, target = aligned(given)
        logits = self._logits(given, out)
        log_probs = self._log_probs(given, out) if logits is None else tf.nn.log_softmax(logits)
        if target.sparse_dim is None:
            value = _cross_entropy(target.tensor, log_probs, logits)
        else:
            picked = tf.gather(log_probs, target.tensor, batch_dims=len(target.dims))
            value = self._of_labels(target.tensor, picked, log_probs, logits)
            if self.focal_loss_factor:
                value *= (1.0 - tf.exp(picked)) ** self.focal_loss_factor
        if self.fake_upper_bound is not None:
            value += tf.stop_gradient(tf.minimum(value, self.fake_upper_bound) - value)
        scores = out if logits is None else replace(out, tensor=logits)
        return Parts(frames_of(out, value), wrong_labels(scores, target))

    def _of_labels(self, labels: Any, picked: Any, log_probs: Any, logits: Any) -> Any:
        """Return the loss of every frame; picked: the logarithms of the labels' probabilities."""
        smoothing = self.label_smoothing
        if not smoothing:
            return -picked
        classes = log_probs.shape[-1]
        others = classes - 1
        best = (1.0 - smoothing) * math.log(1.0 - smoothing)
        best += smoothing * math.log(smoothing / others)
        if not self.label_smoothing_gaussian:
            mean = (tf.reduce_sum(log_probs, axis=-1) - picked) / others
            return best - (1.0 - smoothing) * picked - smoothing * mean
        deviation = 1.0 - smoothing
        distance = tf.cast(tf.range(classes) - labels[..., tf.newaxis], log_probs.dtype)
        density = tf.exp(-0.5 * tf.square(distance / deviation))
        density /= deviation * math.sqrt(2.0 * math.pi)
        return _cross_entropy(density, log_probs, logits) + best

    def _logits(self, given: Given, out: Data) -> Any:
        """Return what a softmax is applied to, or None where that is not known."""
        if self.input_type == "logits":
            return out.tensor
        name, before = given.before
        return before.ordered(out.dims).tensor if name == "softmax" else None

    def _log_probs(self, given: Given, out: Data) -> Any:
        """Return the logarithm of the output, from what its activation was applied to."""
        if self.safe_log_opts and not self.label_smoothing:
            # The limit holds, too, where the logarithm is known without it.
            return safe_log(tf.identity(out.tensor), **self.safe_log_opts)
        name, before = given.before
        if name == "exp":
            return before.ordered(out.dims).tensor
        return out.tensor if name == "log_softmax" else safe_log(out.tensor)


def _cross_entropy(targets: Any, log_probs: Any, logits: Any) -> Any:
    """Return that of every frame with other probabilities, from the logits if they are known."""
    if logits is None:
        return -tf.reduce_sum(targets * log_probs, axis=-1)
    # As in RETURNN, the gradient is that of targets that sum to one.
    return tf.nn.softmax_cross_entropy_with_logits(targets, logits)


@register("mse")
@dataclass(frozen=True, kw_only=True)
class MeanSquaredError(Criterion):
    """The mean over the features of (x - y)^2; labels y are vectors of zeros and a one."""

    def check_target(self, out: Data, target: Data) -> None:
        """Check the number of features."""
        check_sizes(out, target)

    def distance(self, difference: Any) -> Any:
        """Return the distance of each feature."""
        return tf.square(difference)

    def parts(self, given: Given) -> Parts:
        """Return value and error of every frame; error: the largest feature is another one."""
        out, target = aligned(given)
        y = target.tensor
        if target.sparse_dim is not None:
            y = tf.one_hot(y, out.feature_size)
        value = tf.reduce_mean(self.distance(out.tensor - y), axis=-1)
        return Parts(frames_of(out, value), wrong_labels(out, target))


@register("mean_l1")
@dataclass(frozen=True, kw_only=True)
class MeanL1(MeanSquaredError):
    """The mean over the features of |x - y|."""

    def check_target(self, out: Data, target: Data) -> None:
        """Check the number of features."""
        check_sizes(out, target)
        if target.sparse_dim is not None:
            raise NetworkError(f"found target {target}, needed features; try 'mse'")

    def distance(self, difference: Any) -> Any:
        """Return the distance of each feature."""
        return tf.abs(difference)


@register("l1")
@dataclass(frozen=True, kw_only=True)
class L1(MeanL1):
    """The sum over the features of |x - y|."""

    def parts(self, given: Given) -> Parts:
        """Return value and error of every frame."""
        mean, error = super().parts(given)
        assert mean is not None
        return Parts(replace(mean, tensor=mean.tensor * given.out.feature_size), error)


@register("bin_ce")
@dataclass(frozen=True, kw_only=True)
class BinaryCrossEntropy(Criterion):
    """The mean over the features of the cross-entropy of sigmoid(x) with y, from 0 to 1.

    The output is x, before the logistic function; without features, y may be labels 0 and 1, too.
    pos_weight: weight of the part with y.
    """

    pos_weight: float | None = None

    def check_target(self, out: Data, target: Data) -> None:
        """Check the number of features, if there are some."""
        if out.feature_dim is None and target.feature_dim is None:
            return
        check_sizes(out, target)
        if target.sparse_dim is not None:
            raise NetworkError(f"found target {target}, needed features")

    def parts(self, given: Given) -> Parts:
        """Return value and error of every frame: the share of features on the wrong side."""
        out, target = aligned(given)
        x, y = out.tensor, tf.cast(target.tensor, out.tensor.dtype)
        if self.pos_weight is None:
            value = tf.nn.sigmoid_cross_entropy_with_logits(logits=x, labels=y)
        else:
            value = tf.nn.weighted_cross_entropy_with_logits(y, x, self.pos_weight)
        wrong = tf.cast((x > 0) != (y > 0.5), tf.float32)
        if out.feature_dim is None:
            return Parts(*(replace(out, dtype="float32", tensor=v) for v in (value, wrong)))
        mean = [frames_of(out, tf.reduce_mean(v, axis=-1)) for v in (value, wrong)]
        return Parts(*mean)


@register("as_is")
@dataclass(frozen=True, kw_only=True)
class AsIs(Criterion):
    """The output itself, summed over everything. as_error: as error, rather than as value."""

    needs_target = False
    as_error: bool = False

    def parts(self, given: Given) -> Parts:
        """Return the output."""
        return Parts(error=given.out) if self.as_error else Parts(given.out)
