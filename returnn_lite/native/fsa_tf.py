"""Sums over the paths of automata, and the best one, in TensorFlow's own operations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from returnn_lite.lazy import tf
from returnn_lite.native.log_space import NEVER, exact, negative_log

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cupy_kernels.fsa import Automaton


class Edges(NamedTuple):
    """Some edges of each sequence of a batch: [batch, ...], or what broadcasts to its cost.

    source, target: int32, states, counted from their sequence's first. label: int32. cost: float32,
    inf where there is no edge, whatever the others are.
    """

    source: Any
    target: Any
    label: Any
    cost: Any

    def flat(self, numbers: Any, width: Any) -> tuple[Any, Any, Any, Any]:
        """Return them in one row each, with states counted from those of all sequences.

        numbers: int32 [batch], of the sequences. width: how many states each of them has.
        """
        there = self.cost < float("inf")
        first = tf.reshape(numbers * width, [-1] + [1] * (len(self.cost.shape) - 1))
        found = [tf.where(there, x, 0) for x in (self.source, self.target, self.label)]
        found = [found[0] + first, found[1] + first, found[2], self.cost]
        source, target, label, cost = (tf.reshape(x, [-1]) for x in found)
        return source, target, label, cost


class Graph(NamedTuple):
    """The automata of a batch as one, whose states are numbered from the first one's on.

    Of the edges into a state those from higher states come first. source, target, label, of_edges:
    of each edge, the latter its sequence; of_states: that of each state; first_state: of each
    sequence. cost, start, final: see `cupy_kernels.fsa.Automaton`. batch, states: their numbers.
    """

    source: Any
    target: Any
    label: Any
    cost: Any
    start: Any
    final: Any
    of_edges: Any
    of_states: Any
    first_state: Any
    batch: Any
    states: Any

    @classmethod
    def of(cls, automaton: Automaton) -> Graph:
        """Return what is there before the graph runs."""
        order = np.argsort(-automaton.source.astype(np.int64), kind="stable")
        numbers, first = np.arange(automaton.batch, dtype=np.int32), automaton.state_offsets[:-1]
        of_edges = np.repeat(numbers, np.diff(automaton.edge_offsets))[order]
        return cls(
            source=(automaton.source[order] + first[of_edges]).astype(np.int32),
            target=(automaton.target[order] + first[of_edges]).astype(np.int32),
            label=automaton.label[order],
            cost=automaton.cost[order],
            start=automaton.start,
            final=automaton.final,
            of_edges=of_edges,
            of_states=np.repeat(numbers, np.diff(automaton.state_offsets)),
            first_state=first.astype(np.int32),
            batch=automaton.batch,
            states=len(automaton.start),
        )

    @classmethod
    def made(cls, edges: Iterable[Edges], start: Any, final: Any) -> Graph:
        """Return what is made when the graph runs, of as many states for every sequence.

        edges: some of each sequence, from `Edges`; of those into a state, within some and from some
        to the next, from higher states first. start, final: float32 [batch, states].
        """
        batch, width = tf.unstack(tf.shape(start))
        numbers = tf.range(batch)
        blocks = [some.flat(numbers, width) for some in edges]
        source, target, label, cost = (tf.concat(x, 0) for x in zip(*blocks, strict=True))
        return cls(
            source=source,
            target=target,
            label=label,
            cost=cost,
            start=tf.reshape(start, [-1]),
            final=tf.reshape(final, [-1]),
            of_edges=target // width,
            of_states=tf.repeat(numbers, width),
            first_state=numbers * width,
            batch=batch,
            states=batch * width,
        )

    @property
    def picks(self) -> Any:
        """int32 [edges, 2]: where an edge's score stands in a frame."""
        return tf.stack([self.of_edges, self.label], axis=1)


def fsa_full_sum(log_probs: Any, frames: Any, graph: Graph) -> Any:
    """Return float32 [batch], see `native.fsa_full_sum`: forwards in log-space."""
    inside, picks = tf.gather(frames, graph.of_states), graph.picks
    cost, start, final = (tf.minimum(x, -NEVER) for x in (graph.cost, graph.start, graph.final))

    def step(t: Any, sums: Any) -> Any:
        scores = tf.maximum(tf.gather_nd(log_probs[t], picks) - cost, NEVER)
        new = _sum(tf.gather(sums, graph.source) + scores, graph.target, graph.states)
        return t + 1, tf.where(t < inside, new, sums)

    time = tf.shape(log_probs)[0]
    _, sums = tf.while_loop(lambda t, _: t < time, step, (0, -start), maximum_iterations=time)
    return negative_log(_sum(sums - final, graph.of_states, graph.batch))


def fsa_best_path(log_probs: Any, frames: Any, graph: Graph) -> tuple[Any, Any, Any]:
    """Return int32 [batch, time] twice, and float32 [batch], see `native.fsa_best_path`."""
    source, target, picks, states = graph.source, graph.target, graph.picks, graph.states
    cost, start, final = (tf.cast(x, tf.float64) for x in (graph.cost, graph.start, graph.final))
    none, never = tf.size(source), float("-inf")
    inside = tf.gather(frames, graph.of_states)

    def step(before: tuple[Any, Any], t: Any) -> tuple[Any, Any]:
        ways = tf.gather(before[0], source) + (exact(tf.gather_nd(log_probs[t], picks)) - cost)
        most = _most(ways, target, states)
        best = (ways == tf.gather(most, target)) & (ways > never)
        edge = tf.where(best, tf.range(none), none)
        # Of equally good edges into a state the one from the highest state, then the first.
        edge = tf.minimum(tf.math.unsorted_segment_min(edge, target, states), none)
        return tf.where(t < inside, most, before[0]), tf.where(t < inside, edge, none)

    # With one frame more, which no sequence has: a scan needs one.
    time = tf.shape(log_probs)[0]
    log_probs, steps = tf.pad(log_probs, [[0, 1], [0, 0], [0, 0]]), tf.range(time + 1)
    totals, edges = tf.scan(step, steps, (-start, tf.fill([states], none)))
    ends = totals[-1] - final
    score = _most(ends, graph.of_states, graph.batch)
    # Of equally good last states the highest.
    last = tf.where(ends == tf.gather(score, graph.of_states), tf.range(states), 0)
    last = tf.math.unsorted_segment_max(last, graph.of_states, graph.batch)
    before_edge = tf.pad(source, [[0, 1]])

    def back(after: tuple[Any, Any], edges: Any) -> tuple[Any, Any]:
        edge = tf.gather(edges, after[0])
        return tf.where(edge == none, after[0], tf.gather(before_edge, edge)), edge

    _, path = tf.scan(back, edges, (last, tf.fill([graph.batch], none)), reverse=True)
    path = tf.transpose(tf.where(score > never, path[:time], none))
    numbers = (graph.label, target - tf.gather(graph.first_state, graph.of_edges))
    alignment, after = (tf.gather(tf.pad(x, [[0, 1]], constant_values=-1), path) for x in numbers)
    return alignment, after, tf.stop_gradient(tf.cast(score, tf.float32))


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
