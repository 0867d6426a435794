"""Our contestant."""

from __future__ import annotations

import os
from typing import Any

from benchmarks.kernels.contestants import tensorflow
from benchmarks.networks.tasks import RATE, Task, parameters


def load(threads: int) -> None:
    """Import what is needed."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    tensorflow(threads, as_numpy=False)
    import returnn_lite.network  # noqa: F401


def prepare(task: Task) -> Any:
    """Return a function that does the task once and gives what it found."""
    from returnn_lite.network import Network

    net = Network(task.net(), extern_data=task.streams(), train=task.train)
    net.set_params(parameters(net.param_shapes()))
    return _with_loss(task, net) if task.gives_loss else _forward(task, net)


def _forward(task: Task, net: Any) -> Any:
    batch = task.data()
    return lambda: {"output": net.run(batch, ["output"])["output"].canonical()}


def _with_loss(task: Task, net: Any) -> Any:
    """Return the loss of a batch; a training step is as that of `returnn_lite.engine.trainer`."""
    import tensorflow as tf

    from returnn_lite import losses
    from returnn_lite.engine.optimizer import Adam
    from returnn_lite.engine.options import AdamOptions

    batch = {k: (tf.constant(x), tf.constant(n, tf.int32)) for k, (x, n) in task.data().items()}
    adam = Adam(net.variables, AdamOptions()) if task.train else None
    keys = list(batch)

    def loss(tensors: Any) -> tuple[Any, Any]:
        pairs = zip(tensors[::2], tensors[1::2], strict=True)
        frame = net.frame(dict(zip(keys, pairs, strict=True)))
        return losses.objective(net.losses(frame)), frame.run.updates

    @tf.function(autograph=False)
    def step(*tensors: Any) -> Any:
        if adam is None:
            return loss(tensors)[0]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(list(adam.variables.values()))
            total, updates = loss(tensors)
        gradients = tape.gradient(total, adam.variables)
        for name, value in updates.items():
            net.variables[name].assign(value)
        adam.apply({n: tf.convert_to_tensor(g) for n, g in gradients.items()}, RATE)
        return total

    flat = [x for pair in batch.values() for x in pair]
    return lambda: {"loss": float(step(*flat).numpy())}
