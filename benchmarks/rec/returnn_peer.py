"""RETURNN's contestant."""

from __future__ import annotations

from typing import Any

from benchmarks.rec.networks import Net
from benchmarks.rec.tasks import RATE, Task, parameters
from benchmarks.returnn_network import ReturnnNetwork


def prepare(task: Task, variant: str, threads: int) -> Any:
    """Return a function that does the task once and gives what it found."""
    net = _as_returnn_needs_it(task, task.nets[variant]())
    settings = {"extern_data": task.streams(), "target": task.target}
    peer = ReturnnNetwork(net, settings, threads, train=not task.search, search=task.search)
    fetches = _searched(peer) if task.search else _trained(task, peer)
    peer.initialise(parameters)
    turn = peer.runner(fetches, task.data())

    def run() -> dict[str, Any]:
        found = turn()
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


def _trained(task: Task, peer: ReturnnNetwork) -> dict[str, Any]:
    total = peer.network.get_objective() / float(sum(task.data()[task.target][1]))  # per label
    return {"loss": total, "step": peer.v1.train.GradientDescentOptimizer(RATE).minimize(total)}


def _searched(peer: ReturnnNetwork) -> dict[str, Any]:
    layer = peer.network.get_layer("output")
    data = layer.output.copy_as_batch_major()
    scores = layer.get_search_choices().beam_scores
    return {
        "labels": data.placeholder,
        "lengths": data.get_sequence_lengths(),
        "scores": scores,
    }
