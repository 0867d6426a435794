"""CTC and RNA loss in float64, with log-probabilities: the definition, and what tests compare with.

State 2 u is blank u, state 2 u - 1 is label u; a path starts in state 0 or 1 and ends in one of
the last two. In the RNA topology a label state is left at once, and may always be skipped to.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def ctc_loss(
    logits: npt.NDArray[Any],
    logit_lengths: npt.NDArray[Any],
    labels: npt.NDArray[Any],
    label_lengths: npt.NDArray[Any],
    *,
    blank: int,
    label_repetition: bool = True,
) -> tuple[Floats, Floats]:
    """The operation's loss [batch] and gradient [time, batch, labels], both float64."""
    losses = np.zeros(logits.shape[1])
    grad = np.zeros(logits.shape)
    for b, (time, count) in enumerate(zip(logit_lengths, label_lengths, strict=True)):
        sequence, target = logits[:time, b].astype(np.float64), labels[b, :count]
        losses[b], grad[:time, b] = sequence_loss(sequence, target, blank, label_repetition)
    return losses, grad


def sequence_loss(
    logits: Floats, labels: npt.NDArray[Any], blank: int, repetition: bool
) -> tuple[float, Floats]:
    """Loss and gradient [time, labels] of one sequence of logits [time, labels]."""
    states, loop, skip = topology(labels, blank, repetition)
    if len(logits) < shortest(labels, repetition):
        return np.inf, np.zeros_like(logits)
    with np.errstate(invalid="ignore"):
        log_probs = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    if np.isnan(log_probs).any():
        return np.nan, np.full_like(logits, np.nan)
    emission = log_probs[:, states]
    prefix, suffix = prefix_sums(emission, loop, skip), suffix_sums(emission, loop, skip)
    log_total = np.logaddexp.reduce(prefix[-1, -2:])
    assert np.isclose(log_total, suffix[0, 0]), "both sweeps sum over the same paths"
    if log_total == -np.inf:
        return np.inf, np.zeros_like(logits)
    posterior = np.exp(prefix[1:] + suffix[1:] - log_total)
    grad = np.exp(log_probs)
    for state, label in enumerate(states):
        grad[:, label] -= posterior[:, state]
    return float(-log_total), grad


def shortest(labels: npt.NDArray[Any], repetition: bool) -> int:
    """The least number of frames that the labels need."""
    repeats = int((labels[1:] == labels[:-1]).sum()) if repetition else 0
    return len(labels) + repeats


def topology(
    labels: npt.NDArray[Any], blank: int, repetition: bool
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Per state: its label, whether it may loop, whether it may follow the last but one state."""
    states = np.full(2 * len(labels) + 1, blank, np.int64)
    states[1::2] = labels
    is_label = np.arange(len(states)) % 2 == 1
    loop = ~is_label | repetition
    skip = is_label.copy()
    if repetition:
        skip[2:] &= states[2:] != states[:-2]
    return states, loop, skip


def prefix_sums(emission: Floats, loop: npt.NDArray[Any], skip: npt.NDArray[Any]) -> Floats:
    """[time + 1, states]: row t sums the paths over the frames before t that end in a state."""
    sums = np.full((len(emission) + 1, emission.shape[1]), -np.inf)
    sums[0, 0] = 0.0
    for t, frame in enumerate(emission):
        row = np.where(loop, sums[t], -np.inf)
        row[1:] = np.logaddexp(row[1:], sums[t, :-1])
        row[2:] = np.logaddexp(row[2:], np.where(skip[2:], sums[t, :-2], -np.inf))
        sums[t + 1] = row + frame
    return sums


def suffix_sums(emission: Floats, loop: npt.NDArray[Any], skip: npt.NDArray[Any]) -> Floats:
    """[time + 1, states]: row t sums the paths over the frames from t on that follow a state."""
    sums = np.full((len(emission) + 1, emission.shape[1]), -np.inf)
    sums[-1, -2:] = 0.0
    for t in range(len(emission) - 1, -1, -1):
        entered = sums[t + 1] + emission[t]
        row = np.where(loop, entered, -np.inf)
        row[:-1] = np.logaddexp(row[:-1], entered[1:])
        row[:-2] = np.logaddexp(row[:-2], np.where(skip[2:], entered[2:], -np.inf))
        sums[t] = row
    return sums
