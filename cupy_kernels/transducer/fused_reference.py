"""Transducer with its joint network in float64, all logits at once: what tests compare with."""

from __future__ import annotations

from typing import Any

import numpy as np

from cupy_kernels.transducer import reference
from cupy_kernels.transducer.activations import POINTWISE
from cupy_kernels.transducer.dropout import Dropout, factors
from cupy_kernels.transducer.reference import Array, Floats, Scores


def forward(
    encoder: Array,
    predictor: Array,
    weight: Array,
    bias: Array,
    frames: Array,
    labels: Array,
    label_lengths: Array,
    *,
    blank: int,
    topology: str,
    activation: str = "tanh",
    separate_emit: bool = False,
    dropout: Dropout | None = None,
) -> tuple[Floats, Floats, Scores]:
    """The operation's loss, log of the softmax's denominator, and gradient of the scores."""
    logits = hidden(encoder, predictor, activation, dropout)[0] @ weight.astype(np.float64) + bias
    found = log_probs(logits, blank, separate_emit)
    scores = reference.pick(found, labels, label_lengths, blank)
    loss, grads = reference.compact_loss(scores, frames, labels, label_lengths, topology=topology)
    return loss, log_norm(logits, blank, separate_emit), grads


def backward(
    d_loss: Array,
    grads: Any,
    encoder: Array,
    predictor: Array,
    weight: Array,
    bias: Array,
    frames: Array,
    labels: Array,
    label_lengths: Array,
    *,
    blank: int,
    topology: str,
    activation: str = "tanh",
    separate_emit: bool = False,
    dropout: Dropout | None = None,
) -> tuple[Floats, Floats, Floats, Floats]:
    """The operation's gradients."""
    factor = d_loss[:, None, None]
    scaled = Scores(*(np.where(factor == 0, 0, factor * grad) for grad in grads))
    d_log_probs = reference.spread(scaled, labels, label_lengths, blank, len(bias))
    used = d_log_probs.any(axis=3, keepdims=True)  # padding may hold anything
    h, slope = (np.where(used, x, 0) for x in hidden(encoder, predictor, activation, dropout))
    logits = h @ weight.astype(np.float64) + bias
    dx = logit_gradient(d_log_probs, logits, blank, separate_emit)
    dh = dx @ weight.astype(np.float64).T
    dz = slope * (np.repeat(dh, 2, axis=3) if activation == "maxout" else dh)
    d_weight = np.einsum("btuj,btuv->jv", h, dx)
    return dz.sum(axis=2), dz.sum(axis=1), d_weight, dx.sum(axis=(0, 1, 2))


def align(
    encoder: Array,
    predictor: Array,
    weight: Array,
    bias: Array,
    frames: Array,
    labels: Array,
    label_lengths: Array,
    *,
    blank: int,
    topology: str,
    activation: str = "tanh",
    separate_emit: bool = False,
    dropout: Dropout | None = None,
) -> tuple[Any, Floats]:
    """The operation's alignment and score."""
    logits = hidden(encoder, predictor, activation, dropout)[0] @ weight.astype(np.float64) + bias
    found = log_probs(logits, blank, separate_emit)
    sequences = (frames, labels, label_lengths)
    return reference.transducer_align(found, *sequences, blank=blank, topology=topology)


def hidden(
    encoder: Array, predictor: Array, activation: str, dropout: Dropout | None = None
) -> tuple[Floats, Floats]:
    """[batch, time, max_labels + 1, joint], and its derivative by each of the inputs."""
    h, slope = _active(encoder, predictor, activation)
    kept = factors(dropout, h.shape)
    return h * kept, slope * (np.repeat(kept, 2, axis=3) if activation == "maxout" else kept)


def _active(encoder: Array, predictor: Array, activation: str) -> tuple[Floats, Floats]:
    """`hidden` without dropout."""
    z = encoder.astype(np.float64)[:, :, None] + predictor.astype(np.float64)[:, None]
    if activation == "maxout":
        pairs = z.reshape(*z.shape[:3], z.shape[3] // 2, 2)
        first = (pairs[..., :1] >= pairs[..., 1:]).astype(np.float64)
        return pairs.max(axis=4), np.concatenate([first, 1 - first], axis=4).reshape(z.shape)
    value, slope = POINTWISE[activation]
    return value(z), slope(z)


def log_norm(logits: Floats, blank: int, separate_emit: bool) -> Floats:
    """Log of the softmax's denominator."""
    columns = np.delete(logits, blank, axis=-1) if separate_emit else logits
    with np.errstate(invalid="ignore"):
        norm: Floats = np.logaddexp.reduce(columns, axis=-1, initial=-np.inf)
    return norm


def log_probs(logits: Floats, blank: int, separate_emit: bool) -> Floats:
    """Of the blank and the labels."""
    with np.errstate(invalid="ignore"):
        found: Floats = logits - log_norm(logits, blank, separate_emit)[..., None]
        if separate_emit:
            gate = logits[..., blank]
            found -= np.logaddexp(0, -gate)[..., None]
            found[..., blank] = -np.logaddexp(0, gate)
    return found


def logit_gradient(d_log_probs: Floats, logits: Floats, blank: int, separate_emit: bool) -> Floats:
    """The gradient of the logits."""
    d_labels = d_log_probs.copy()
    softmax = np.exp(logits - log_norm(logits, blank, separate_emit)[..., None])
    if separate_emit:
        d_labels[..., blank] = softmax[..., blank] = 0
    mass = d_labels.sum(axis=-1, keepdims=True)
    dx: Floats = d_labels - softmax * mass
    if separate_emit:
        emit = 1 / (1 + np.exp(-logits[..., blank]))
        dx[..., blank] = mass[..., 0] * (1 - emit) - d_log_probs[..., blank] * emit
    return dx
