"""Transducer loss with its joint network, so that no array has the size of all logits."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from cupy_kernels import check
from cupy_kernels.backend.threads import thread_count
from cupy_kernels.transducer import fused_reference, joint
from cupy_kernels.transducer.activations import ACTIVATIONS
from cupy_kernels.transducer.align import alignment_lengths, best_path
from cupy_kernels.transducer.arguments import Targets, check_targets, check_vocabulary
from cupy_kernels.transducer.dropout import Dropout, check_dropout, packed
from cupy_kernels.transducer.joint import Joint, JointGradients, TransducerSaved
from cupy_kernels.transducer.op import full_sum, use_reference


class Options(NamedTuple):
    """What the entries take by name."""

    blank: int
    topology: str
    activation: str
    separate_emit: bool
    dropout: Dropout | None = None


def transducer_fused_loss(
    encoder: Any,
    predictor: Any,
    weight: Any,
    bias: Any,
    frames: Any,
    labels: Any,
    label_lengths: Any,
    *,
    blank: int,
    topology: str,
    activation: str = "tanh",
    separate_emit: bool = False,
    dropout: Dropout | None = None,
    infeasible: str = "inf",
    threads: int | None = None,
) -> tuple[Any, Any, Any, Any, Any]:
    """Loss, and the gradient of its sum over the batch, in one call.

    Args:
        encoder, predictor, weight, bias, frames, labels, label_lengths, blank, topology,
            activation, separate_emit, dropout, infeasible, threads: as of
            `transducer_fused_forward`.

    Returns:
        loss, float32 [batch], as of `transducer_fused_forward`;
        d_encoder, d_predictor, d_weight, d_bias, as of `transducer_fused_backward`.

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    arguments = (encoder, predictor, weight, bias, frames, labels, label_lengths)
    options: dict[str, Any] = Options(blank, topology, activation, separate_emit, dropout)._asdict()
    loss, saved = transducer_fused_forward(
        *arguments, **options, infeasible=infeasible, threads=threads
    )
    d_loss = check.array_module("transducer_fused_loss", loss=loss).ones_like(loss)
    grads = transducer_fused_backward(d_loss, saved, *arguments, **options, threads=threads)
    return loss, *grads


def transducer_fused_forward(
    encoder: Any,
    predictor: Any,
    weight: Any,
    bias: Any,
    frames: Any,
    labels: Any,
    label_lengths: Any,
    *,
    blank: int,
    topology: str,
    activation: str = "tanh",
    separate_emit: bool = False,
    dropout: Dropout | None = None,
    infeasible: str = "inf",
    threads: int | None = None,
) -> tuple[Any, TransducerSaved]:
    """`transducer_loss` of the output of a joint network, which is never stored.

    At frame t where u labels are out, log-probabilities come from the logits
    dropout(activation(encoder[t] + predictor[u])) weight + bias.

    Args:
        encoder: float32 [batch, time, inputs].
        predictor: float32 [batch, max_labels + 1, inputs].
        weight: float32 [joint, vocab]; joint is half the inputs for "maxout", else the inputs.
        bias: float32 [vocab].
        frames, labels, label_lengths, blank, topology: as of `transducer_loss`.
        activation: "tanh", "relu", "relu6", "leaky_relu" (0.2 z below zero), "elu", "selu", "gelu"
            (z Phi(z)), "gelu_tanh" (its approximation), "silu" (z sigmoid(z)), "sigmoid",
            "log_sigmoid", "softplus", "softsign", "linear", or "maxout" (of adjacent pairs of
            inputs).
        separate_emit: False for one softmax over labels and blank. True for an emission model of
            its own: the column `blank` is the logit e of a gate; the blank scores log sigmoid(-e),
            a label log sigmoid(e) plus its log softmax over the other columns.
        dropout: of what the weight multiplies, as in training, or None.
        infeasible: as of `transducer_loss`.
        threads: on the host; by default OMP_NUM_THREADS, or all processors.

    Returns:
        loss, float32 [batch], as of `transducer_loss`; NaN where a node that a path may pass has
            NaN, +inf, or only -inf among its logits;
        saved, for `transducer_fused_backward`.

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    inputs, sequences = (encoder, predictor, weight, bias), (frames, labels, label_lengths)
    options = Options(blank, topology, activation, separate_emit, dropout)
    targets, net = _check("transducer_fused_forward", inputs, sequences, options)
    check.infeasible_option("transducer_fused_forward", infeasible)
    workers = thread_count(threads)
    if use_reference(targets):
        slow, norm, slopes = fused_reference.forward(*inputs, *sequences, **options._asdict())
        saved = TransducerSaved(*(x.astype(np.float32) for x in (norm, *slopes)))
        return check.settled(np, slow.astype(np.float32), infeasible), saved
    scores, log_norm = joint.scores(targets, net, workers)
    loss, grads = full_sum(targets, scores, workers)
    return check.settled(targets.xp, loss, infeasible), TransducerSaved(log_norm, *grads)


def transducer_fused_backward(
    d_loss: Any,
    saved: TransducerSaved,
    encoder: Any,
    predictor: Any,
    weight: Any,
    bias: Any,
    frames: Any,
    labels: Any,
    label_lengths: Any,
    *,
    blank: int,
    topology: str,
    activation: str = "tanh",
    separate_emit: bool = False,
    dropout: Dropout | None = None,
    threads: int | None = None,
) -> JointGradients:
    """Gradient of `transducer_fused_forward`, from that of its losses.

    Nodes that a path passes with a probability of at most 2^-24 are left out: next to the others of
    their frame, which sum up to 1 or more, float32 would round them off. Most nodes are such.

    Args:
        d_loss: float32 [batch]; 0 leaves a sequence out, even one whose loss is NaN.
        saved: from the forward pass; only read.
        encoder, predictor, weight, bias, frames, labels, label_lengths, blank, topology,
            activation, separate_emit, dropout, threads: as in the forward pass.

    Returns:
        d_encoder, float32 [batch, time, inputs], zero on padding;
        d_predictor, float32 [batch, max_labels + 1, inputs], zero on padding;
        d_weight, float32 [joint, vocab]; d_bias, float32 [vocab]. Sequences with infinite loss have
            no part in them; of two equal inputs of "maxout" it is the first that counts.

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    where = "transducer_fused_backward"
    inputs, sequences = (encoder, predictor, weight, bias), (frames, labels, label_lengths)
    options = Options(blank, topology, activation, separate_emit, dropout)
    targets, net = _check(where, inputs, sequences, options)
    arrays = TransducerSaved(*saved)._asdict()
    check.array_module(where, encoder=encoder, d_loss=d_loss, **arrays)
    check.array(where, "d_loss", d_loss, np.float32, batch=targets.batch)
    for name, value in arrays.items():
        rows = targets.max_labels + (name in ("log_norm", "blank"))
        axes = {"batch": targets.batch, "time": targets.time, "rows": rows}
        check.array(where, name, value, np.float32, **axes)
    workers = thread_count(threads)
    if use_reference(targets):
        problem = (d_loss, saved[1:], *inputs, *sequences)
        slow = fused_reference.backward(*problem, **options._asdict())
        return JointGradients(*(x.astype(np.float32) for x in slow))
    return joint.gradients(targets, net, d_loss, TransducerSaved(*saved), workers)


def transducer_fused_align(
    encoder: Any,
    predictor: Any,
    weight: Any,
    bias: Any,
    frames: Any,
    labels: Any,
    label_lengths: Any,
    *,
    blank: int,
    topology: str,
    activation: str = "tanh",
    separate_emit: bool = False,
    dropout: Dropout | None = None,
    threads: int | None = None,
) -> tuple[Any, Any, Any]:
    """`transducer_align` of the output of a joint network, which is never stored.

    Args:
        encoder, predictor, weight, bias, frames, labels, label_lengths, blank, topology,
            activation, separate_emit, dropout, threads: as of `transducer_fused_forward`.

    Returns:
        alignment, alignment_lengths and score, as of `transducer_align`.

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    inputs, sequences = (encoder, predictor, weight, bias), (frames, labels, label_lengths)
    options = Options(blank, topology, activation, separate_emit, dropout)
    targets, net = _check("transducer_fused_align", inputs, sequences, options)
    workers = thread_count(threads)
    if use_reference(targets):
        alignment, slow = fused_reference.align(*inputs, *sequences, **options._asdict())
        return alignment, alignment_lengths(targets), slow.astype(np.float32)
    scores, _ = joint.scores(targets, net, workers)
    return best_path(targets, scores, blank, workers)


def _check(
    where: str,
    inputs: tuple[Any, Any, Any, Any],
    sequences: tuple[Any, Any, Any],
    options: Options,
) -> tuple[Targets, Joint]:
    """Check the joint network and the sequences."""
    encoder, predictor, weight, bias = inputs
    blank, topology, activation, separate_emit, dropout = options
    if activation not in ACTIVATIONS:
        check.fail(where, "activation", repr(activation), "one of " + ", ".join(ACTIVATIONS))
    named = {"encoder": encoder, "predictor": predictor, "weight": weight, "bias": bias}
    check.array_module(where, **named)
    check.array(where, "encoder", encoder, np.float32, batch=None, time=None, inputs=None)
    _, time, width = encoder.shape
    targets = check_targets(where, topology, *sequences, time, **named)
    axes = {"batch": targets.batch, "time": time, "inputs": width}
    check.array(where, "encoder", encoder, np.float32, **axes)
    axes = {"batch": targets.batch, "rows": targets.max_labels + 1, "inputs": width}
    check.array(where, "predictor", predictor, np.float32, **axes)
    pieces = 2 if activation == "maxout" else 1
    if width % pieces:
        check.fail(where, "encoder", f"{width} inputs", "an even number for maxout")
    check.array(where, "weight", weight, np.float32, joint=width // pieces, vocab=None)
    check.array(where, "bias", bias, np.float32, vocab=weight.shape[1])
    check_vocabulary(where, targets, blank, weight.shape[1])
    check_dropout(where, dropout)
    if not isinstance(separate_emit, bool | np.bool_):
        check.fail(where, "separate_emit", repr(separate_emit), "True or False")
    layout = (blank, ACTIVATIONS.index(activation), separate_emit)
    return targets, Joint(*inputs, packed(dropout, targets.xp), *layout)
