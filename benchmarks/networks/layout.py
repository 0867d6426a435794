"""The tutorial's layout experiment: a ResNet's training step by layout and normalisation.

Written with TensorFlow alone: what a layout costs, not what a layer does with it. TensorFlow's own
convolutions on a processor take NCHW only where oneDNN has them.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

from benchmarks.kernels.contestants import tensorflow

BATCH, TIME, FREQUENCIES, FILTERS, STAGES, BLOCKS, CLASSES = 6, 80, 40, 32, 4, 2, 1000
VARIANTS = {  # as the tutorial has them: fused normalisation, layout, final pooling
    "NHWC, pool": (False, "NHWC", "pool"),
    "NCHW, pool": (False, "NCHW", "pool"),
    "NHWC, fused, mean": (True, "NHWC", "mean"),
    "NCHW, fused, mean": (True, "NCHW", "mean"),
}


class ResNet:
    """A ResNet over images [batch, time, frequencies, 1] or, for NCHW, [batch, 1, ...]."""

    def __init__(self, tf: Any, fused: bool, layout: str, pooling: str):
        self.tf, self.fused, self.layout, self.pooling = tf, fused, layout, pooling
        self.axis = 3 if layout == "NHWC" else 1
        self.variables: list[Any] = []
        self.made = 0

    def _variable(self, shape: tuple[int, ...], value: float | None = None) -> Any:
        """Return the next parameter, made where there is none yet."""
        if self.made == len(self.variables):
            deviation = (2 / max(1, shape[0] * shape[1] * shape[2])) ** 0.5 if value is None else 0
            first = self.tf.random.stateless_normal(shape, [1, self.made], value or 0.0, deviation)
            self.variables.append(self.tf.Variable(first))
        self.made += 1
        return self.variables[self.made - 1]

    def _convolved(self, x: Any, filters: int, size: int, stride: int) -> Any:
        """Return a convolution and its normalisation."""
        tf, inputs = self.tf, x.shape[self.axis]
        strides = [1, 1, 1, 1]
        strides[2 if self.layout == "NHWC" else 3] = stride
        w = self._variable((size, size, inputs, filters))
        y = tf.nn.conv2d(x, w, strides, "SAME", data_format=self.layout)
        gamma, beta = self._variable((filters,), 1.0), self._variable((filters,), 0.0)
        if self.fused:
            options: dict[str, Any] = {"epsilon": 1e-3, "data_format": self.layout}
            return tf.raw_ops.FusedBatchNormV3(
                x=y, scale=gamma, offset=beta, mean=[], variance=[], **options
            ).y
        mean, variance = tf.nn.moments(y, [0, 1, 2, 3][: self.axis] + [2, 3][: 3 - self.axis])
        shape = [1, -1, 1, 1] if self.axis == 1 else [-1]
        mean, variance, gamma, beta = (tf.reshape(v, shape) for v in (mean, variance, gamma, beta))
        return tf.nn.batch_normalization(y, mean, variance, beta, gamma, 1e-3)

    def _block(self, x: Any, filters: int, stride: int) -> Any:
        """Return two convolutions, and what goes around them."""
        y = self.tf.nn.relu(self._convolved(x, filters, 3, stride))
        y = self._convolved(y, filters, 3, 1)
        changes = stride > 1 or x.shape[self.axis] != filters
        return self.tf.nn.relu(y + (self._convolved(x, filters, 1, stride) if changes else x))

    def __call__(self, x: Any) -> Any:
        """Return logits [batch, time, classes]."""
        self.made = 0
        tf = self.tf
        x = tf.nn.relu(self._convolved(x, FILTERS, 3, 1))
        for stage in range(STAGES):
            for block in range(BLOCKS):
                x = self._block(x, FILTERS * 2**stage, 2 if stage and not block else 1)
        frequencies = 2 if self.layout == "NHWC" else 3
        if self.pooling == "mean":
            x = tf.reduce_mean(x, frequencies)
        else:
            window = [1, 1, 1, 1]
            window[frequencies] = x.shape[frequencies]
            x = tf.squeeze(tf.nn.avg_pool2d(x, window, window, "VALID", self.layout), frequencies)
        x = x if self.layout == "NHWC" else tf.transpose(x, [0, 2, 1])
        return tf.matmul(x, self._variable((1, 1, x.shape[2], CLASSES))[0, 0])


def _step(tf: Any, net: ResNet) -> Any:
    """Return a training step, a function without arguments."""
    shape = [BATCH, TIME, FREQUENCIES]
    x = tf.expand_dims(tf.random.stateless_normal(shape, [1, 2]), net.axis)
    labels = tf.zeros(shape[:2], tf.int32)
    net(x)

    @tf.function(autograph=False)
    def step() -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=net(x))
            )
        for variable, gradient in zip(
            net.variables, tape.gradient(loss, net.variables), strict=True
        ):
            variable.assign_sub(1e-3 * gradient)
        return loss

    return step


def measure(threads: int, rounds: int) -> list[dict[str, Any]]:
    """Print a table of the variants, which take turns; return its rows."""
    tf = tensorflow(threads, as_numpy=False)
    steps = {}
    for name, (fused, layout, pooling) in VARIANTS.items():
        step = _step(tf, ResNet(tf, fused, layout, pooling))
        try:
            step()
            steps[name] = step
        except (tf.errors.UnimplementedError, tf.errors.InvalidArgumentError) as error:
            print(f"{name} left out: {error.message[:100]}")
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            begun = time.perf_counter()
            step().numpy()
            times[name].append(time.perf_counter() - begun)
    device = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    first = statistics.median(next(iter(times.values())))
    print(f"ResNet training step by layout, {device}\n  {'':18}   median     best  ratio")
    for name, values in times.items():
        median = statistics.median(values)
        print(f"  {name:18}{median:9.4f} {min(values):8.4f} {first / median:6.2f}")
    return [
        {"name": f"layout, {device}, {n}", "ours": statistics.median(v), "best": min(v)}
        for n, v in times.items()
    ]
