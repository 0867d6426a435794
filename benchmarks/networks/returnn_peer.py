"""RETURNN's contestant."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.networks.tasks import RATE, Task, parameters
from benchmarks.returnn_network import ReturnnNetwork

THREADS = [2]


def load(threads: int) -> None:
    """Import what is needed."""
    import returnn.tf.network  # noqa: F401

    THREADS[0] = threads


def prepare(task: Task) -> Any:
    """Return a function that does the task once and gives what it found."""
    settings = {"extern_data": task.streams(), "target": "classes"}
    train = None if task.decodes and not task.train else task.train
    peer = ReturnnNetwork(task.net(), settings, THREADS[0], train=train)
    fetches = _with_loss(task, peer) if task.gives_loss else _forward(peer)
    peer.initialise(parameters)
    turn = peer.runner(fetches, task.data())

    def run() -> dict[str, Any]:
        found = turn()
        if task.gives_loss:
            return {"loss": float(found["loss"])}
        output, lengths = found["output"], found["lengths"]
        return {"output": output * (np.arange(output.shape[1]) < lengths[:, None])[..., None]}

    return run


def _with_loss(task: Task, peer: ReturnnNetwork) -> dict[str, Any]:
    labels = float(sum(task.data()["classes"][1]))
    total = peer.network.get_objective() / labels
    if not task.train:
        return {"loss": total}
    return {"loss": total, "step": peer.v1.train.AdamOptimizer(RATE).minimize(total)}


def _forward(peer: ReturnnNetwork) -> dict[str, Any]:
    data = peer.network.get_layer("output").output.copy_as_batch_major()
    return {"output": data.placeholder, "lengths": data.get_sequence_lengths()}
