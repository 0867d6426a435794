"""RETURNN's contestant."""

from __future__ import annotations

from typing import Any

from benchmarks.rec.networks import Net
from benchmarks.rec.tasks import RATE, Task, parameters


def prepare(task: Task, variant: str, threads: int) -> Any:
    """Return a function that does the task once and gives what it found."""
    import returnn.tf.compat as tf_compat
    import tensorflow as tf
    from returnn.config import Config, global_config_ctx
    from returnn.tf.network import TFNetwork
    from returnn.util.basic import BackendEngine

    config = Config(
        {
            "extern_data": task.streams(),
            "backend": "tensorflow-net-dict",
            "target": task.target,
            "log_verbosity": 1,
        }
    )
    tf.Graph().as_default().__enter__()
    global_config_ctx(config).__enter__()
    BackendEngine.select_engine(config=config)
    options = tf_compat.v1.ConfigProto(
        intra_op_parallelism_threads=threads, inter_op_parallelism_threads=max(2, threads)
    )
    session = tf_compat.v1.Session(config=options)
    network = TFNetwork(config=config, train_flag=not task.search, search_flag=task.search)
    network.construct_from_dict(_as_returnn_needs_it(task, task.nets[variant]()))
    fetches = _searched(network) if task.search else _trained(task, network, tf_compat)
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
        if not task.search:
            return {"loss": float(found["loss"])}
        rows, lengths = found["labels"][:: task.beam], found["lengths"][:: task.beam]
        labels = [[int(x) for x in row[:n]] for row, n in zip(rows, lengths, strict=True)]
        return {"labels": labels, "scores": found["scores"].tolist()}

    return run


def _as_returnn_needs_it(task: Task, net: Net) -> Net:
    """Return a network with what differs there.

    Scores are not divided by lengths; `log_sigmoid` is no name in an expression; the embedding
    looks blanks up, too.
    """
    unit = net["output"].get("unit", {})
    if task.search:
        unit["output"]["length_normalization"] = False
    if "blank_log_prob" in unit:
        labels = task.classes - 1
        unit["blank_log_prob"]["eval"] = "tf.math.log_sigmoid(-source(0))"
        unit["prev_label"] = {
            "class": "eval",
            "eval": f"tf.where(tf.equal(source(0), {labels}), 0, source(0))",
            "from": "prev:output",
            "out_type": {"dim": labels, "sparse": True, "dtype": "int32"},
        }
    return net


def _trained(task: Task, network: Any, tf_compat: Any) -> dict[str, Any]:
    total = network.get_objective() / float(sum(task.data()[task.target][1]))  # per label
    step = tf_compat.v1.train.GradientDescentOptimizer(RATE).minimize(total)
    return {"loss": total, "step": step}


def _searched(network: Any) -> dict[str, Any]:
    layer = network.get_layer("output")
    data = layer.output.copy_as_batch_major()
    scores = layer.get_search_choices().beam_scores
    return {
        "labels": data.placeholder,
        "lengths": data.get_sequence_lengths(),
        "scores": scores,
    }
