"""Energies of additive attention."""

from __future__ import annotations

from typing import Any

from returnn_lite.lazy import tf
from returnn_lite.native import bridge


def serves_energies() -> bool:
    """Return whether a kernel makes the energies, which then stores nothing for each pair."""
    from cupy_kernels.energies.op import SOURCE

    return bridge.serves(SOURCE)


def additive_energies(keys: Any, queries: Any, v: Any) -> Any:
    """Return energies [batch, queries, time]: v . tanh(key + query) of each pair.

    keys: float32 [batch, time, size]. queries: float32 [batch, queries, size]. v: float32 [size].
    See `cupy_kernels.energies`.
    """
    from cupy_kernels.energies import additive_energies as forward
    from cupy_kernels.energies import additive_energies_backward as backward

    if not serves_energies():
        return tf.linalg.matvec(tf.tanh(keys[:, None] + queries[:, :, None]), v)

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def compute(*values: Any) -> Any:
        [energies] = bridge.call(forward, values, [tf.float32])

        def gradient(denergies: Any) -> Any:
            found = bridge.call(backward, [denergies, *values], [tf.float32] * 3)
            return [tf.ensure_shape(d, x.shape) for d, x in zip(found, values, strict=True)]

        return tf.ensure_shape(energies, [keys.shape[0], queries.shape[1], keys.shape[1]]), gradient

    return compute(keys, queries, v)
