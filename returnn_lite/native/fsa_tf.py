"""Sums over the paths of automata, and the best one, in TensorFlow's own operations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from returnn_lite.lazy import tf
from returnn_lite.native.log_space import NEVER, exact, negative_log

if TYPE_CHECKING:
    from cupy_kernels.fsa import Automaton


def fsa_full_sum(log_probs: Any, frames: Any, automaton: Automaton) -> Any:
    """Return float32 [batch], see `native.fsa_full_sum`: forwards in log-space."""
    graph = _Graph(automaton)
    inside = tf.gather(frames, graph.of_states)
    cost = np.minimum(automaton.cost, -NEVER)

    def step(t: Any, sums: Any) -> Any:
        scores = tf.maximum(tf.gather_nd(log_probs[t], graph.picks) - cost, NEVER)
        new = _sum(tf.gather(sums, graph.source) + scores, graph.target, len(graph.of_states))
        return t + 1, tf.where(t < inside, new, sums)

    start = tf.constant(-np.minimum(automaton.start, -NEVER))
    time = tf.shape(log_probs)[0]
    _, sums = tf.while_loop(lambda t, _: t < time, step, (0, start), maximum_iterations=time)
    total = _sum(sums - np.minimum(automaton.final, -NEVER), graph.of_states, automaton.batch)
    return negative_log(total)


def fsa_best_path(log_probs: Any, frames: Any, automaton: Automaton) -> tuple[Any, Any, Any]:
    """Return int32 [batch, time] twice, and float32 [batch], see `native.fsa_best_path`."""
    graph = _Graph(automaton)
    # Of equally good edges into a state the one from the highest state, then the first.
    ties = np.argsort(-automaton.source.astype(np.int64), kind="stable")
    source, target, picks = graph.source[ties], graph.target[ties], graph.picks[ties]
    cost, none = automaton.cost[ties].astype(np.float64), len(ties)
    states, never = len(graph.of_states), float("-inf")
    inside = tf.gather(frames, graph.of_states)

    def step(before: tuple[Any, Any], t: Any) -> tuple[Any, Any]:
        ways = tf.gather(before[0], source) + (exact(tf.gather_nd(log_probs[t], picks)) - cost)
        most = _most(ways, target, states)
        best = (ways == tf.gather(most, target)) & (ways > never)
        edge = tf.where(best, np.arange(none, dtype=np.int32), none)
        edge = tf.minimum(tf.math.unsorted_segment_min(edge, target, states), none)
        return tf.where(t < inside, most, before[0]), tf.where(t < inside, edge, none)

    start = tf.constant(-automaton.start.astype(np.float64))
    steps = tf.range(tf.shape(log_probs)[0])
    totals, edges = tf.scan(step, steps, (start, tf.fill([states], none)))
    ends = totals[-1] - automaton.final.astype(np.float64)
    score = _most(ends, graph.of_states, automaton.batch)
    # Of equally good last states the highest.
    last = tf.where(ends == tf.gather(score, graph.of_states), np.arange(states, dtype=np.int32), 0)
    last = tf.math.unsorted_segment_max(last, graph.of_states, automaton.batch)

    before_edge = np.append(source, 0).astype(np.int32)

    def back(after: tuple[Any, Any], edges: Any) -> tuple[Any, Any]:
        edge = tf.gather(edges, after[0])
        return tf.where(edge == none, after[0], tf.gather(before_edge, edge)), edge

    _, path = tf.scan(back, edges, (last, tf.fill([automaton.batch], none)), reverse=True)
    path = tf.transpose(tf.where(score > never, path, none))
    numbers = (np.append(x[ties], np.int32(-1)) for x in (automaton.label, automaton.target))
    alignment, after = (tf.gather(x, path) for x in numbers)
    return alignment, after, tf.stop_gradient(tf.cast(score, tf.float32))


class _Graph:
    """The automata of a batch as one, whose states are numbered from the first one's on."""

    def __init__(self, automaton: Automaton):
        states, edges = np.diff(automaton.state_offsets), np.diff(automaton.edge_offsets)
        of_edges = np.repeat(np.arange(automaton.batch), edges)
        self.of_states = np.repeat(np.arange(automaton.batch), states)
        self.source = automaton.source + automaton.state_offsets[of_edges]
        self.target = automaton.target + automaton.state_offsets[of_edges]
        self.picks = np.stack([of_edges, automaton.label], axis=1)


def _most(scores: Any, segment: Any, number: int) -> Any:
    """Return the greatest score of each segment, -inf where there is none or no other."""
    found = tf.math.unsorted_segment_max(scores, segment, number)
    return tf.where(found > scores.dtype.min, found, float("-inf"))


def _sum(terms: Any, segment: Any, number: int) -> Any:
    """Return the log of the sum of e^terms for each segment."""
    top = tf.maximum(tf.math.unsorted_segment_max(terms, segment, number), NEVER)
    top = tf.stop_gradient(top)
    total = tf.math.unsorted_segment_sum(tf.exp(terms - tf.gather(top, segment)), segment, number)
    some = total > 0
    return tf.where(some, tf.math.log(tf.where(some, total, 1.0)) + top, NEVER)
