"""Networks run without tracing, which would take most of the time of small tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from returnn_lite import losses
from returnn_lite.frame import Frame
from returnn_lite.network import Network
from returnn_lite.output import Outputs, collect, output_tensors

Array = np.ndarray[Any, np.dtype[Any]]
Batch = Mapping[str, tuple[Any, Sequence[int]]]


def frame_of(network: Network, batch: Batch, *, train: bool | None = None, step: int = 0) -> Frame:
    """Return the frame of a batch of arrays, in which values are computed at once."""
    import tensorflow as tf

    tensors = {
        key: (
            tf.convert_to_tensor(values),
            None if lengths is None else tf.constant(list(lengths), tf.int32),
        )
        for key, (values, lengths) in batch.items()
    }
    return network.frame(tensors, train=train, step=step)


def run(
    network: Network,
    batch: Batch,
    fetch: Sequence[str] = (),
    *,
    train: bool | None = None,
    step: int = 0,
    with_losses: bool = True,
) -> Outputs:
    """Return what `Network.run` returns."""
    frame = frame_of(network, batch, train=train, step=step)
    names = fetch or [n.path for n in network.outputs]
    wanted = [network.scope.get(n, "fetch") for n in names]
    found = network.losses(frame, errors=True) if with_losses else {}
    return collect(output_tensors(frame, wanted, found), wanted)


def gradients(
    network: Network, batch: Batch, *, train: bool | None = None, step: int = 0
) -> tuple[float, dict[str, Array]]:
    """Return the objective, and its gradient by parameter."""
    import tensorflow as tf

    variables = network.variables
    with tf.GradientTape() as tape:
        frame = frame_of(network, batch, train=train, step=step)
        total = losses.objective(network.losses(frame))
    found = tape.gradient(total, variables, unconnected_gradients="zero")
    return float(total), {k: tf.convert_to_tensor(g).numpy() for k, g in found.items()}


def weighted_gradients(
    network: Network, batch: Batch, layer: str, weights: Array
) -> tuple[Array, dict[str, Array], Array]:
    """Return a layer's values, and the gradients of sum(weights * values).

    weights: in canonical order, see `Output.canonical`. The gradients are by parameter, and of the
    stream `data`.
    """
    import tensorflow as tf

    data, lengths = batch["data"]
    data = tf.convert_to_tensor(data)
    variables = network.variables
    node = network.scope.get(layer, "test")
    with tf.GradientTape() as tape:
        tape.watch(data)
        frame = frame_of(network, {**batch, "data": (data, lengths)})
        out = frame.value(node)
        order = [d for d in out.dims if d.kind == "batch"]
        order += [d for d in out.dims if d is out.time_dim]
        order += [d for d in out.dims if d not in order and d is not out.feature_dim]
        order += [d for d in out.dims if d is out.feature_dim]
        values = out.ordered(order).tensor
        total = tf.reduce_sum(values * tf.cast(weights, values.dtype))
    found = tape.gradient(total, {**variables, ":data": data}, unconnected_gradients="zero")
    arrays = {k: tf.convert_to_tensor(g).numpy() for k, g in found.items()}
    return values.numpy(), arrays, arrays.pop(":data")


def random_parameters(network: Network, *, seed: int = 0, scale: float = 0.7) -> dict[str, Array]:
    """Return and set random parameters: float32, biases included."""
    rng = np.random.default_rng(seed)
    values = {
        name: (rng.standard_normal(shape) * scale).astype(np.float32)
        for name, shape in network.param_shapes().items()
    }
    network.set_params(values)
    return values


def dense(lengths: Sequence[int], dim: int, *, seed: int = 0) -> tuple[Array, list[int]]:
    """Return random values float32 [batch, time, dim], and the lengths."""
    rng = np.random.default_rng(seed)
    shape = (len(lengths), max(lengths), dim)
    return rng.standard_normal(shape).astype(np.float32), list(lengths)


def sparse(lengths: Sequence[int], dim: int, *, seed: int = 0) -> tuple[Array, list[int]]:
    """Return random labels int32 [batch, time], and the lengths."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, dim, (len(lengths), max(lengths))).astype(np.int32), list(lengths)
