"""Layers of LSTMs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.kernels.contestants import Run, cupy_run, on_gpu, tensorflow, torch_run


@dataclass(frozen=True)
class Blstm:
    """A bidirectional layer, forward and backward, with the products of its input."""

    units: int
    batch: int = 20
    time: int = 200
    precision: str = "float32"  # of the operands of products
    bar: float = 1.5
    gpu_bar: float = 1.0

    def arrays(self) -> tuple[Any, Any]:
        """Input, and the gradient of the output."""
        rng = np.random.default_rng(0)
        shape = (self.time, self.batch, self.units)
        return (
            rng.standard_normal(shape, np.float32),
            rng.standard_normal((*shape[:2], 2 * self.units), np.float32),
        )

    def weights(self) -> tuple[Any, Any]:
        rng = np.random.default_rng(1)
        shape = (self.units, 4 * self.units)
        return tuple(rng.standard_normal(shape, np.float32) / self.units**0.5 for _ in range(2))

    def ours(self, threads: int) -> Run:
        """One thread per direction."""
        from cupy_kernels.lstm import lstm_layer_backward, lstm_layer_forward

        x, dy = self.arrays()
        w, w_re = self.weights()
        bias = np.zeros(4 * self.units, np.float32)
        zeros = np.zeros((self.batch, self.units), np.float32)
        state = (w_re, np.full(self.batch, self.time, np.int32), zeros, zeros)
        gradient = {1: dy[..., : self.units].copy(), -1: dy[..., self.units :].copy()}
        each = max(1, threads // 2)

        def one(direction: int) -> Any:
            options: Any = {"direction": direction, "precision": self.precision, "threads": each}
            y, _, saved = lstm_layer_forward(x, w, bias, *state, **options)
            arrays = (gradient[direction], zeros, saved, y, x, w, *state)
            return lstm_layer_backward(*arrays, **options)

        if threads == 1:
            return lambda: [one(1), one(-1)]
        pool = ThreadPoolExecutor(2)
        return lambda: list(pool.map(one, (1, -1)))

    def pytorch(self, threads: int) -> Run:
        """All of it in the precision of the task."""
        import torch

        torch.set_num_threads(threads)
        dtype = getattr(torch, self.precision)
        x, dy = (torch.from_numpy(a).to(dtype) for a in self.arrays())
        x.requires_grad_()
        layer = torch.nn.LSTM(self.units, self.units, bidirectional=True, dtype=dtype)

        def run() -> None:
            layer.zero_grad()
            x.grad = None
            layer(x)[0].backward(dy)

        return run


@dataclass(frozen=True)
class Float32(Blstm):
    """The peers that have no other precision, too."""

    def ours_products_alone(self, threads: int) -> Run:
        """No LSTM: its matrix products, by numpy's library and each in one piece.

        The recurrent ones cannot be had in one piece, so no float32 LSTM comes below this time.
        """
        rows = self.arrays()[0].reshape(-1, self.units)
        matrices = self.weights() * 2  # of the input and of the recurrence, in both directions
        dz = np.repeat(rows, 4, axis=1)

        def run() -> None:
            for w in matrices:
                rows @ w, dz @ w.T, rows.T @ dz

        return run

    def ours_and_tensorflow(self, threads: int) -> Run:
        """The input's products by TensorFlow, the recurrence by the kernel."""
        tf = tensorflow(max(1, threads // 2))
        from cupy_kernels.lstm import lstm_backward, lstm_forward

        x, dy = self.arrays()
        w, w_re = self.weights()
        rows = tf.constant(x.reshape(-1, self.units))
        zeros = np.zeros((self.batch, self.units), np.float32)
        state = (w_re, np.full(self.batch, self.time, np.int32), zeros, zeros)
        gradient = {1: dy[..., : self.units].copy(), -1: dy[..., self.units :].copy()}

        def one(direction: int) -> list[Any]:
            options = {"direction": direction, "threads": max(1, threads // 2)}
            z = tf.matmul(rows, w).numpy().reshape(*x.shape[:2], -1)
            y, _, saved = lstm_forward(z, *state, **options)
            dz, *_ = lstm_backward(gradient[direction], zeros, saved, y, *state, **options)
            dz_rows = tf.constant(dz.reshape(-1, 4 * self.units))
            dx, dw = tf.matmul(dz_rows, w, transpose_b=True), tf.matmul(rows.T, dz_rows)
            return [grad.numpy() for grad in (dx, dw, tf.reduce_sum(dz_rows, 0))]

        if threads == 1:
            return lambda: [one(1), one(-1)]
        pool = ThreadPoolExecutor(2)
        return lambda: list(pool.map(one, (1, -1)))

    def gpu_ours(self, threads: int) -> Run:
        """Each direction in a stream of its own."""
        x, dy = on_gpu(*self.arrays())
        w, w_re = on_gpu(*self.weights())
        import cupy

        from cupy_kernels.lstm import lstm_layer_backward, lstm_layer_forward

        zeros = np.zeros((self.batch, self.units), np.float32)
        bias, lengths = np.zeros(4 * self.units, np.float32), np.full(self.batch, self.time)
        bias, lengths, zeros = on_gpu(bias, lengths.astype(np.int32), zeros)
        state = (w_re, lengths, zeros, zeros)
        gradient = {1: dy[..., : self.units].copy(), -1: dy[..., self.units :].copy()}

        streams = {1: cupy.cuda.Stream(non_blocking=True), -1: cupy.cuda.Stream(non_blocking=True)}
        cupy.cuda.Device().synchronize()

        def run() -> None:
            saved = {}
            for d, stream in streams.items():
                with stream:
                    saved[d] = lstm_layer_forward(x, w, bias, *state, direction=d)
            for d, stream in streams.items():
                with stream:
                    y, _, kept = saved[d]
                    lstm_layer_backward(gradient[d], zeros, kept, y, x, w, *state, direction=d)

        return cupy_run(run)

    def gpu_pytorch(self, threads: int) -> Run:
        """cuDNN."""
        import torch

        x, dy = map(torch.from_numpy, self.arrays())
        layer = torch.nn.LSTM(self.units, self.units, bidirectional=True)

        def run() -> None:
            layer.zero_grad()
            x.grad = None
            layer(x)[0].backward(dy)

        synchronised = torch_run(run)
        x, dy, layer = x.cuda().requires_grad_(), dy.cuda(), layer.cuda()
        return synchronised

    def gpu_pytorch_float32(self, threads: int) -> Run:
        """cuDNN in float32, as we are; by default PyTorch lets it round products to TF32."""
        run = self.gpu_pytorch(threads)
        import torch

        torch.backends.cudnn.allow_tf32 = False
        return run

    def keras(self, threads: int) -> Run:
        tf = tensorflow(threads)
        x, dy = (tf.constant(a.transpose(1, 0, 2)) for a in self.arrays())
        lstm = tf.keras.layers.LSTM(self.units, return_sequences=True, use_cudnn=False)
        layer = tf.keras.layers.Bidirectional(lstm)
        layer.build(x.shape)

        @tf.function
        def run() -> Any:
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = layer(x)
            return tape.gradient(y, [x, *layer.trainable_variables], output_gradients=dy)

        return lambda: [g.numpy() for g in run()]

    def block_lstm(self, threads: int) -> Run:
        tf = tensorflow(threads)
        x, dy = map(tf.constant, self.arrays())
        w = tf.Variable(np.concatenate(self.weights()))
        bias, zeros = tf.Variable(tf.zeros(4 * self.units)), tf.zeros((self.batch, self.units))
        peephole = tf.zeros(self.units)

        def one(inputs: Any) -> Any:
            return tf.raw_ops.BlockLSTMV2(
                seq_len_max=self.time, x=inputs, cs_prev=zeros, h_prev=zeros, w=w, b=bias,
                wci=peephole, wcf=peephole, wco=peephole, cell_clip=0.0, use_peephole=False,
            ).h  # fmt: skip

        @tf.function
        def run() -> Any:
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = tf.concat([one(x), tf.reverse(one(tf.reverse(x, [0])), [0])], -1)
            return tape.gradient(y, [x, w, bias], output_gradients=dy)

        return lambda: [g.numpy() for g in run()]


@dataclass(frozen=True)
class Bfloat16(Blstm):
    """Arrays are float32 for us, bfloat16 for PyTorch, or float32 under its autocast."""

    precision: str = "bfloat16"
    bar: float = 1.0

    def pytorch_autocast(self, threads: int) -> Run:
        """Parameters and input float32, as for us."""
        import torch

        torch.set_num_threads(threads)
        x, dy = map(torch.from_numpy, self.arrays())
        x.requires_grad_()
        layer = torch.nn.LSTM(self.units, self.units, bidirectional=True)

        def run() -> None:
            layer.zero_grad()
            x.grad = None
            with torch.autocast("cpu", dtype=torch.bfloat16):
                y = layer(x)[0]
            y.backward(dy.to(y.dtype))

        return run


TASKS = {
    "blstm 500": Float32(500),
    "blstm 1024, batch 64": Float32(1024, batch=64),
    "blstm 500, batch 1": Float32(500, batch=1),
    "blstm 256": Float32(256),
    "blstm 128": Float32(128),
    "blstm 64": Float32(64),
    "blstm 500, bfloat16": Bfloat16(500),
    "blstm 500, batch 1, bfloat16": Bfloat16(500, batch=1),
    "blstm 64, bfloat16": Bfloat16(64),
}
