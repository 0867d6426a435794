"""Transducer full-sum and best path in float64: the definition, and what tests compare with.

A path is a walk over states (frame, labels so far, 1 after a label and 0 otherwise), each step of
which emits the blank, the next label, or (CTC) the last label once more.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Array = npt.NDArray[Any]
State = tuple[int, int, int]


class Scores(NamedTuple):
    """Scores of the steps of one sequence with U labels, or of a batch, or their gradient."""

    blank: Floats  # [time, U + 1], where u labels are out
    label: Floats  # [time, U], of the next label where u are out
    repeat: Floats  # [time, U], of label u + 1 once more


class Step(NamedTuple):
    """A step from a state: which of the scores it takes, where that stands, where it leads."""

    kind: str
    place: tuple[int, int]
    target: State


def transducer_loss(
    log_probs: Array,
    frames: Array,
    labels: Array,
    label_lengths: Array,
    *,
    blank: int,
    topology: str,
) -> tuple[Floats, Floats]:
    """The operation's loss [batch] and gradient [batch, time, U + 1, vocab], both float64."""
    scores = pick(log_probs, labels, label_lengths, blank)
    loss, grads = compact_loss(scores, frames, labels, label_lengths, topology=topology)
    return loss, spread(grads, labels, label_lengths, blank, log_probs.shape[3])


def transducer_align(
    log_probs: Array,
    frames: Array,
    labels: Array,
    label_lengths: Array,
    *,
    blank: int,
    topology: str,
) -> tuple[npt.NDArray[np.int32], Floats]:
    """The operation's alignment [batch, steps] and score [batch]."""
    scores = pick(log_probs, labels, label_lengths, blank)
    options: dict[str, Any] = {"blank": blank, "topology": topology}
    return compact_align(scores, frames, labels, label_lengths, **options)


def compact_loss(
    scores: Any, frames: Array, labels: Array, label_lengths: Array, *, topology: str
) -> tuple[Floats, Scores]:
    """The operation's loss [batch] and gradient from scores of steps alone, both float64."""
    loss, grad = np.zeros(len(frames)), Scores(*(np.zeros(x.shape) for x in filled(scores)))
    for b, time, count, sequence in sequences(scores, frames, label_lengths):
        loss[b], slopes = sequence_loss(sequence, labels[b, :count], topology)
        grad.blank[b, :time, : count + 1] = slopes.blank
        grad.label[b, :time, :count] = slopes.label
        grad.repeat[b, :time, :count] = slopes.repeat
    return loss, grad


def compact_align(
    scores: Any, frames: Array, labels: Array, label_lengths: Array, *, blank: int, topology: str
) -> tuple[npt.NDArray[np.int32], Floats]:
    """The operation's alignment [batch, steps] and score [batch] from scores of steps alone."""
    batch, time, rows = scores.blank.shape
    width = time + (rows - 1 if topology == "rnnt" else 0)
    alignment, score = np.full((batch, width), blank, np.int32), np.zeros(batch)
    for b, _, count, sequence in sequences(scores, frames, label_lengths):
        path, score[b] = best_path(sequence, labels[b, :count], blank, topology)
        alignment[b, : len(path)] = path
    return alignment, score


def filled(scores: Any) -> Scores:
    """The scores with zeros for those of repeats, where there are none."""
    repeat = np.zeros_like(scores.label) if scores.repeat is None else scores.repeat
    return Scores(scores.blank, scores.label, repeat)


def sequences(
    scores: Any, frames: Array, label_lengths: Array
) -> Iterator[tuple[int, int, int, Scores]]:
    """Number, frames, labels and scores of each sequence."""
    blank, label, repeat = (x.astype(np.float64) for x in filled(scores))
    for b, (time, count) in enumerate(zip(frames, label_lengths, strict=True)):
        one = Scores(
            blank[b, :time, : count + 1], label[b, :time, :count], repeat[b, :time, :count]
        )
        yield b, time, count, one


def pick(log_probs: Array, labels: Array, label_lengths: Array, blank: int) -> Scores:
    """The scores that paths take from [batch, time, U + 1, vocab]."""
    used = np.arange(labels.shape[1]) < label_lengths[:, None]
    column = np.where(used, labels, blank)[:, None, :, None]
    label = np.take_along_axis(log_probs[:, :, :-1], column, axis=3)[..., 0]
    repeat = np.take_along_axis(log_probs[:, :, 1:], column, axis=3)[..., 0]
    return Scores(log_probs[..., blank], label, repeat)


def spread(grad: Scores, labels: Array, label_lengths: Array, blank: int, vocab: int) -> Floats:
    """The gradient of [batch, time, U + 1, vocab] from that of the scores that paths take."""
    full = np.zeros((*grad.blank.shape, vocab))
    full[..., blank] = grad.blank
    for b, count in enumerate(label_lengths):
        for u, label in enumerate(labels[b, :count]):
            full[b, :, u, label] += grad.label[b, :, u]
            full[b, :, u + 1, label] += grad.repeat[b, :, u]
    return full


def steps(state: State, time: int, labels: Array, topology: str) -> Iterator[Step]:
    """The steps that lead from a state."""
    t, u, after_label = state
    if t == time:
        return
    yield Step("blank", (t, u), (t + 1, u, 0))
    repeats = topology == "ctc" and after_label
    if repeats:
        yield Step("repeat", (t, u - 1), (t + 1, u, 1))
    if u < len(labels) and not (repeats and labels[u] == labels[u - 1]):
        yield Step("label", (t, u), (t if topology == "rnnt" else t + 1, u + 1, 1))


def all_steps(scores: Scores, labels: Array, topology: str) -> list[tuple[State, Step, float]]:
    """Where each step starts, the step, and its score, in an order that no step leads back in."""
    time, count = len(scores.blank), len(labels)
    states = itertools.product(range(time + 1), range(count + 1), range(2))
    return [
        (state, step, float(getattr(scores, step.kind)[step.place]))
        for state in states
        if state[1] >= state[2]  # no label is out that could be the last step
        for step in steps(state, time, labels, topology)
    ]


def sequence_loss(scores: Scores, labels: Array, topology: str) -> tuple[float, Scores]:
    """Loss of one sequence, and its gradient."""
    time, count = len(scores.blank), len(labels)
    grad = Scores(*map(np.zeros_like, scores))
    if not fits(time, labels, topology):
        return np.inf, grad
    if spoilt(scores, topology):
        return np.nan, Scores(*(np.full_like(x, np.nan) for x in scores))
    end = [(time, count, 0), (time, count, 1)]
    prefix: defaultdict[State, float] = defaultdict(lambda: -np.inf, {(0, 0, 0): 0.0})
    suffix: defaultdict[State, float] = defaultdict(lambda: -np.inf, dict.fromkeys(end, 0.0))
    every = all_steps(scores, labels, topology)
    for state, step, score in every:
        prefix[step.target] = np.logaddexp(prefix[step.target], prefix[state] + score)
    for state, step, score in reversed(every):
        suffix[state] = np.logaddexp(suffix[state], score + suffix[step.target])
    log_total = np.logaddexp(prefix[end[0]], prefix[end[1]])
    assert np.isclose(log_total, suffix[0, 0, 0]), "both sweeps sum over the same paths"
    if log_total == -np.inf:
        return np.inf, grad
    for state, step, score in every:
        posterior = np.exp(prefix[state] + score + suffix[step.target] - log_total)
        getattr(grad, step.kind)[step.place] -= posterior
    return float(-log_total), grad


def fits(time: int, labels: Array, topology: str) -> bool:
    """Whether the labels have a path through so many frames."""
    if topology == "rnnt":
        return time > 0 or len(labels) == 0
    repeats = int((labels[1:] == labels[:-1]).sum()) if topology == "ctc" else 0
    return len(labels) + repeats <= time


def on_path(time: int, count: int, topology: str) -> npt.NDArray[np.bool_]:
    """[time, U + 1]: where the labels so far fit before a frame, and the others after it."""
    t, u = np.arange(time)[:, None], np.arange(count + 1)
    inside: npt.NDArray[np.bool_] = (u <= t) & (count - u <= time - t)
    return inside | (topology == "rnnt")


def spoilt(scores: Scores, topology: str) -> bool:
    """Whether a score of a place that a path may pass is NaN or +inf."""
    inside = on_path(len(scores.blank), scores.label.shape[1], topology)
    used = [scores.blank[inside], scores.label[inside[:, :-1]]]
    if topology == "ctc":
        used.append(scores.repeat[inside[:, 1:]])
    return any(bool((np.isnan(x) | (x == np.inf)).any()) for x in used)


def best_path(scores: Scores, labels: Array, blank: int, topology: str) -> tuple[list[int], float]:
    """Symbols of the best path and their sum; nothing and -inf where there is no path."""
    time, count = len(scores.blank), len(labels)
    best: dict[State, float] = {(0, 0, 0): 0.0}
    before: dict[State, State] = {}
    for state, step, score in all_steps(scores, labels, topology):
        target = step.target
        total = best.get(state, -np.inf) + (score if score < np.inf else -np.inf)
        old = best.get(target, -np.inf)
        # A tie goes to the state before that is further along.
        ahead = target in before and progress(state) > progress(before[target])
        if total > old or (total == old and ahead):
            best[target], before[target] = total, state
    state = max(((time, count, 1), (time, count, 0)), key=lambda s: (best.get(s, -np.inf), -s[2]))
    score, path = best.get(state, -np.inf), []
    if score == -np.inf:
        return [], -np.inf
    while state in before:
        path.append(int(labels[state[1] - 1]) if state[2] else blank)
        state = before[state]
    return path[::-1], float(score)


def progress(state: State) -> int:
    """How far along a state is: blank 0, label 1, blank 1, ..., blank U."""
    return 2 * state[1] - state[2]
