"""Automata of the CTC and the RNA topology, made of labels by TensorFlow's own operations."""

from __future__ import annotations

from typing import Any

from returnn_lite.lazy import tf
from returnn_lite.native.fsa_tf import Edges, Graph

NEVER = float("inf")  # the cost of what there is not


def ctc_graph(labels: Any, counts: Any, blank: int, *, repetition: bool) -> Graph:
    """Return the automata of `cupy_kernels.fsa.ctc_automaton`, of as many states as the longest.

    labels: int32 [batch, max_labels], padded with anything. counts: int32 [batch]. repetition:
    whether a label may take several frames, else it is that of `rna_automaton`. States and edges
    that a sequence has not cost inf.
    """
    most, end = tf.shape(labels)[1], 2 * counts[:, None]
    state = tf.range(2 * most + 1)[None]
    there, spoken = state <= end, state % 2 == 1
    padded = tf.pad(labels, [[0, 0], [0, 1]])  # so that there is one for the last blank
    label = tf.where(spoken, tf.repeat(padded, 2, axis=1)[:, :-1], blank)
    before = tf.pad(label, [[0, 0], [2, 0]])[:, :-2]
    differ = (label != before) | (not repetition)
    kinds = [  # how far back the source is, and which exist; of each state's from the highest on
        (0, there & (~spoken | repetition)),
        (1, there & (state >= 1)),
        (2, there & spoken & (state >= 3) & differ),
    ]
    edges = [Edges(state - n, state, label, tf.where(x, 0.0, NEVER)) for n, x in kinds]
    start = tf.where((state == 0) & there, 0.0, NEVER)
    final = tf.where((state == end) | ((state == end - 1) & spoken), 0.0, NEVER)
    return Graph.made(edges, start, final)
