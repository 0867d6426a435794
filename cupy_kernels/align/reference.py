"""Best CTC or RNA path in float64: the definition, and what tests compare with."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cupy_kernels.ctc.reference import Floats, topology


def ctc_align(
    logits: npt.NDArray[Any],
    logit_lengths: npt.NDArray[Any],
    labels: npt.NDArray[Any],
    label_lengths: npt.NDArray[Any],
    *,
    blank: int,
    label_repetition: bool = True,
) -> tuple[npt.NDArray[np.int32], Floats]:
    """The operation's alignment [batch, time] and score [batch]."""
    time, batch, _ = logits.shape
    alignment = np.full((batch, time), blank, np.int32)
    score = np.full(batch, -np.inf)
    for b, (frames, count) in enumerate(zip(logit_lengths, label_lengths, strict=True)):
        sequence, target = logits[:frames, b].astype(np.float64), labels[b, :count]
        path, score[b] = best_path(sequence, target, blank, label_repetition)
        alignment[b, : len(path)] = path
    return alignment, score


def best_path(
    logits: Floats, labels: npt.NDArray[Any], blank: int, repetition: bool
) -> tuple[list[int], float]:
    """Labels of the frames, and their sum; nothing and -inf where there is no path."""
    states, loop, skip = topology(labels, blank, repetition)
    frames = np.where(logits < np.inf, logits, -np.inf)[:, states]
    best = np.full(len(states), -np.inf)
    best[0] = 0.0
    steps = []
    for frame in frames:
        ways = np.full((3, len(states)), -np.inf)
        ways[0, loop] = best[loop]
        ways[1, 1:] = best[:-1]
        ways[2, 2:] = np.where(skip[2:], best[:-2], -np.inf)
        steps.append(ways.argmax(axis=0))  # the first of equal ones: the shortest step
        best = ways.max(axis=0) + frame
    state = len(states) - 1
    if state and best[state - 1] > best[state]:
        state -= 1
    score = float(best[state])
    if score == -np.inf:
        return [], score
    path = []
    for step in reversed(steps):
        path.append(int(states[state]))
        state -= int(step[state])
    return path[::-1], score
