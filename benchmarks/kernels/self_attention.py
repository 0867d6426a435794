"""Self-attention of whole sequences, forward and backward, with shifted keys and without."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.kernels.contestants import Run, tensorflow_gradients, torch_gradients
from benchmarks.kernels.contestants import tensorflow as load_tensorflow


@dataclass(frozen=True)
class SelfAttention:
    """From queries, keys and values of all heads; lengths as padded batches have them.

    clipping: of shifts of keys by distance; -1: they are by pair, None: there are none.
    """

    batch: int = 12
    frames: int = 80
    heads: int = 8
    size: int = 64
    clipping: int | None = None
    bar: float = 1.0

    def arrays(self) -> Any:
        rng = np.random.default_rng(0)
        shape = (self.batch, self.frames, self.heads * self.size)
        qkv = rng.standard_normal((*shape[:2], 3 * shape[2]), np.float32)
        by_pair = self.clipping is None or self.clipping < 0
        shifts = [self.frames, self.frames] if by_pair else [2 * self.clipping + 1]
        shift = rng.standard_normal((*shifts, self.size), np.float32)
        lengths = np.linspace(0.7 * self.frames, self.frames, self.batch).astype(np.int32)
        d_out = rng.standard_normal(shape, np.float32)
        d_out[np.arange(self.frames) >= lengths[:, None]] = 0.0
        return qkv, None if self.clipping is None else shift, lengths, d_out

    def _distances(self, clipping: int) -> Any:
        """The row of the shifts of each query and key."""
        places = np.arange(self.frames)
        return np.clip(places - places[:, None], -clipping, clipping) + clipping

    def ours(self, threads: int) -> Run:
        from cupy_kernels.self_attention import self_attention, self_attention_backward

        *values, d_out = self.arrays()
        sizes = (self.heads, self.size)

        def run() -> Any:
            saved = self_attention(*values, *sizes, threads=threads)
            return saved[0], *self_attention_backward(
                d_out, *values, *saved, *sizes, threads=threads
            )

        return run

    def pytorch(self, threads: int) -> Run:
        import torch

        torch.set_num_threads(threads)
        qkv, shift, lengths, d_out = self.arrays()
        inputs = [torch.from_numpy(x) for x in (qkv, shift) if x is not None]
        valid = torch.arange(self.frames) < torch.from_numpy(lengths)[:, None]
        mask = torch.where(valid, 0.0, -1e30)[:, None, None]

        def attend(qkv: Any, shift: Any = None) -> Any:
            columns = qkv.reshape(self.batch, self.frames, self.heads, 3, self.size)
            q, k, v = columns.permute(3, 0, 2, 1, 4)
            bias = mask
            if shift is not None:
                if shift.ndim == 2:
                    shift = shift[self._distances(len(shift) // 2)]
                bias = mask + torch.einsum("bhqd,qkd->bhqk", q * self.size**-0.5, shift)
            y = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
            return y.transpose(1, 2).reshape(d_out.shape)

        return torch_gradients(attend, inputs, torch.from_numpy(d_out))

    def tensorflow(self, threads: int) -> Run:
        tf = load_tensorflow(threads)
        qkv, shift, lengths, d_out = self.arrays()
        inputs = [tf.constant(x) for x in (qkv, shift) if x is not None]
        mask = tf.where(tf.sequence_mask(lengths, self.frames), 0.0, -1e30)[:, None, None]

        def attend(qkv: Any, shift: Any = None) -> Any:
            sizes = [self.batch, self.frames, self.heads, 3 * self.size]
            columns = tf.transpose(tf.reshape(qkv, sizes), [0, 2, 1, 3])
            q, k, v = tf.split(columns, 3, axis=-1)
            q *= self.size**-0.5
            energies = tf.matmul(q, k, transpose_b=True) + mask
            if shift is not None:
                if len(shift.shape) == 2:
                    shift = tf.gather(shift, self._distances(len(shift) // 2))
                energies += tf.einsum("bhqd,qkd->bhqk", q, shift)
            y = tf.transpose(tf.matmul(tf.nn.softmax(energies), v), [0, 2, 1, 3])
            return tf.reshape(y, d_out.shape)

        return tensorflow_gradients(tf, attend, inputs, tf.constant(d_out))


TASKS = {
    "self-attention, 80 frames, 8 heads": SelfAttention(),
    "self-attention, 120 frames, 4 heads, shifts": SelfAttention(frames=120, heads=4, clipping=-1),
    "self-attention, 120 frames, 4 heads, shifts by distance": SelfAttention(
        frames=120, heads=4, clipping=16
    ),
}
