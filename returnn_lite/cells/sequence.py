"""A unit over whole sequences: by its kernel where it has one, else step by step."""

from __future__ import annotations

from typing import Any

from returnn_lite import native
from returnn_lite.cells.base import Cell, Tensors
from returnn_lite.lazy import tf


def run_kernel(
    weights: tuple[Any, Any, Any],
    x: Any,
    states: Tensors,
    lengths: Any,
    *,
    sparse: bool,
    **how: Any,
) -> tuple[Any, dict[str, Any]]:
    """Return outputs [time, rows, n] and final states of an LSTM, see `native.lstm_layer`.

    weights: see `Cell.native`. x: float32 [time, rows, inputs], or int32 [time, rows] for the rows
    of the input weights. states: before the first frame, float32 [rows, n]. lengths: int32 [rows].
    how: direction, alone, low_memory, precision.
    """
    w, bias, w_re = weights
    initial = states["h"], states["c"]
    if sparse:
        how.pop("low_memory")
        y, c = native.lstm(tf.gather(w, x) + bias, w_re, lengths, initial=initial, **how)
    else:
        y, c = native.lstm_layer(x, w, bias, w_re, lengths, initial=initial, **how)
    return y, {"c": c, "h": _last(y, lengths, states["h"], how["direction"])}


def _last(y: Any, lengths: Any, initial: Any, direction: int) -> Any:
    """Return the output of the frame computed last, or that before all where there is none."""
    if direction < 0:
        last = y[0]
    else:
        frames = tf.stack([tf.maximum(lengths - 1, 0), tf.range(tf.shape(y)[1])], axis=1)
        last = tf.gather_nd(y, frames)
    return tf.where((lengths > 0)[:, None], last, initial)


def run_steps(
    cell: Cell,
    z: Any,
    states: Tensors,
    recurrent: Tensors,
    kept: Tensors,
    kept_by_step: Tensors,
    lengths: Any,
    direction: int,
) -> tuple[Any, dict[str, Any]]:
    """Return outputs [time, rows, n], zero behind the end, and final states [rows, n].

    z, states, recurrent: see `Cell.step`. kept: what is kept in all frames, [rows, n]; kept_by_step
    [time, rows, n]. lengths: int32 [rows].
    """
    if direction < 0:
        z = tf.reverse_sequence(z, lengths, seq_axis=0, batch_axis=1)
    time = tf.shape(z)[0]
    keys = list(states)

    def step(t: Any, outputs: Any, *values: Any) -> Any:
        masks = {**kept, **{k: m[t] for k, m in kept_by_step.items()}}
        before = dict(zip(keys, values, strict=True))
        y, after = cell.step(z[t], before, recurrent, masks)
        inside = (t < lengths)[:, None]
        outputs = outputs.write(t, tf.where(inside, y, 0.0))
        return t + 1, outputs, *(tf.where(inside, after[k], before[k]) for k in keys)

    units = states[keys[0]].shape[-1]
    array = tf.TensorArray(z.dtype, size=time, element_shape=[None, units])
    _, outputs, *final = tf.while_loop(
        lambda t, *_: t < time,
        step,
        (0, array, *states.values()),
        shape_invariants=(
            tf.TensorShape([]),
            tf.TensorShape(None),
            *(tf.TensorShape([None, units]) for _ in keys),
        ),
        maximum_iterations=time,
    )
    y = tf.ensure_shape(outputs.stack(), [None, None, units])
    if direction < 0:
        y = tf.reverse_sequence(y, lengths, seq_axis=0, batch_axis=1)
    return y, dict(zip(keys, final, strict=True))
