"""Multi-head self-attention over the frames of sequences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from returnn_lite.lazy import tf
from returnn_lite.native.launch import Result, Size, launch, like, pays


@dataclass(frozen=True, kw_only=True)
class Heads:
    """What self-attention is of: its heads, and which keys their queries see.

    key_size: of a head's query and key, value_size: of its value. left_only: no later keys than the
    query's own. every_query: those behind the ends of sequences, too, whose results are else zero.
    """

    heads: int
    key_size: int
    value_size: int
    left_only: bool = False
    every_query: bool = False


def attends(qkv: Any) -> bool:
    """Return whether there is a kernel of self-attention for queries, keys and values."""
    from cupy_kernels.self_attention.op import SOURCE

    return pays(SOURCE, qkv)


def self_attention(qkv: Any, key_shift: Any | None, lengths: Any | None, of: Heads) -> Any:
    """Return float32 [batch, time, heads * value_size], where `attends`.

    qkv: float32 [batch, time, heads * (2 key_size + value_size)]: of each head query, key, value.
    key_shift: float32, which is added to the key for a query: [time, time, key_size], of each pair,
    or [2 clipping + 1, key_size], of each distance; None: nothing. lengths: int32 [batch], None:
    all frames. See `cupy_kernels.self_attention`.
    """
    from cupy_kernels.self_attention.op import SOURCE

    clipping = -1
    if key_shift is not None and len(key_shift.shape) == 2:
        clipping = key_shift.shape[0] // 2
    sizes = of.heads, of.key_size, of.value_size, int(of.left_only), int(of.every_query), clipping

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def compute(qkv: Any, *shift: Any) -> Any:
        key_shift = shift[0] if shift else None
        batch, time = Size(qkv, 0), Size(qkv, 1)
        out = Result([batch, time, of.heads * of.value_size])
        log_sums = Result([batch, of.heads, time])
        arrays = qkv, key_shift, lengths, out, log_sums
        out, log_sums = launch(SOURCE, "self_attention_forward", *arrays, batch, time, *sizes)

        def gradient(d_out: Any) -> Any:
            results = like(qkv), None if key_shift is None else like(key_shift)
            arrays = d_out, qkv, key_shift, lengths, out, log_sums, *results
            return launch(SOURCE, "self_attention_backward", *arrays, batch, time, *sizes)

        return out, gradient

    return compute(qkv) if key_shift is None else compute(qkv, key_shift)
