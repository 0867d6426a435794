"""What a run of a network gives back, as numpy arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from returnn_lite.dim import BATCH, Dim
from returnn_lite.frame import Frame
from returnn_lite.infer import template_of
from returnn_lite.lazy import tf
from returnn_lite.losses import Loss
from returnn_lite.node import Node

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Output:
    """The output of a layer.

    values: the axes as the layer made them; with a beam, axis "batch" has batch * beam entries,
    those of a sequence side by side. dims: one per axis. lengths: {name of a dynamic dim: int32
    [batch]}. scores: float32 [batch, beam], log-probabilities of the hypotheses, None without a
    search.
    """

    values: Array
    dims: tuple[Dim, ...]
    time_dim: Dim | None
    feature_dim: Dim | None
    sparse_dim: Dim | None
    lengths: dict[str, Array]
    beam_size: int | None = None
    scores: Array | None = None

    def canonical_dims(self) -> list[Dim]:
        """Return the dims in one order: batch, time, other dims, feature."""
        order = [d for d in self.dims if d.kind == "batch"]
        order += [d for d in self.dims if d is self.time_dim]
        order += [d for d in self.dims if d not in order and d is not self.feature_dim]
        return order + [d for d in self.dims if d is self.feature_dim and d not in order]

    def canonical(self) -> Array:
        """Return the values with canonical_dims; zero behind every length."""
        order = self.canonical_dims()
        x = np.transpose(self.values, [self.dims.index(d) for d in order]).copy()
        for axis, dim in enumerate(order):
            if len(self.lengths.get(dim.name, ())) == x.shape[0] and order[0].kind == "batch":
                shape = [1] * x.ndim
                shape[axis] = -1
                steps = np.arange(x.shape[axis]).reshape(shape)
                shape[axis], shape[0] = 1, -1
                x[np.broadcast_to(steps >= self.lengths[dim.name].reshape(shape), x.shape)] = 0
        return x


@dataclass(frozen=True)
class LossValue:
    """The loss of a layer: sums over the batch, and the same by sequence, float32 [batch].

    value: not divided by anything. error: None where it is not counted. weight: what value and
    error are divided by, the number of labels; norm_factor: RETURNN's word for its inverse.
    """

    value: Array
    error: Array | None
    weight: Array

    @property
    def summed(self) -> float:
        """The loss of all sequences."""
        return float(np.sum(self.value, dtype=np.float64))

    @property
    def summed_error(self) -> float | None:
        """The errors of all sequences."""
        return None if self.error is None else float(np.sum(self.error, dtype=np.float64))

    @property
    def norm_factor(self) -> float:
        """What the sums are multiplied by to get the loss and the errors per label."""
        return 1.0 / float(np.sum(self.weight, dtype=np.float64))


@dataclass(frozen=True)
class SearchResult:
    """The hypotheses of a search, the best first.

    layer: the layer that has them. labels: int32 [batch, beam, time], zero behind the ends, or
    [batch, beam] where the layer has no time. lengths: int32 [batch, beam]. scores: float32 [batch,
    beam], log-probabilities.
    """

    layer: str
    labels: Array
    lengths: Array
    scores: Array


@dataclass(frozen=True)
class Outputs(Mapping[str, Output]):
    """The outputs of the fetched layers by name, and what else a run gives.

    losses: by layer. gradients: of the objective, by parameter, where they were asked for. search:
    of the first layer with hypotheses, among those fetched and then the network's outputs; None
    without a search.
    """

    layers: dict[str, Output]
    losses: dict[str, LossValue]
    gradients: dict[str, Array] | None = None
    search: SearchResult | None = None

    def __getitem__(self, name: str) -> Output:
        return self.layers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)


@dataclass
class _Trace:
    """What is known of an output once its graph is traced, besides the tensors."""

    dims: tuple[Dim, ...]
    time_dim: Dim | None
    feature_dim: Dim | None
    sparse_dim: Dim | None
    beam_size: int | None


def output_tensors(
    frame: Frame, wanted: list[Node], losses: Mapping[str, Loss], *, others: Sequence[Node] = ()
) -> dict[str, Any]:
    """Return the tensors of the wanted layers and losses, as tf.function returns them.

    others: layers that may have hypotheses, if none of the wanted ones has.
    """
    found: dict[str, Any] = {"layers": {}, "losses": {}, "search": {}}
    for node in wanted:
        frame.compute_chain(node)
        x = frame.value(node)
        node.resolved["output"] = _Trace(
            x.dims, x.time_dim, x.feature_dim, x.sparse_dim, x.beam.size if x.beam else None
        )
        entry = {"values": x.tensor}
        for dim in x.dims:
            if dim.dynamic:
                entry[f"length:{dim.name}"] = frame.run.lengths_in(x, dim)
        if x.beam is not None:
            entry["scores"] = x.beam.scores
        found["layers"][node.path] = entry
    if any(node.scope.mode.search for node in [*wanted, *others]):
        hypotheses = (_hypotheses(frame, node) for node in [*wanted, *others])
        found["search"] = next((h for h in hypotheses if h is not None), {})
    for path, loss in losses.items():
        entry = {"value": loss.value, "weight": loss.weight}
        if loss.error is not None:
            entry["error"] = loss.error
        found["losses"][path] = entry
    return found


def _hypotheses(frame: Frame, node: Node) -> dict[str, Any] | None:
    """Return the hypotheses that a layer has, or that it decides on, by the layer's name."""
    if node.layer.layer_class == "decide":
        (node,) = node.sources
    if template_of(node).sparse_dim is None:
        return None
    x = frame.value(node)
    beam = x.beam
    if beam is None or not {BATCH} <= {*x.dims} <= {BATCH, x.time_dim}:
        return None
    lengths = tf.ones_like(beam.scores, tf.int32)
    if x.time_dim is not None:
        lengths = tf.reshape(frame.run.lengths_of(x.time_dim, beam), [-1, beam.size])
        x = frame.run.masked(x, x.time_dim).first(BATCH)
    shape = tf.concat([[-1, beam.size], tf.shape(x.tensor)[1:]], axis=0)
    labels = tf.reshape(x.tensor, shape)
    return {node.path: {"labels": labels, "lengths": lengths, "scores": beam.scores}}


def collect(found: Mapping[str, Any], wanted: list[Node]) -> Outputs:
    """Return the tensors of a run as arrays."""
    outputs = {}
    for node in wanted:
        entry, trace = found["layers"][node.path], node.resolved["output"]
        prefix = "length:"
        lengths = {k.removeprefix(prefix): v.numpy() for k, v in entry.items() if prefix in k}
        outputs[node.path] = Output(
            values=entry["values"].numpy(),
            lengths=lengths,
            scores=entry["scores"].numpy() if "scores" in entry else None,
            **vars(trace),
        )
    losses = {
        path: LossValue(
            entry["value"].numpy(),
            entry["error"].numpy() if "error" in entry else None,
            entry["weight"].numpy(),
        )
        for path, entry in found["losses"].items()
    }
    gradients = None
    if "gradients" in found:
        gradients = {k: tf.convert_to_tensor(g).numpy() for k, g in found["gradients"].items()}
    searches = [
        SearchResult(layer=name, **{k: x.numpy() for k, x in entry.items()})
        for name, entry in found["search"].items()
    ]
    return Outputs(outputs, losses, gradients, searches[0] if searches else None)
