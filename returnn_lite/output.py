"""What a run of a network gives back, as numpy arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from returnn_lite.dim import BATCH, Dim
from returnn_lite.frame import Frame
from returnn_lite.losses import Loss
from returnn_lite.node import Node

if TYPE_CHECKING:
    from returnn_lite.network import Network

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
        order = [d for d in self.dims if d is BATCH]
        order += [d for d in self.dims if d is self.time_dim]
        order += [d for d in self.dims if d not in order and d is not self.feature_dim]
        return order + [d for d in self.dims if d is self.feature_dim and d not in order]

    def canonical(self) -> Array:
        """Return the values with canonical_dims; zero behind every length."""
        order = self.canonical_dims()
        x = np.transpose(self.values, [self.dims.index(d) for d in order]).copy()
        for axis, dim in enumerate(order):
            if dim.name in self.lengths and BATCH in order:
                shape = [1] * x.ndim
                shape[axis] = -1
                steps = np.arange(x.shape[axis]).reshape(shape)
                shape[axis], shape[0] = 1, -1
                x[np.broadcast_to(steps >= self.lengths[dim.name].reshape(shape), x.shape)] = 0
        return x


@dataclass(frozen=True)
class LossValue:
    """The loss of a layer, float32 [batch] each; error is None where it is not counted."""

    value: Array
    error: Array | None
    weight: Array


@dataclass(frozen=True)
class Outputs(Mapping[str, Output]):
    """The outputs of the fetched layers by name, and the losses by layer."""

    layers: dict[str, Output]
    losses: dict[str, LossValue]

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


def output_tensors(frame: Frame, wanted: list[Node], losses: Mapping[str, Loss]) -> dict[str, Any]:
    """Return the tensors of the wanted layers and losses, as tf.function returns them."""
    found: dict[str, Any] = {"layers": {}, "losses": {}}
    for node in wanted:
        x = frame.value(node)
        node.resolved["output"] = _Trace(
            x.dims, x.time_dim, x.feature_dim, x.sparse_dim, x.beam.size if x.beam else None
        )
        entry = {"values": x.tensor}
        for dim in x.dims:
            if dim.dynamic:
                entry[f"length:{dim.name}"] = frame.run.lengths_of(dim, x.beam)
        if x.beam is not None:
            entry["scores"] = x.beam.scores
        found["layers"][node.path] = entry
    for path, loss in losses.items():
        entry = {"value": loss.value, "weight": loss.weight}
        if loss.error is not None:
            entry["error"] = loss.error
        found["losses"][path] = entry
    return found


def collect(found: Mapping[str, Any], wanted: list[Node], network: Network) -> Outputs:
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
    return Outputs(outputs, losses)
