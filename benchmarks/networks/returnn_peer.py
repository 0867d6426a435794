"""RETURNN's contestant."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.networks.tasks import RATE, Task, parameters

THREADS = [2]


def load(threads: int) -> None:
    """Import what is needed."""
    import returnn.tf.network  # noqa: F401

    THREADS[0] = threads


def prepare(task: Task) -> Any:
    """Return a function that does the task once and gives what it found."""
    import returnn.tf.compat as tf_compat
    import tensorflow as tf
    from returnn.config import Config, global_config_ctx
    from returnn.tf.network import TFNetwork
    from returnn.util.basic import BackendEngine

    settings = {"extern_data": task.streams(), "backend": "tensorflow-net-dict", "log_verbosity": 1}
    config = Config({**settings, "target": "classes"})
    tf.Graph().as_default().__enter__()
    global_config_ctx(config).__enter__()
    BackendEngine.select_engine(config=config)
    options = tf_compat.v1.ConfigProto(
        intra_op_parallelism_threads=THREADS[0], inter_op_parallelism_threads=max(2, THREADS[0])
    )
    session = tf_compat.v1.Session(config=options)
    train = task.train or (task.decodes and tf_compat.v1.placeholder_with_default(False, ()))
    network = TFNetwork(config=config, train_flag=train)
    network.construct_from_dict(task.net())
    fetches = _with_loss(task, network, tf_compat) if task.gives_loss else _forward(network)
    session.run(tf_compat.v1.global_variables_initializer())
    variables = {p.op.name: p for p in network.get_params_list()}
    values = parameters({k: tuple(v.shape.as_list()) for k, v in variables.items()})
    for name, variable in variables.items():
        variable.load(values[name], session)
    feed = {}
    for key, (array, lengths) in task.data().items():
        data = network.extern_data.data[key]
        feed |= {data.placeholder: array, data.get_sequence_lengths(): lengths}

    def run() -> dict[str, Any]:
        found = session.run(fetches, feed)
        if task.gives_loss:
            return {"loss": float(found["loss"])}
        output, lengths = found["output"], found["lengths"]
        return {"output": output * (np.arange(output.shape[1]) < lengths[:, None])[..., None]}

    return run


def _with_loss(task: Task, network: Any, tf_compat: Any) -> dict[str, Any]:
    labels = float(sum(task.data()["classes"][1]))
    total = network.get_objective() / labels
    if not task.train:
        return {"loss": total}
    return {"loss": total, "step": tf_compat.v1.train.AdamOptimizer(RATE).minimize(total)}


def _forward(network: Any) -> dict[str, Any]:
    data = network.get_layer("output").output.copy_as_batch_major()
    return {"output": data.placeholder, "lengths": data.get_sequence_lengths()}
