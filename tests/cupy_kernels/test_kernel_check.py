"""Every operation names what it cannot work with, whatever the argument; none crashes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import cupy_kernels
from cupy_kernels import (
    activation,
    align,
    batch_norm,
    chunk,
    conv,
    conv2d,
    ctc,
    depthwise,
    edit,
    energies,
    fsa,
    layer_norm,
    linear,
    lstm,
    lstm2d,
    pool,
    self_attention,
    transducer,
)
from cupy_kernels.check import ArgumentError


class Call(NamedTuple):
    """An operation with arguments that it can work with."""

    function: Callable[..., Any]
    arrays: list[Any]
    options: dict[str, Any] = {}  # noqa: RUF012 - never changed


def _floats(*shape: int) -> Any:
    return np.random.default_rng(0).standard_normal(shape, np.float32)


FRAMES, COUNTS = np.array([6, 5], np.int32), np.array([3, 2], np.int32)
LABELS = np.array([[1, 2, 2], [3, 1, 0]], np.int32)
SEQUENCES = [FRAMES, LABELS, COUNTS]
PAIRS = [LABELS, COUNTS, LABELS, COUNTS]
STATE = [_floats(4, 16), FRAMES, _floats(2, 4), _floats(2, 4)]
D_OUT = [_floats(6, 2, 4), _floats(2, 4)]
LAYER = [_floats(6, 2, 3), _floats(3, 16), _floats(16), *STATE]
JOINT = [_floats(2, 6, 7), _floats(2, 4, 7), _floats(7, 5), _floats(5), *SEQUENCES]
ROW = edit.first_edit_distance_row(COUNTS, 3)
CHUNKS = {"chunk_size": 3, "chunk_step": 2}
RNNT = {"blank": 4, "topology": "rnnt"}
CTC = fsa.ctc_automaton(LABELS, COUNTS, blank=4)
STEPS = [_floats(2, 6, 4), _floats(2, 6, 3)]
ENERGIES = [_floats(2, 6, 4), _floats(2, 3, 4), _floats(4), FRAMES]
AFFINE = [_floats(2, 6, 3), _floats(3, 4), _floats(4), FRAMES]
IMAGES, FILTERS = [_floats(2, 4, 6, 3), _floats(2, 4, 6, 5)], _floats(3, 3, 3, 5)
QKV = [_floats(2, 6, 26), _floats(6, 6, 4), FRAMES]  # two heads of 4, 4 and 5
WINDOWS = {"before": (1, 1), "size": (4, 6)}
MOVES = {"windows": conv2d.Windows(**WINDOWS)}
BIAS, ROWS = _floats(5), ("lengths", "tops")
TOPS = [np.array([4, 2], np.int32), np.array([0, 1], np.int32)]
HALVES = [_floats(2, 6, 4, 3), FRAMES, np.zeros(2, np.int32)]
POOLING: dict[str, Any] = {"mode": "max", "window": (2, 2), "strides": (2, 2), "left": 0}
HEADS = {"heads": 2, "key_size": 4}
SQUARES = [_floats(4, 20), _floats(4, 20), COUNTS, COUNTS]
# One takes no array, and of the other its passes are here.
NO_CALLS = {"lexicon_automaton", "transducer_fused_loss"}
OF_ANY_SHAPE = {"activate", "glu"}
MAY_BE_NONE = {
    ("additive_energies", 3),
    ("additive_energies_backward", 4),
    ("batch_norm_backward", 4),
    ("linear", 2),
    ("linear", 3),
    ("linear_backward", 3),
}
MAY_BE_NONE |= {("depthwise", 2), ("depthwise", 3), ("depthwise_gradient", 3)}
MAY_BE_NONE |= {("conv2d", n) for n in (2, 3, 4)}
MAY_BE_NONE |= {(f"conv2d_{x}_gradient", n) for x in ("input", "filter") for n in (2, 3)}
MAY_BE_NONE |= {(f"conv3x3{x}", 2) for x in ("", "_input_gradient", "_filter_gradient")}
MAY_BE_NONE |= {("pool", 1), ("pool", 2), ("pool_gradient", 2), ("pool_gradient", 3)}
MAY_BE_NONE |= {("self_attention", 1), ("self_attention", 2)}
MAY_BE_NONE |= {("self_attention_backward", 2), ("self_attention_backward", 3)}


def _grouped(function: Callable[..., Any], first: int, group: Callable[..., Any], size: int) -> Any:
    """An operation whose arguments from `first` on are given apart, not in their tuple."""

    def call(*arrays: Any, **options: Any) -> Any:
        end = first + size
        return function(*arrays[:first], group(*arrays[first:end]), *arrays[end:], **options)

    return call


def _named(function: Callable[..., Any], *names: str) -> Any:
    """An operation whose last arrays are given by their names."""

    def call(*arrays: Any, **options: Any) -> Any:
        first, last = arrays[: -len(names)], arrays[-len(names) :]
        return function(*first, **dict(zip(names, last, strict=True)), **options)

    return call


CALLS = {
    "ctc_loss": Call(ctc.ctc_loss, [_floats(6, 2, 5), *SEQUENCES], {"blank": 4}),
    "batch_norm": Call(
        batch_norm.batch_norm, [_floats(2, 6, 4), _floats(4), _floats(4)], {"epsilon": 1e-3}
    ),
    "batch_norm_backward": Call(
        batch_norm.batch_norm_backward,
        [_floats(2, 6, 4), _floats(2, 6, 4), _floats(4), _floats(4, 4), FRAMES],
        {"time_axis": 1},
    ),
    "scale_shift": Call(batch_norm.scale_shift, [_floats(6, 4), _floats(4), _floats(4)]),
    "scale_shift_backward": Call(
        batch_norm.scale_shift_backward, [_floats(6, 4), _floats(6, 4), _floats(4)]
    ),
    "ctc_align": Call(align.ctc_align, [_floats(6, 2, 5), *SEQUENCES], {"blank": 4}),
    "additive_energies": Call(energies.additive_energies, ENERGIES),
    "additive_energies_backward": Call(
        energies.additive_energies_backward, [_floats(2, 3, 6), *ENERGIES]
    ),
    "activate": Call(activation.activate, [_floats(2, 4, 3)], {"kind": "silu"}),
    "activate_backward": Call(
        activation.activate_backward, [_floats(2, 4, 3), _floats(2, 4, 3)], {"kind": "silu"}
    ),
    "glu": Call(activation.glu, [_floats(2, 4, 6)]),
    "glu_backward": Call(activation.glu_backward, [_floats(2, 4, 3), _floats(2, 4, 6)]),
    "layer_norm": Call(
        layer_norm.layer_norm, [_floats(6, 4), _floats(4), _floats(4)], {"epsilon": 1e-6}
    ),
    "layer_norm_backward": Call(
        layer_norm.layer_norm_backward, [_floats(6, 4), _floats(6, 4), _floats(4), _floats(6, 2)]
    ),
    "conv2d": Call(_named(conv2d.conv2d, "bias", *ROWS), [IMAGES[0], FILTERS, BIAS, *TOPS], MOVES),
    "conv2d_input_gradient": Call(
        _named(conv2d.conv2d_input_gradient, *ROWS),
        [IMAGES[1], FILTERS, *TOPS],
        {"size": (4, 6), **MOVES},
    ),
    "conv2d_filter_gradient": Call(
        _named(conv2d.conv2d_filter_gradient, *ROWS),
        [*IMAGES, *TOPS],
        {"filter_size": (3, 3), **MOVES},
    ),
    "conv3x3": Call(_named(conv.conv3x3, "lengths"), [IMAGES[0], FILTERS, TOPS[0]], WINDOWS),
    "conv3x3_input_gradient": Call(
        _named(conv.conv3x3_input_gradient, "lengths"), [IMAGES[1], FILTERS, TOPS[0]], WINDOWS
    ),
    "conv3x3_filter_gradient": Call(
        _named(conv.conv3x3_filter_gradient, "lengths"), [*IMAGES, TOPS[0]], {"before": (1, 1)}
    ),
    "depthwise": Call(
        _named(depthwise.depthwise, "bias", "lengths"),
        [_floats(2, 6, 3), _floats(5, 3), _floats(3), FRAMES],
        {"before": 2, "size": 6},
    ),
    "depthwise_gradient": Call(
        depthwise.depthwise_gradient,
        [_floats(2, 6, 3), _floats(2, 6, 3), _floats(5, 3), FRAMES],
        {"before": 2},
    ),
    "edit_distance": Call(edit.edit_distance, PAIRS),
    "edit_distance_row": Call(edit.edit_distance_row, PAIRS),
    "alignment_counts": Call(edit.alignment_counts, PAIRS),
    "first_edit_distance_row": Call(edit.first_edit_distance_row, [COUNTS], {"max_b": 3}),
    "next_edit_distance_row": Call(
        edit.next_edit_distance_row, [ROW, COUNTS, np.zeros(2, np.bool_), LABELS, COUNTS]
    ),
    "optimal_completion": Call(edit.optimal_completion, PAIRS, {"successors": 5}),
    "optimal_completion_of_row": Call(
        edit.optimal_completion_of_row, [ROW, LABELS, COUNTS], {"successors": 5}
    ),
    "fsa_loss": Call(fsa.fsa_loss, [_floats(6, 2, 5), FRAMES], {"automaton": CTC}),
    "fsa_full_sum": Call(fsa.fsa_full_sum, [_floats(6, 2, 5), FRAMES], {"automaton": CTC}),
    "fsa_best_path": Call(fsa.fsa_best_path, [_floats(6, 2, 5), FRAMES], {"automaton": CTC}),
    "ctc_automaton": Call(fsa.ctc_automaton, [LABELS, COUNTS], {"blank": 4}),
    "rna_automaton": Call(fsa.rna_automaton, [LABELS, COUNTS], {"blank": 4}),
    "hmm_automaton": Call(fsa.hmm_automaton, [LABELS, COUNTS], {"hmm": fsa.Hmm()}),
    "linear": Call(linear.linear, AFFINE, {"time_axis": 1}),
    "linear_backward": Call(
        linear.linear_backward, [_floats(2, 6, 4), *AFFINE[:2], FRAMES], {"time_axis": 1}
    ),
    "lstm_forward": Call(lstm.lstm_forward, [_floats(6, 2, 16), *STATE], {"direction": 1}),
    "lstm_backward": Call(
        _grouped(lstm.lstm_backward, 2, lstm.LstmSaved, 2),
        [*D_OUT, _floats(6, 2, 16), _floats(6, 2, 4), D_OUT[0], *STATE],
        {"direction": 1},
    ),
    "lstm_layer_forward": Call(lstm.lstm_layer_forward, LAYER, {"direction": 1}),
    "lstm_layer_backward": Call(
        _grouped(lstm.lstm_layer_backward, 2, lstm.LstmSaved, 2),
        [*D_OUT, _floats(6, 2, 16), _floats(6, 2, 4), D_OUT[0], *LAYER[:2], *STATE],
        {"direction": 1},
    ),
    "lstm_low_memory_forward": Call(
        lstm.lstm_low_memory_forward, LAYER, {"direction": 1, "block": 4}
    ),
    "lstm_low_memory_backward": Call(
        _grouped(lstm.lstm_low_memory_backward, 2, lstm.LstmStates, 2),
        [*D_OUT, _floats(2, 2, 4), _floats(2, 2, 4), *LAYER],
        {"direction": 1, "block": 4},
    ),
    "lstm_step": Call(lstm.lstm_step, [_floats(2, 16), STATE[0], *STATE[2:]]),
    "lstm2d_forward": Call(lstm2d.lstm2d_forward, [_floats(3, 4, 2, 20), *SQUARES]),
    "lstm2d_backward": Call(
        _grouped(lstm2d.lstm2d_backward, 1, lstm2d.Lstm2dSaved, 2),
        [_floats(3, 4, 2, n) for n in (4, 20, 4, 4)] + SQUARES,
    ),
    "pool": Call(pool.pool, HALVES, {**POOLING, "size": (3, 2)}),
    "pool_gradient": Call(pool.pool_gradient, [_floats(2, 3, 2, 3), *HALVES], POOLING),
    "self_attention": Call(self_attention.self_attention, QKV, HEADS),
    "self_attention_backward": Call(
        self_attention.self_attention_backward,
        [_floats(2, 6, 10), *QKV, _floats(2, 6, 10), _floats(2, 2, 6)],
        HEADS,
    ),
    "chunk": Call(chunk.chunk, [_floats(6, 2, 3), FRAMES], CHUNKS),
    "chunk_backward": Call(chunk.chunk_backward, [_floats(3, 6, 3), FRAMES], {"time": 6, **CHUNKS}),
    "unchunk": Call(
        chunk.unchunk,
        [_floats(3, 6, 3), np.array([3, 3, 2, 3, 3, 1], np.int32)],
        {"batch": 2, "time": 6, **CHUNKS},
    ),
    "unchunk_backward": Call(chunk.unchunk_backward, [_floats(6, 2, 3), FRAMES], CHUNKS),
    "transducer_loss": Call(transducer.transducer_loss, [_floats(2, 6, 4, 5), *SEQUENCES], RNNT),
    "transducer_align": Call(transducer.transducer_align, [_floats(2, 6, 4, 5), *SEQUENCES], RNNT),
    "transducer_compact_loss": Call(
        _grouped(transducer.transducer_compact_loss, 0, transducer.TransducerScores, 2),
        [*STEPS, *SEQUENCES],
        {"topology": "rnnt"},
    ),
    "transducer_compact_align": Call(
        _grouped(transducer.transducer_compact_align, 0, transducer.TransducerScores, 2),
        [*STEPS, *SEQUENCES],
        RNNT,
    ),
    "transducer_fused_forward": Call(transducer.transducer_fused_forward, JOINT, RNNT),
    "transducer_fused_backward": Call(
        _grouped(transducer.transducer_fused_backward, 1, transducer.TransducerSaved, 4),
        [_floats(2), STEPS[0], *STEPS, STEPS[1], *JOINT],
        RNNT,
    ),
    "transducer_fused_align": Call(transducer.transducer_fused_align, JOINT, RNNT),
}


def test_all_operations_are_here() -> None:
    packages = (activation, align, batch_norm, chunk, conv, conv2d, ctc, depthwise, edit)
    packages += (energies, fsa, layer_norm, linear, lstm, lstm2d, pool, self_attention, transducer)
    folders = {p.parent.name for p in Path(cupy_kernels.__file__).parent.glob("*/__init__.py")}
    assert folders - {"backend"} == {p.__name__.rpartition(".")[2] for p in packages}
    names = {n for p in packages for n in p.__all__ if inspect.isfunction(getattr(p, n))}
    assert names - NO_CALLS == CALLS.keys()


def _unaligned(x: Any) -> Any:
    found: Any = np.ndarray(x.shape, x.dtype, np.zeros(x.nbytes + 1, np.uint8).data, offset=1)
    found[...] = x
    return found


BAD: dict[str, Callable[[Any], Any]] = {
    "list": lambda x: x.tolist(),
    "None": lambda x: None,
    "other numbers": lambda x: x.astype(np.float64),
    "objects": lambda x: x.astype(object),
    "other bytes": lambda x: x.astype(x.dtype.newbyteorder(">")) if x.itemsize > 1 else None,
    "an axis more": lambda x: x[None],
    "an axis less": lambda x: x[0],
    "every second": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "backwards": lambda x: x[::-1],
    "one for all": lambda x: np.broadcast_to(x[:1], x.shape),
    "unaligned": lambda x: _unaligned(x) if x.itemsize > 1 else None,
    "masked": lambda x: np.ma.masked_array(x, np.ones(x.shape, np.bool_)),
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("name", CALLS)
def test_wrong_arrays_are_named(name: str, bad: str) -> None:
    call = CALLS[name]
    for place, x in enumerate(call.arrays):
        if bad == "None" and (name, place) in MAY_BE_NONE:
            continue
        if bad.startswith("an axis") and name in OF_ANY_SHAPE:
            continue
        arrays = [*call.arrays[:place], BAD[bad](x), *call.arrays[place + 1 :]]
        with pytest.raises(ArgumentError, match=rf"^{name} \(\w+\): found a?.*, needed "):
            call.function(*arrays, **call.options)


NUMBERED = [n for n, x in CALLS.items() if any(isinstance(v, int) for v in x.options.values())]


@pytest.mark.parametrize("name", NUMBERED)
def test_options_are_whole_numbers_also_of_numpy(name: str) -> None:
    call = CALLS[name]
    numbers = {k: np.int64(x) for k, x in call.options.items() if isinstance(x, int)}
    call.function(*call.arrays, **{**call.options, **numbers})
    for option in numbers:
        for value in (2.5, 2.0, "2", None, True):
            with pytest.raises(ArgumentError, match=rf"^{name} \({option}\): found "):
                call.function(*call.arrays, **{**call.options, option: value})


def test_other_wrong_options_are_named() -> None:
    call = CALLS["ctc_loss"]
    call.function(*call.arrays, blank=4, threads=np.int64(1))
    for value in (1.5, "2", True):
        with pytest.raises(ValueError, match=rf"threads: found {value!r}, needed at least 1"):
            call.function(*call.arrays, blank=4, threads=value)
    with pytest.raises(ArgumentError, match=r"hmm_automaton \(hmm\): found None, needed an Hmm"):
        fsa.hmm_automaton(LABELS, COUNTS, None)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match=r"\(phones\[0, 1\]\): found 2000000000, needed 0 to 7"):
        fsa.hmm_automaton(np.array([[1, 2 * 10**9]], np.int32), COUNTS[1:], fsa.Hmm())
    compact = CALLS["transducer_compact_align"]
    with pytest.raises(ArgumentError, match=r"\(blank\): found 2147483648, needed an int32"):
        compact.function(*compact.arrays, blank=2**31, topology="rnnt")
    fused = CALLS["transducer_fused_forward"]
    with pytest.raises(ArgumentError, match=r"\(separate_emit\): found 'no', needed True or False"):
        fused.function(*fused.arrays, **fused.options, separate_emit="no")
