"""RETURNN's training step of `training_step.py`: a step for each line of the standard input.

python returnn_step.py <unit> <threads> <units>
"""

from __future__ import annotations

import sys
from typing import Any


def main(unit: str, threads: int, units: int) -> None:
    """Say `done` after each step."""
    import returnn.tf.compat as tf_compat
    import tensorflow as tf
    from returnn.config import Config, global_config_ctx
    from returnn.tensor import Dim
    from returnn.tf.network import TFNetwork
    from returnn.util.basic import BackendEngine
    from training_step import RATE, TrainingStep, layers

    task = TrainingStep(units=units)
    time = Dim(None, name="time", kind=Dim.Types.Spatial)
    streams: dict[str, Any] = {
        "data": {"dim": task.inputs, "same_dim_tags_as": {"t": time}},
        "classes": {"dim": task.classes, "sparse": True, "same_dim_tags_as": {"t": time}},
    }
    config = Config({"extern_data": streams, "backend": "tensorflow-net-dict"})
    options = tf_compat.v1.ConfigProto(
        intra_op_parallelism_threads=threads, inter_op_parallelism_threads=max(2, threads)
    )
    with (
        global_config_ctx(config),
        tf.Graph().as_default(),
        tf_compat.v1.Session(config=options) as session,
    ):
        BackendEngine.select_engine(config=config)
        network = TFNetwork(config=config, train_flag=True)
        network.construct_from_dict(layers(task.depth, task.units, unit))
        total = network.get_objective()
        step = tf_compat.v1.train.GradientDescentOptimizer(RATE).minimize(total)
        session.run(tf_compat.v1.global_variables_initializer())
        feed = {}
        for key, values in zip(("data", "classes"), task.arrays(), strict=True):
            data = network.extern_data.data[key]
            feed[data.placeholder] = values
            feed[data.get_sequence_lengths()] = [task.time] * task.batch
        for _ in sys.stdin:
            session.run(step, feed)
            print("done", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
