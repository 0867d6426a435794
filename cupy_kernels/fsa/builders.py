"""Automata of the CTC and the RNA topology, for whole batches of labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cupy_kernels import check
from cupy_kernels.fsa.automaton import Automaton, offsets


def ctc_automaton(labels: Any, label_lengths: Any, *, blank: int) -> Automaton:
    """The paths of `cupy_kernels.ctc.ctc_loss`: labels may go on, blanks may stand between.

    State 2 u is blank u, where a sequence is after u labels; state 2 u - 1 is label u. A blank
    must stand between equal labels.

    Args:
        labels: int32 [batch, max_labels], padded with anything; numpy or cupy.
        label_lengths: int32 [batch].
        blank: index of the blank.

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape or range.
    """
    return _linear("ctc_automaton", labels, label_lengths, blank, repetition=True)


def rna_automaton(labels: Any, label_lengths: Any, *, blank: int) -> Automaton:
    """The paths of `ctc_loss` without label repetition: a label takes exactly one frame.

    States, arguments and errors are those of `ctc_automaton`.
    """
    return _linear("rna_automaton", labels, label_lengths, blank, repetition=False)


def label_sequences(
    where: str, name: str, labels: Any, lengths: Any
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Check int32 labels [batch, max_labels] and their lengths; return both on the host."""
    lengths_name = f"{name.removesuffix('s')}_lengths"
    xp = check.array_module(where, **{name: labels, lengths_name: lengths})
    if xp is not np:
        labels, lengths = labels.get(), lengths.get()
    check.array(where, name, labels, np.int32, batch=None, **{f"max_{name}": None})
    check.array(where, lengths_name, lengths, np.int32, batch=len(labels))
    check.lengths(where, lengths_name, lengths, labels.shape[1], f"{name}' second axis")
    return labels, lengths


def _linear(where: str, labels: Any, label_lengths: Any, blank: int, repetition: bool) -> Automaton:
    labels, counts = label_sequences(where, "labels", labels, label_lengths)
    check.integer(where, "blank", blank)
    if not 0 <= blank < 2**31:
        check.fail(where, "blank", str(blank), "0 to 2^31 - 1")
    used = np.arange(labels.shape[1]) < counts[:, None]
    wrong = used & ((labels < 0) | (labels == blank))
    check.outside(where, "labels", labels, wrong, f"0 or more without the blank {blank}")
    # Five kinds of edges at each place u, where label u + 1 may come next (-1: none does).
    batch, width = labels.shape
    after = np.full((batch, width + 1), -1, np.int32)
    after[:, :width] = np.where(used, labels, -1)
    before = np.full((batch, width + 1), -1, np.int32)
    before[:, 1:] = after[:, :width]
    place = np.broadcast_to(2 * np.arange(width + 1, dtype=np.int32), after.shape)
    more, inside = after >= 0, before >= 0
    differ = (after != before) | (not repetition)
    none = np.full_like(after, blank)
    kinds = [  # which exist, source, target, label
        ((place >= 0) & (place <= 2 * counts[:, None]), place, place, none),
        (more, place, place + 1, after),
        (inside & repetition, place - 1, place - 1, before),
        (inside, place - 1, place, none),
        (inside & more & differ, place - 1, place + 1, after),
    ]
    exists, source, target, label = (np.stack(x, axis=2) for x in zip(*kinds, strict=True))
    start, final = _ends(counts)
    edges, states = offsets([exists.sum(axis=(1, 2))]), offsets([2 * counts + 1])
    cost = np.zeros(edges[-1], np.float32)
    arrays = (source[exists], target[exists], label[exists], cost)
    return Automaton(*arrays, start, final, edges, states)


def _ends(counts: npt.NDArray[np.int32]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Costs of starting and ending: in blank 0, and in the last blank or label."""
    end = np.cumsum(2 * counts + 1)
    start = np.full(int(end[-1]) if len(end) else 0, np.inf, np.float32)
    final = start.copy()
    start[end - (2 * counts + 1)] = 0.0
    final[end - 1] = 0.0
    final[end[counts > 0] - 2] = 0.0
    return start, final
