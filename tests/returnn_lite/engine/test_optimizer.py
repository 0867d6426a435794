"""Adam: against its algorithm in numpy."""

from __future__ import annotations

import numpy as np

from returnn_lite.engine.optimizer import Adam
from returnn_lite.engine.options import AdamOptions


def test_adam_is_algorithm_1_of_the_paper() -> None:
    import tensorflow as tf

    rng = np.random.default_rng(0)
    start = {"a": rng.standard_normal((3, 2)), "b": rng.standard_normal(4)}
    variables = {k: tf.Variable(v.astype(np.float32)) for k, v in start.items()}
    frozen = tf.Variable([1.0], trainable=False)
    options = AdamOptions(beta1=0.8, beta2=0.99, epsilon=1e-4)
    adam = Adam({**variables, "frozen": frozen}, options)
    moments = {k: (np.zeros_like(v), np.zeros_like(v)) for k, v in start.items()}
    for step in range(1, 6):
        rate = 0.1 / step
        gradients = {k: rng.standard_normal(v.shape) for k, v in start.items()}
        adam.apply({k: tf.constant(g, tf.float32) for k, g in gradients.items()}, rate)
        for key, g in gradients.items():
            m, v = moments[key]
            m, v = 0.8 * m + 0.2 * g, 0.99 * v + 0.01 * g**2
            moments[key] = m, v
            # With epsilon as in TensorFlow and RETURNN ("epsilon hat" of the paper).
            scale = rate * np.sqrt(1 - 0.99**step) / (1 - 0.8**step)
            start[key] = start[key] - scale * m / (np.sqrt(v) + 1e-4)
    for key, needed in start.items():
        np.testing.assert_allclose(variables[key].numpy(), needed, rtol=1e-4, atol=1e-5)
    assert "frozen" not in adam.variables
    assert set(adam.slots) == {
        *("beta1_power", "beta2_power", "a/Adam", "a/Adam_1", "b/Adam", "b/Adam_1"),
    }
    np.testing.assert_allclose(adam.slots["beta1_power"].numpy(), 0.8**6, rtol=1e-5)
