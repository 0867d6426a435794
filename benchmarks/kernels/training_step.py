"""A training step of the tutorial's benchmark: 5 bidirectional LSTMs, frame-wise cross-entropy."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.kernels.contestants import Run, tensorflow
from benchmarks.returnn_network import ReturnnNetwork

RATE = 1e-3  # of plain gradient descent


def layers(depth: int, units: int, unit: str) -> dict[str, Any]:
    """Return the network dict, for us and for RETURNN."""
    net: dict[str, Any] = {}
    source = ["data"]
    for i in range(depth):
        lstm = {"class": "rec", "unit": unit, "n_out": units, "from": source}
        net |= {f"fw{i}": {**lstm, "direction": 1}, f"bw{i}": {**lstm, "direction": -1}}
        source = [f"fw{i}", f"bw{i}"]
    net["output"] = {"class": "softmax", "from": source, "loss": "ce", "target": "classes"}
    return net


@dataclass(frozen=True)
class TrainingStep:
    """Forward, loss, backward, and the update of all parameters."""

    units: int = 500
    depth: int = 5
    batch: int = 20
    time: int = 200
    inputs: int = 40
    classes: int = 100
    bar: float = 1.5

    def arrays(self) -> tuple[Any, Any]:
        """x [batch, time, inputs] and classes [batch, time]."""
        rng = np.random.default_rng(0)
        shape = (self.batch, self.time)
        x = rng.standard_normal((*shape, self.inputs), np.float32)
        return x, rng.integers(0, self.classes, shape, np.int32)

    def ours(self, threads: int) -> Run:
        os.environ["OMP_NUM_THREADS"] = str(threads)
        tf = tensorflow(threads)
        from returnn_lite import losses
        from returnn_lite.network import Network

        streams = {
            "data": {"dim": self.inputs},
            "classes": {"dim": self.classes, "sparse": True, "same_dim_tags_as": {"t": "data"}},
        }
        net = Network(
            layers(self.depth, self.units, "nativelstm2"), extern_data=streams, train=True
        )
        lengths = tf.constant([self.time] * self.batch)
        x, classes = map(tf.constant, self.arrays())
        variables = list(net.variables.values())

        @tf.function(autograph=False)
        def step() -> Any:
            with tf.GradientTape() as tape:
                frame = net.frame({"data": (x, lengths), "classes": (classes, lengths)})
                total = losses.objective(net.losses(frame))
            for variable, gradient in zip(variables, tape.gradient(total, variables), strict=True):
                variable.assign_sub(RATE * gradient)
            return total

        return lambda: step().numpy()

    def keras(self, threads: int) -> Run:
        tf = tensorflow(threads)
        x, classes = map(tf.constant, self.arrays())
        k = tf.keras.layers
        model = tf.keras.Sequential(
            [
                *(
                    k.Bidirectional(k.LSTM(self.units, return_sequences=True, use_cudnn=False))
                    for _ in range(self.depth)
                ),
                k.Dense(self.classes),
            ]
        )
        model.build(x.shape)

        @tf.function
        def step() -> Any:
            with tf.GradientTape() as tape:
                loss = tf.nn.sparse_softmax_cross_entropy_with_logits(classes, model(x))
                total = tf.reduce_mean(loss)
            variables = model.trainable_variables
            for variable, gradient in zip(variables, tape.gradient(total, variables), strict=True):
                variable.assign_sub(RATE * gradient)
            return total

        return lambda: step().numpy()

    def pytorch(self, threads: int) -> Run:
        import torch

        torch.set_num_threads(threads)
        x, classes = map(torch.from_numpy, self.arrays())
        x, classes = x.transpose(0, 1).contiguous(), classes.T.long()
        lstm = torch.nn.LSTM(self.inputs, self.units, num_layers=self.depth, bidirectional=True)
        last = torch.nn.Linear(2 * self.units, self.classes)
        optimiser = torch.optim.SGD([*lstm.parameters(), *last.parameters()], RATE)

        def run() -> None:
            optimiser.zero_grad()
            logits = last(lstm(x)[0])
            torch.nn.functional.cross_entropy(logits.flatten(0, 1), classes.flatten()).backward()
            optimiser.step()

        return run

    def returnn_nativelstm2(self, threads: int) -> Run:
        return self._returnn(threads, "nativelstm2")

    def returnn_lstmblockfused(self, threads: int) -> Run:
        return self._returnn(threads, "lstmblockfused")

    def returnn_standardlstm(self, threads: int) -> Run:
        return self._returnn(threads, "standardlstm")

    def _returnn(self, threads: int, unit: str) -> Run:
        from returnn.tensor import Dim

        time = Dim(None, name="time", kind=Dim.Types.Spatial)
        streams = {
            "data": {"dim": self.inputs, "same_dim_tags_as": {"t": time}},
            "classes": {"dim": self.classes, "sparse": True, "same_dim_tags_as": {"t": time}},
        }
        net = layers(self.depth, self.units, unit)
        peer = ReturnnNetwork(net, {"extern_data": streams}, threads, train=True)
        total = peer.network.get_objective()
        step = peer.v1.train.GradientDescentOptimizer(RATE).minimize(total)
        peer.initialise()
        lengths = [self.time] * self.batch
        batch = {k: (x, lengths) for k, x in zip(streams, self.arrays(), strict=True)}
        return peer.runner({"step": step}, batch)


TASKS = {
    "5 x blstm 500 training step": TrainingStep(),
    "5 x blstm 128 training step": TrainingStep(units=128),
}
