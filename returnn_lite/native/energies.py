"""Energies of additive attention."""

from __future__ import annotations

from typing import Any

from returnn_lite.lazy import tf
from returnn_lite.native import bridge

WORTH = 2**19  # numbers under the tanh: with fewer, a call of the kernel costs more than it saves


def additive_energies(keys: Any, queries: Any, v: Any) -> Any:
    """Return energies [batch, queries, time]: v . tanh(key + query) of each pair.

    keys: float32 [batch, time, size]. queries: float32 [batch, queries, size]. v: float32 [size].
    For the gradient the tanh is computed again. See `cupy_kernels.energies`.
    """
    from cupy_kernels.energies import additive_energies as forward
    from cupy_kernels.energies import additive_energies_backward as backward
    from cupy_kernels.energies.op import SOURCE

    values = keys, queries, v
    if not bridge.serves(SOURCE):
        return _energies(*values)
    numbers = tf.size(keys, tf.int64) * tf.shape(queries, tf.int64)[1]

    def choose(kernel: Any, own: Any, *arguments: Any) -> Any:
        """Return what the kernel makes of some arguments or, for few numbers, TensorFlow."""
        return tf.cond(numbers >= WORTH, lambda: kernel(*arguments), lambda: own(*arguments))

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def compute(*values: Any) -> Any:
        energies = choose(lambda *a: bridge.call(forward, a, [tf.float32])[0], _energies, *values)

        def gradient(denergies: Any) -> Any:
            found = choose(
                lambda *a: bridge.call(backward, a, [tf.float32] * 3),
                _gradients,
                denergies,
                *values,
            )
            return [tf.ensure_shape(d, x.shape) for d, x in zip(found, values, strict=True)]

        return tf.ensure_shape(energies, [keys.shape[0], queries.shape[1], keys.shape[1]]), gradient

    return compute(*values)


def _tanh(keys: Any, queries: Any) -> Any:
    """Return float32 [batch, queries, time, size]."""
    return tf.tanh(keys[:, None] + queries[:, :, None])


def _energies(keys: Any, queries: Any, v: Any) -> Any:
    return tf.linalg.matvec(_tanh(keys, queries), v)


def _gradients(denergies: Any, keys: Any, queries: Any, v: Any) -> list[Any]:
    """Return those of keys, queries and v."""
    y = _tanh(keys, queries)
    slopes = denergies[..., None] * (v * (1.0 - y * y))
    dv = tf.linalg.matvec(tf.reshape(y, [-1, tf.size(v)]), tf.reshape(denergies, [-1]), True)
    return [tf.reduce_sum(slopes, axis=1), tf.reduce_sum(slopes, axis=2), dv]
