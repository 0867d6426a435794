"""Adam, with its state as plain variables, so that a checkpoint holds all of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from returnn_lite.engine.options import AdamOptions
from returnn_lite.lazy import tf


class Adam:
    """Adam over named variables. slots: its state, {name: tf.Variable}, for checkpoints."""

    def __init__(self, variables: Mapping[str, Any], options: AdamOptions):
        self.variables = {n: v for n, v in variables.items() if v.trainable}
        self.options = options
        self.slots: dict[str, Any] = {
            "beta1_power": tf.Variable(options.beta1, name="beta1_power", trainable=False),
            "beta2_power": tf.Variable(options.beta2, name="beta2_power", trainable=False),
        }
        for name, variable in self.variables.items():
            for slot in ("Adam", "Adam_1"):
                zeros = tf.zeros(variable.shape)
                self.slots[f"{name}/{slot}"] = tf.Variable(zeros, trainable=False)

    def apply(self, gradients: Mapping[str, Any], learning_rate: Any) -> Any:
        """Change every variable by its gradient; returns an operation that does all of it."""
        beta1, beta2 = self.slots["beta1_power"], self.slots["beta2_power"]
        for name, gradient in gradients.items():
            tf.raw_ops.ResourceApplyAdam(
                var=self.variables[name].handle,
                m=self.slots[f"{name}/Adam"].handle,
                v=self.slots[f"{name}/Adam_1"].handle,
                beta1_power=beta1,
                beta2_power=beta2,
                lr=learning_rate,
                beta1=self.options.beta1,
                beta2=self.options.beta2,
                epsilon=self.options.epsilon,
                grad=gradient,
            )
        beta1.assign(beta1 * self.options.beta1)
        beta2.assign(beta2 * self.options.beta2)
        return tf.no_op()
