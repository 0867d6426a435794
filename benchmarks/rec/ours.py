"""Our contestant."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from benchmarks.kernels.contestants import tensorflow
from benchmarks.rec.tasks import RATE, Task, parameters


def prepare(task: Task, variant: str, threads: int) -> Any:
    """Return a function that does the task once and gives what it found."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    tensorflow(threads, as_numpy=False)
    from returnn_lite.network import Network

    net = Network(
        task.nets[variant](),
        extern_data=task.streams(),
        train=not task.search,
        search=task.search,
        config={"target": task.target},
    )
    net.set_params(parameters(net.param_shapes()))
    return _search(task, net) if task.search else _training_step(task, net)


def _search(task: Task, net: Any) -> Any:
    batch = task.data()

    def run() -> dict[str, Any]:
        found = net.run(batch, ["output"]).search
        labels = [[int(x) for x in row[:n]] for row, n in zip(*_best(found), strict=True)]
        return {"labels": labels, "scores": np.asarray(found.scores).tolist()}

    return run


def _best(found: Any) -> tuple[Any, Any]:
    return found.labels[:, 0], found.lengths[:, 0]


def _training_step(task: Task, net: Any) -> Any:
    import tensorflow as tf

    from returnn_lite import losses

    batch = {k: (tf.constant(x), tf.constant(n, tf.int32)) for k, (x, n) in task.data().items()}
    variables = list(net.variables.values())

    @tf.function(autograph=False)
    def step() -> Any:
        with tf.GradientTape() as tape:
            total = losses.objective(net.losses(net.frame(batch)))
        for variable, gradient in zip(variables, tape.gradient(total, variables), strict=True):
            if isinstance(gradient, tf.IndexedSlices):
                slices = tf.IndexedSlices(RATE * gradient.values, gradient.indices)
                variable.scatter_sub(slices)
            else:
                variable.assign_sub(RATE * gradient)
        return total

    return lambda: {"loss": float(step().numpy())}
