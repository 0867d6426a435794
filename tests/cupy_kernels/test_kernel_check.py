"""Every operation names what it cannot work with, whatever the argument; none crashes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from cupy_kernels import align, chunk, ctc, edit, fsa, lstm, lstm2d, transducer
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
LAYER = [_floats(6, 2, 3), _floats(3, 16), _floats(16), *STATE]
JOINT = [_floats(2, 6, 7), _floats(2, 4, 7), _floats(7, 5), _floats(5), *SEQUENCES]
ROW = edit.first_edit_distance_row(COUNTS, 3)
CHUNKS = {"chunk_size": 3, "chunk_step": 2}
RNNT = {"blank": 4, "topology": "rnnt"}
CTC = fsa.ctc_automaton(LABELS, COUNTS, blank=4)


def _compact(blank: Any, label: Any, *arguments: Any, **options: Any) -> Any:
    scores = transducer.TransducerScores(blank, label)
    return transducer.transducer_compact_loss(scores, *arguments, **options)


CALLS = {
    "ctc_loss": Call(ctc.ctc_loss, [_floats(6, 2, 5), *SEQUENCES], {"blank": 4}),
    "ctc_align": Call(align.ctc_align, [_floats(6, 2, 5), *SEQUENCES], {"blank": 4}),
    "edit_distance": Call(edit.edit_distance, PAIRS),
    "edit_distance_row": Call(edit.edit_distance_row, PAIRS),
    "alignment_counts": Call(edit.alignment_counts, PAIRS),
    "first_edit_distance_row": Call(edit.first_edit_distance_row, [COUNTS], {"max_b": 3}),
    "next_edit_distance_row": Call(
        edit.next_edit_distance_row, [ROW, COUNTS, np.zeros(2, np.bool_), LABELS, COUNTS]
    ),
    "optimal_completion": Call(edit.optimal_completion, PAIRS, {"successors": 5}),
    "fsa_full_sum": Call(fsa.fsa_full_sum, [_floats(6, 2, 5), FRAMES], {"automaton": CTC}),
    "fsa_best_path": Call(fsa.fsa_best_path, [_floats(6, 2, 5), FRAMES], {"automaton": CTC}),
    "ctc_automaton": Call(fsa.ctc_automaton, [LABELS, COUNTS], {"blank": 4}),
    "hmm_automaton": Call(fsa.hmm_automaton, [LABELS, COUNTS], {"hmm": fsa.Hmm()}),
    "lstm_forward": Call(lstm.lstm_forward, [_floats(6, 2, 16), *STATE], {"direction": 1}),
    "lstm_layer_forward": Call(lstm.lstm_layer_forward, LAYER, {"direction": 1}),
    "lstm_low_memory_forward": Call(
        lstm.lstm_low_memory_forward, LAYER, {"direction": 1, "block": 4}
    ),
    "lstm_step": Call(lstm.lstm_step, [_floats(2, 16), STATE[0], *STATE[2:]]),
    "lstm2d_forward": Call(
        lstm2d.lstm2d_forward,
        [_floats(3, 4, 2, 20), _floats(4, 20), _floats(4, 20), COUNTS, COUNTS],
    ),
    "chunk": Call(chunk.chunk, [_floats(6, 2, 3), FRAMES], CHUNKS),
    "chunk_backward": Call(chunk.chunk_backward, [_floats(3, 6, 3), FRAMES], {"time": 6, **CHUNKS}),
    "unchunk": Call(
        chunk.unchunk,
        [_floats(3, 6, 3), np.array([3, 3, 2, 3, 3, 1], np.int32)],
        {"batch": 2, "time": 6, **CHUNKS},
    ),
    "transducer_loss": Call(transducer.transducer_loss, [_floats(2, 6, 4, 5), *SEQUENCES], RNNT),
    "transducer_align": Call(transducer.transducer_align, [_floats(2, 6, 4, 5), *SEQUENCES], RNNT),
    "transducer_compact_loss": Call(
        _compact, [_floats(2, 6, 4), _floats(2, 6, 3), *SEQUENCES], {"topology": "rnnt"}
    ),
    "transducer_fused_forward": Call(transducer.transducer_fused_forward, JOINT, RNNT),
    "transducer_fused_align": Call(transducer.transducer_fused_align, JOINT, RNNT),
}


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
        for value in (2.5, 2.0, "2", None):
            with pytest.raises(ArgumentError, match=rf"^{name} \({option}\): found "):
                call.function(*call.arrays, **{**call.options, option: value})


def test_threads_and_automata_that_are_none() -> None:
    call = CALLS["ctc_loss"]
    call.function(*call.arrays, blank=4, threads=np.int64(1))
    for value in (1.5, "2"):
        with pytest.raises(ValueError, match=rf"threads: found {value!r}, needed at least 1"):
            call.function(*call.arrays, blank=4, threads=value)
    with pytest.raises(ArgumentError, match=r"hmm_automaton \(hmm\): found None, needed an Hmm"):
        fsa.hmm_automaton(LABELS, COUNTS, None)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match=r"\(phones\[0, 1\]\): found 2000000000, needed 0 to 7"):
        fsa.hmm_automaton(np.array([[1, 2 * 10**9]], np.int32), COUNTS[1:], fsa.Hmm())
