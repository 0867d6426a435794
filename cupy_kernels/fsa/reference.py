"""Sums and best paths over automata in float64: the definition, and what tests compare with."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cupy_kernels.fsa.automaton import LARGEST, Automaton

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]


def fsa_full_sum(
    log_probs: npt.NDArray[Any], lengths: npt.NDArray[Any], automaton: Automaton
) -> tuple[Floats, Floats]:
    """The operation's loss [batch] and posteriors [time, batch, labels], both float64."""
    losses, posteriors = np.zeros(automaton.batch), np.zeros(log_probs.shape)
    for b, one in enumerate(automaton):
        frames = log_probs[: lengths[b], b].astype(np.float64)
        losses[b], edges = edge_posteriors(frames, one)
        np.add.at(posteriors[: lengths[b], b].T, one.label, edges.T)
        if np.isnan(losses[b]):
            posteriors[: lengths[b], b] = np.nan
    return losses, posteriors


def fsa_loss(
    logits: npt.NDArray[Any], lengths: npt.NDArray[Any], automaton: Automaton
) -> tuple[Floats, Floats]:
    """The operation's loss [batch] and gradient [time, batch, labels], both float64."""
    with np.errstate(invalid="ignore"):
        log_probs = logits - np.logaddexp.reduce(logits.astype(np.float64), axis=2, keepdims=True)
    loss, posteriors = fsa_full_sum(log_probs, lengths, automaton)
    inside = np.arange(len(logits))[:, None] < lengths
    counts = inside & (loss < np.inf)
    grad = np.where(counts[:, :, None], np.exp(log_probs), 0.0) - posteriors
    grad[inside & np.isnan(loss)] = np.nan
    return loss, grad


def edge_posteriors(frames: Floats, one: Automaton) -> tuple[float, Floats]:
    """Loss of one sequence of scores [time, labels]; posterior [time, edges] of every edge.

    The sum of an edge's posteriors over time is the gradient of the loss with respect to its cost.
    """
    nothing = np.zeros((len(frames), len(one.source)))
    if not (frames <= LARGEST).all():
        return np.nan, nothing
    frames = np.where(frames > -LARGEST, frames, -np.inf)
    scores = frames[:, one.label] - one.cost
    prefix = prefix_sums(scores, one)
    suffix = suffix_sums(scores, one)
    log_total = np.logaddexp.reduce(prefix[-1] - one.final)
    backward_total = np.logaddexp.reduce(suffix[0] - one.start)
    assert np.isclose(log_total, backward_total), "both sweeps sum over the same paths"
    if log_total == -np.inf:
        return np.inf, nothing
    paths = prefix[:-1, one.source] + scores + suffix[1:, one.target]
    return float(-log_total), np.exp(paths - log_total)


def prefix_sums(scores: Floats, one: Automaton) -> Floats:
    """[time + 1, states]: row t sums the paths over the frames before t that end in a state."""
    sums = np.full((len(scores) + 1, len(one.start)), -np.inf)
    sums[0] = -one.start.astype(np.float64)
    for t, frame in enumerate(scores):
        np.logaddexp.at(sums[t + 1], one.target, sums[t, one.source] + frame)
    return sums


def suffix_sums(scores: Floats, one: Automaton) -> Floats:
    """[time + 1, states]: row t sums the paths over the frames from t on that leave a state."""
    sums = np.full((len(scores) + 1, len(one.start)), -np.inf)
    sums[-1] = -one.final.astype(np.float64)
    for t in range(len(scores) - 1, -1, -1):
        np.logaddexp.at(sums[t], one.source, sums[t + 1, one.target] + scores[t])
    return sums


def fsa_best_path(
    log_probs: npt.NDArray[Any], lengths: npt.NDArray[Any], automaton: Automaton
) -> tuple[Ints, Ints, Floats]:
    """The operation's alignment [batch, time], states [batch, time] and score [batch]."""
    time = log_probs.shape[0]
    alignment = np.full((automaton.batch, time), -1, np.int32)
    states = alignment.copy()
    score = np.full(automaton.batch, -np.inf)
    for b, one in enumerate(automaton):
        edges, score[b] = best_path(log_probs[: lengths[b], b].astype(np.float64), one)
        alignment[b, : len(edges)] = one.label[edges]
        states[b, : len(edges)] = one.target[edges]
    return alignment, states, score


def best_path(frames: Floats, one: Automaton) -> tuple[list[int], float]:
    """Edges of the best path through scores [time, labels], and its score; [] where none is."""
    frames = np.where(frames < np.inf, frames, -np.inf)
    best = -one.start.astype(np.float64)
    # The first of equal ones wins: the highest source state, then the first edge.
    order = np.argsort(-one.source.astype(np.int64), kind="stable")
    steps = []
    for frame in frames:
        ways = best[one.source] + (frame[one.label] - one.cost)
        best, step = np.full(len(best), -np.inf), np.full(len(best), -1)
        for edge in order:
            if ways[edge] > best[one.target[edge]]:
                best[one.target[edge]], step[one.target[edge]] = ways[edge], edge
        steps.append(step)
    ends = best - one.final
    score = float(ends.max())
    if score == -np.inf:
        return [], score
    state = int(np.flatnonzero(ends == score)[-1])
    path = []
    for step in reversed(steps):
        path.append(int(step[state]))
        state = int(one.source[path[-1]])
    return path[::-1], score
