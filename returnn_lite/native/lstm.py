"""LSTM over a sequence, and one step of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from returnn_lite.lazy import tf
from returnn_lite.native import bridge, lstm_tf

Precision = Literal["float32", "bfloat16"]
WORTH_A_THREAD = 30_000_000  # recurrent multiplications, that is about a millisecond


def lstm_step(
    z: Any, w_re: Any, h: Any, c: Any, *, precision: Precision = "float32"
) -> tuple[Any, Any]:
    """Return output and cell state of one step of an LSTM: float32 [batch, n] each.

    z: float32 [batch, 4 n], the input product with bias; gates: cell input, input, forget, output.
    w_re: float32 [n, 4 n]. h, c: float32 [batch, n], output and cell state before. precision: see
    `lstm`.
    """
    return lstm_tf.lstm_step(z, w_re, h, c, precision)


def lstm(
    z: Any,
    w_re: Any,
    lengths: Any,
    *,
    initial: tuple[Any, Any] | None = None,
    direction: int = 1,
    alone: bool = True,
    precision: Precision = "float32",
) -> tuple[Any, Any]:
    """Return outputs [time, batch, n], zero behind the end, and final cell state [batch, n].

    z: float32 [time, batch, 4 n], as in `lstm_step`. lengths: int32 [batch]. initial: output and
    cell state before the first frame, float32 [batch, n]; None for zeros. direction: -1 begins at
    each sequence's own end. alone: whether no other LSTM runs at the same time; else it has half of
    the cores. precision: what the operands of all products are rounded to; sums are float32.
    """
    from cupy_kernels.lstm import LstmSaved, lstm_backward, lstm_forward
    from cupy_kernels.lstm.source import SOURCE

    if not bridge.serves(SOURCE):
        return lstm_tf.lstm(z, w_re, lengths, direction, initial, precision)
    options = _options(direction, alone, precision)

    def forward(z: Any, *state: Any) -> Any:
        y, c_final, saved = lstm_forward(z, *state, **_worth(options, z, state))
        return y, c_final, *saved

    def backward(dy: Any, dc: Any, gates: Any, cells: Any, y: Any, *state: Any) -> Any:
        saved = LstmSaved(gates, cells)
        return lstm_backward(dy, dc, saved, y, *state, **_worth(options, dy, state))

    return _lstm(forward, backward, [z], w_re, lengths, initial, again=False)


def lstm_layer(
    x: Any,
    w: Any,
    bias: Any,
    w_re: Any,
    lengths: Any,
    *,
    initial: tuple[Any, Any] | None = None,
    direction: int = 1,
    alone: bool = True,
    low_memory: bool = False,
    precision: Precision = "float32",
) -> tuple[Any, Any]:
    """Return the same as `lstm` for z = x w + bias, which is never stored.

    x: float32 [time, batch, inputs]. w: float32 [inputs, 4 n]. bias: float32 [4 n]. low_memory:
    whether the gates are computed again for the gradient, rather than kept.
    """
    from cupy_kernels import lstm as kernels
    from cupy_kernels.lstm.source import SOURCE

    if not bridge.serves(SOURCE):
        z = tf.tensordot(lstm_tf.rounded(x, precision), lstm_tf.rounded(w, precision), 1) + bias
        return lstm_tf.lstm(z, w_re, lengths, direction, initial, precision)
    options = _options(direction, alone, precision)

    def forward(*arrays: Any) -> Any:
        how = _worth(options, arrays[0], arrays[3:])
        y, c_final, saved = kernels.lstm_layer_forward(*arrays, **how)
        return y, c_final, *saved

    def backward(
        dy: Any, dc: Any, gates: Any, cells: Any, y: Any, x: Any, w: Any, bias: Any, *state: Any
    ) -> Any:
        saved = kernels.LstmSaved(gates, cells)
        how = _worth(options, dy, state)
        return kernels.lstm_layer_backward(dy, dc, saved, y, x, w, *state, **how)

    def lean_forward(*arrays: Any) -> Any:
        how = _worth(options, arrays[0], arrays[3:])
        y, c_final, states = kernels.lstm_low_memory_forward(*arrays, **how)
        return y, c_final, *states

    def lean_backward(dy: Any, dc: Any, outputs: Any, cells: Any, y: Any, *arrays: Any) -> Any:
        states = kernels.LstmStates(outputs, cells)
        how = _worth(options, dy, arrays[3:])
        return kernels.lstm_low_memory_backward(dy, dc, states, *arrays, **how)

    pair: tuple[Any, Any] = (lean_forward, lean_backward) if low_memory else (forward, backward)
    return _lstm(*pair, [x, w, bias], w_re, lengths, initial, again=True)


def _lstm(
    forward: Any,
    backward: Any,
    inputs: list[Any],
    w_re: Any,
    lengths: Any,
    initial: tuple[Any, Any] | None,
    *,
    again: bool,
) -> tuple[Any, Any]:
    """Return y and the final cells of an LSTM kernel, with its gradient.

    forward: from inputs and state to y, c_final and two saved arrays. backward: from dy, dc_final,
    the saved arrays, y, the inputs if it needs them again, and state to the gradients of the
    inputs, of w_re and of the initial output and cells.
    """
    if initial is None:
        initial = (tf.zeros([tf.shape(inputs[0])[1], w_re.shape[0]]),) * 2

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def compute(*values: Any) -> Any:
        *below, w_re, y0, c0 = values
        state = [w_re, lengths, y0, c0]
        y, c, *saved = bridge.call(forward, [*below, *state], [tf.float32] * 4)
        y.set_shape([None, None, w_re.shape[0]])
        c.set_shape([None, w_re.shape[0]])

        def gradient(dy: Any, dc: Any) -> Any:
            kinds = [tf.float32] * len(values)
            arguments = [dy, dc, *saved, y, *(below if again else ()), *state]
            found = bridge.call(backward, arguments, kinds)
            return [tf.ensure_shape(d, v.shape) for d, v in zip(found, values, strict=True)]

        return (y, c), gradient

    y, c = compute(*inputs, w_re, *initial)
    return y, c


def _options(direction: int, alone: bool, precision: Precision) -> dict[str, Any]:
    """Return a kernel's options; TensorFlow may run two of them at the same time."""
    from cupy_kernels.backend.threads import thread_count

    every = thread_count(None)
    threads = every if alone else max(1, every // 2)
    return {"direction": direction, "threads": threads, "precision": precision}


def _worth(options: dict[str, Any], x: Any, state: Sequence[Any]) -> dict[str, Any]:
    """Return options with no more threads than the work of a call is worth.

    x: [time, batch, ...]. state: w_re and what follows. Threads that work in step wait for one
    another in every frame; where TensorFlow's own threads take their cores, that is milliseconds.
    """
    n, gates = state[0].shape
    multiplications = x.shape[0] * x.shape[1] * n * gates
    return {**options, "threads": min(options["threads"], 1 + multiplications // WORTH_A_THREAD)}
