"""Sums over the paths of any automaton in TensorFlow's own operations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from returnn_lite.lazy import tf
from returnn_lite.native.log_space import NEVER, negative_log

if TYPE_CHECKING:
    from cupy_kernels.fsa import Automaton


def fsa_full_sum(log_probs: Any, frames: Any, automaton: Automaton) -> Any:
    """Return float32 [batch], see `native.fsa_full_sum`: forwards in log-space."""
    states, edges = np.diff(automaton.state_offsets), np.diff(automaton.edge_offsets)
    of_edges = np.repeat(np.arange(automaton.batch), edges)
    of_states = np.repeat(np.arange(automaton.batch), states)
    source = automaton.source + automaton.state_offsets[of_edges]
    target = automaton.target + automaton.state_offsets[of_edges]
    picks = np.stack([of_edges, automaton.label], axis=1)
    inside = tf.gather(frames, of_states)
    cost = np.minimum(automaton.cost, -NEVER)

    def step(t: Any, sums: Any) -> Any:
        scores = tf.maximum(tf.gather_nd(log_probs[t], picks) - cost, NEVER)
        new = _sum(tf.gather(sums, source) + scores, target, len(of_states))
        return t + 1, tf.where(t < inside, new, sums)

    start = tf.constant(-np.minimum(automaton.start, -NEVER))
    time = tf.shape(log_probs)[0]
    _, sums = tf.while_loop(lambda t, _: t < time, step, (0, start), maximum_iterations=time)
    total = _sum(sums - np.minimum(automaton.final, -NEVER), of_states, automaton.batch)
    return negative_log(total)


def _sum(terms: Any, segment: Any, number: int) -> Any:
    """Return the log of the sum of e^terms for each segment."""
    top = tf.maximum(tf.math.unsorted_segment_max(terms, segment, number), NEVER)
    top = tf.stop_gradient(top)
    total = tf.math.unsorted_segment_sum(tf.exp(terms - tf.gather(top, segment)), segment, number)
    some = total > 0
    return tf.where(some, tf.math.log(tf.where(some, total, 1.0)) + top, NEVER)
