"""The joint network of a transducer at the nodes of the lattice, for checked arguments.

On the host a kernel does it all; on a GPU a library multiplies matrices, slice by slice.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from cupy_kernels.transducer.arguments import Targets, TransducerScores
from cupy_kernels.transducer.op import empty_scores, run

SLICE_ELEMENTS = 1 << 24  # of the largest array of a slice: 64 MiB


class Joint(NamedTuple):
    """Checked arguments of a joint network."""

    encoder: Any
    predictor: Any
    weight: Any
    bias: Any
    dropout: Any  # int64 [8], as dropout.h counts them
    blank: int
    activation: int  # as activation.h counts them
    separate_emit: bool

    @property
    def inputs(self) -> int:
        """Size of the encoder's last axis."""
        return int(self.encoder.shape[2])

    @property
    def joint(self) -> int:
        """Size of the weight's first axis."""
        return int(self.weight.shape[0])

    @property
    def vocab(self) -> int:
        """Size of the weight's last axis."""
        return int(self.weight.shape[1])

    @property
    def columns(self) -> tuple[int, int, int]:
        """Of the logits, as kernels take them."""
        return self.vocab, self.blank, int(self.separate_emit)


class TransducerSaved(NamedTuple):
    """What the backward pass needs of the forward pass, float32."""

    log_norm: Any  # [batch, time, max_labels + 1]: log of the softmax's denominator
    blank: Any  # as in TransducerScores: the gradient of the loss
    label: Any
    repeat: Any


class JointGradients(NamedTuple):
    """The gradient of a joint network, float32 like its arguments."""

    encoder: Any
    predictor: Any
    weight: Any
    bias: Any


def scores(targets: Targets, net: Joint, threads: int) -> tuple[TransducerScores, Any]:
    """Scores of the steps, and log_norm, at the nodes that paths may pass."""
    nodes = targets.xp.flatnonzero(_on_paths(targets))
    found = empty_scores(targets)
    outputs = (*found, targets.xp.empty_like(found.blank))
    if targets.xp is np:
        _host_kernel("joint_forward", targets, net, nodes, outputs, (), threads)
    else:
        sliced_scores(targets, net, nodes, outputs, threads)
    return found, outputs[-1]


def gradients(
    targets: Targets, net: Joint, d_loss: Any, saved: TransducerSaved, threads: int
) -> JointGradients:
    """The gradient of all arguments."""
    nodes = targets.xp.flatnonzero(_not_negligible(targets, d_loss, saved))
    scaled = [x * d_loss[:, None, None] for x in saved[1:]]
    outputs = (*scaled, saved.log_norm)
    grads = JointGradients(*(targets.xp.zeros_like(x) for x in net[:4]))
    if targets.xp is np:
        _host_kernel("joint_backward", targets, net, nodes, outputs, grads, threads)
    else:
        sliced_gradients(targets, net, nodes, outputs, grads, threads)
    return grads


def _on_paths(targets: Targets) -> Any:
    """bool [batch, time, max_labels + 1]: the nodes that paths may pass, as in lattice.h."""
    xp = targets.xp
    t, u = xp.arange(targets.time)[:, None], xp.arange(targets.max_labels + 1)
    frames, counts, feasible = (
        x[:, None, None] for x in (targets.frames, targets.label_lengths, targets.feasible > 0)
    )
    inside = (t < frames) & (u <= counts) & feasible
    return inside if targets.diagonal else inside & (u <= t) & (counts - u <= frames - t)


def _not_negligible(targets: Targets, d_loss: Any, saved: TransducerSaved) -> Any:
    """bool [batch, time, max_labels + 1]: where a path passes with a probability above 2^-24.

    Those of a frame sum up to 1 or more, and float32 rounds 1 + 2^-24 to 1.
    """
    probability = -saved.blank
    probability[:, :, :-1] -= saved.label
    probability[:, :, 1:] -= saved.repeat
    negligible = probability <= 2.0**-24  # False for NaN, which must be seen
    return ~negligible & (d_loss != 0)[:, None, None]


def _host_kernel(
    name: str, targets: Targets, net: Joint, nodes: Any, outputs: Any, grads: Any, threads: int
) -> None:
    sizes = (len(nodes), targets.time, targets.max_labels, net.inputs, net.joint)
    columns = (net.vocab, net.activation, net.blank, int(net.separate_emit), targets.repetition)
    arrays = (*net[:5], nodes, targets.labels, targets.label_lengths, *outputs, *grads)
    run(targets, name, *arrays, *sizes, *columns, threads=threads)


def sliced_scores(targets: Targets, net: Joint, nodes: Any, outputs: Any, threads: int) -> None:
    """Fill the outputs, blank, label, repeat and log_norm, at the nodes."""
    for some in _slices(net, nodes):
        logits = _hidden(targets, net, some, threads) @ net.weight
        _logit_kernel("joint_scores", targets, net, some, logits, outputs, threads)


def sliced_gradients(
    targets: Targets, net: Joint, nodes: Any, outputs: Any, grads: JointGradients, threads: int
) -> None:
    """Add what the nodes give to the gradients."""
    xp, rows = targets.xp, targets.max_labels + 1
    d_encoder, d_predictor, d_weight, d_bias = grads
    for some in _slices(net, nodes):
        hidden = _hidden(targets, net, some, threads)
        logits = hidden @ net.weight
        _logit_kernel("joint_gradient", targets, net, some, logits, outputs, threads)
        d_weight += hidden.T @ logits
        d_bias += logits.sum(axis=0)
        dz = xp.empty((len(some), net.inputs), np.float32)
        arrays = (net.encoder, net.predictor, net.dropout, some, hidden, logits @ net.weight.T, dz)
        sizes = (len(some), targets.time, rows - 1, net.inputs, net.joint, net.activation)
        run(targets, "joint_input_gradient", *arrays, *sizes, threads=threads, blocks=len(some))
        frame, u = some // rows, some % rows
        _add_segments(targets, dz, frame, d_encoder, threads)
        _add_segments(targets, dz, frame // targets.time * rows + u, d_predictor, threads)


def _slices(net: Joint, nodes: Any) -> list[Any]:
    size = max(1, SLICE_ELEMENTS // max(net.vocab, net.inputs))
    return [nodes[first : first + size] for first in range(0, len(nodes), size)]


def _hidden(targets: Targets, net: Joint, nodes: Any, threads: int) -> Any:
    hidden = targets.xp.empty((len(nodes), net.joint), np.float32)
    sizes = (len(nodes), targets.time, targets.max_labels, net.inputs, net.joint, net.activation)
    arrays = (net.encoder, net.predictor, net.dropout, nodes, hidden)
    run(targets, "joint_hidden", *arrays, *sizes, threads=threads, blocks=len(nodes))
    return hidden


def _logit_kernel(
    name: str, targets: Targets, net: Joint, nodes: Any, logits: Any, outputs: Any, threads: int
) -> None:
    arrays = (logits, net.bias, nodes, targets.labels, targets.label_lengths, *outputs)
    sizes = (len(nodes), targets.time, targets.max_labels, *net.columns, targets.repetition)
    run(targets, name, *arrays, *sizes, threads=threads, blocks=len(nodes))


def _add_segments(targets: Targets, rows: Any, places: Any, out: Any, threads: int) -> None:
    """out[place] += the rows that belong there, in their order."""
    xp = targets.xp
    order = (places * len(places) + xp.arange(len(places))).argsort()  # no two are equal
    segments = out.shape[0] * out.shape[1]
    starts = xp.searchsorted(places[order], xp.arange(segments + 1))
    sizes = (segments, out.shape[2])
    arrays = (rows, order, starts, out)
    run(targets, "joint_segment_sums", *arrays, *sizes, threads=threads, blocks=segments)
