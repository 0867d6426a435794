"""Losses: attached to layers, one value for every sequence, reduced by who asked for them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from returnn_lite import native
from returnn_lite.data import Data
from returnn_lite.dim import BATCH
from returnn_lite.errors import NetworkError, nearest
from returnn_lite.frame import Frame
from returnn_lite.infer import template_for
from returnn_lite.layers.activations import safe_log
from returnn_lite.lazy import tf
from returnn_lite.node import Node


@dataclass(frozen=True)
class Loss:
    """The loss of a layer.

    value: float32 [batch], per sequence. error: float32 [batch], number of errors, or None where it
    is not computed. weight: float32 [batch], what the loss is divided by: the length of the target.
    scale: its factor in the objective.
    """

    value: Any
    error: Any
    weight: Any
    scale: float


def compute(node: Node, frame: Frame, *, errors: bool) -> Loss:
    """Return the loss of a layer; errors: whether to count errors where that costs time."""
    function = _FUNCTIONS[str(node.common.loss)]
    value, error, weight = function(node, frame, errors)
    return Loss(value, error, tf.cast(weight, tf.float32), node.common.loss_scale)


def check(node: Node) -> None:
    """Raise NetworkError where a layer's loss is unknown, lacks a target, or has wrong options."""
    check_name(node)
    name, opts = str(node.common.loss), node.common.loss_opts
    if node.target is None and name != "as_is":
        raise NetworkError(f"{node}: found no target for the loss {name!r}, needed one")
    if node.target is not None and name != "as_is":
        _check_classes(node, name, template_for(node.target, node))
    if not 0.0 <= opts.get("label_smoothing", 0.0) < 1.0:
        raise NetworkError(
            f"{node}: found label_smoothing {opts['label_smoothing']}, needed 0 or more, below 1"
        )
    for key in opts:
        if key not in _OPTIONS[name]:
            raise NetworkError(
                f"{node}: unknown option {key!r} of the loss {name!r}{nearest(key, _OPTIONS[name])}"
            )


def check_name(node: Node) -> None:
    """Raise NetworkError where a layer's loss is unknown."""
    name = node.common.loss
    if name is not None and name not in _FUNCTIONS:
        raise NetworkError(f"{node}: unknown loss {name!r}{nearest(name, _FUNCTIONS)}")


def _check_classes(node: Node, name: str, target: Data) -> None:
    """Raise NetworkError where the target is no label of the output."""
    out = template_for(node, node)
    if target.sparse_dim is None or out.feature_dim is None or out.sparse_dim is not None:
        raise NetworkError(
            f"{node}: found {out} for target {target}, needed a feature dim and a sparse target"
        )
    found, needed = out.feature_dim.size, (target.sparse_dim.size or 0) + (name == "ctc")
    if found != needed:
        blank = ", the last one for the blank" if name == "ctc" else ""
        raise NetworkError(
            f"{node}: found {found} outputs for target {target}, needed {needed}{blank}"
        )


def objective(losses: dict[str, Loss]) -> Any:
    """Return the scalar that training minimises: the sum of the losses, each per label."""
    terms = [
        x.scale * tf.reduce_sum(x.value) / tf.maximum(tf.reduce_sum(x.weight), 1.0)
        for x in losses.values()
    ]
    return tf.add_n(terms)


def _aligned(node: Node, frame: Frame) -> tuple[Data, Data]:
    """Return output [time, batch, classes] and target [time, batch], of equal lengths."""
    assert node.target is not None
    out, target = frame.value(node), frame.value(node.target)
    if out.time_dim is None or target.time_dim is None or out.feature_dim is None:
        raise NetworkError(f"{node}: found {out} for target {target}, needed time and feature dims")
    target = frame.run.with_dim(target, target.time_dim, out.time_dim, str(node))
    return (
        out.ordered([out.time_dim, BATCH, out.feature_dim]),
        target.ordered([out.time_dim, BATCH]),
    )


def _log_probs(node: Node, frame: Frame, out: Data) -> Any:
    """Return the logarithm of a layer's output, from what its activation was applied to."""
    name, before = frame.home(node).before_activation.get(node, (None, out))
    x = before.ordered(out.dims).tensor
    if name == "softmax":
        return tf.nn.log_softmax(x)
    if name == "exp":
        return x
    return out.tensor if name == "log_softmax" else safe_log(out.tensor)


def _cross_entropy(node: Node, frame: Frame, errors: bool) -> tuple[Any, Any, Any]:
    """Frame-wise cross-entropy.

    Option label_smoothing (Szegedy et al., 2016, section 7): the share of the probability that goes
    to the other labels; as in RETURNN, the loss is counted from its least value, in evaluation too.
    """
    out, target = _aligned(node, frame)
    assert out.time_dim is not None
    mask = tf.cast(frame.run.mask(out.time_dim, target), tf.float32)
    log_probs = _log_probs(node, frame, out)
    picked = tf.gather(log_probs, target.tensor, batch_dims=2)
    smoothing = float(node.common.loss_opts.get("label_smoothing", 0.0))
    if smoothing:
        others = log_probs.shape[-1] - 1
        mean = (tf.reduce_sum(log_probs, axis=-1) - picked) / others
        best = (1.0 - smoothing) * math.log(1.0 - smoothing)
        best += smoothing * math.log(smoothing / others)
        picked = (1.0 - smoothing) * picked + smoothing * mean - best
    wrong = tf.argmax(log_probs, axis=-1, output_type=tf.int32) != target.tensor
    value = -tf.reduce_sum(tf.where(mask > 0, picked, 0.0), axis=0)
    error = tf.reduce_sum(tf.cast(wrong, tf.float32) * mask, axis=0)
    return value, error, frame.run.lengths_of(out.time_dim, out.beam)


def _ctc(node: Node, frame: Frame, errors: bool) -> tuple[Any, Any, Any]:
    """CTC (Graves et al., 2006); the blank is the last label. Errors: those of the best path."""
    assert node.target is not None
    out, target = frame.value(node), frame.value(node.target)
    name, logits = frame.home(node).before_activation.get(node, (None, out))
    if name not in ("softmax", "log_softmax"):
        raise NetworkError(
            f"{node}: found activation {name!r}, needed 'softmax' for the loss 'ctc'"
        )
    time, labels = out.time_dim, target.time_dim
    assert time is not None and labels is not None and out.feature_dim is not None
    logits = logits.ordered([time, BATCH, out.feature_dim])
    target = target.ordered([BATCH, labels])
    frames, counts = frame.run.lengths_of(time, None), frame.run.lengths_of(labels, None)
    blank = out.feature_dim.size - 1  # type: ignore[operator]
    value = native.ctc_loss(logits.tensor, frames, target.tensor, counts, blank=blank)
    error = None
    if errors:
        error = native.ctc_errors(logits.tensor, frames, target.tensor, counts, blank=blank)
    return value, error, counts


def _as_is(node: Node, frame: Frame, errors: bool) -> tuple[Any, Any, Any]:
    """The output itself, summed over everything but the batch."""
    out = frame.value(node).first(BATCH)
    lengths = tf.ones([frame.run.batch])
    tensor = out.tensor
    for dim in out.dims:
        if dim.dynamic:
            tensor = tf.where(frame.run.mask(dim, out), tensor, tf.zeros_like(tensor))
            lengths = frame.run.lengths_of(dim, out.beam)
    return tf.reduce_sum(tensor, axis=list(range(1, len(out.dims)))), None, lengths


_FUNCTIONS: dict[str, Callable[[Node, Frame, bool], tuple[Any, Any, Any]]] = {
    "ce": _cross_entropy,
    "ctc": _ctc,
    "as_is": _as_is,
}
_OPTIONS: dict[str, tuple[str, ...]] = {"ce": ("label_smoothing",), "ctc": (), "as_is": ()}
