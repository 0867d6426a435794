"""Automata of hidden Markov models, made of labels by TensorFlow's own operations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from returnn_lite.lazy import tf
from returnn_lite.native.fsa_tf import Edges, Graph

if TYPE_CHECKING:
    from cupy_kernels.fsa import Hmm


def hmm_graph(phones: Any, counts: Any, hmm: Hmm) -> Graph:
    """Return the automata of `cupy_kernels.fsa.hmm_automaton`, of as many states as the longest.

    phones: int32 [batch, max_phones]. counts: int32 [batch]. States and edges that a sequence has
    not cost inf. Raises ValueError for tied states.
    """
    if hmm.tying is not None:
        raise ValueError(
            "fsa: found an Hmm with tying, needed one without it where automata are made in the "
            "graph, for export and XLA; try an Automaton that is made before"
        )
    most = tf.shape(phones)[1]
    first = int(hmm.silence is not None)  # the number of states of silence at each end
    width, speech = 1 + 2 * first + most * hmm.states, counts[:, None] * hmm.states
    state = tf.range(width)[None]
    spoken = (state > first) & (state <= first + speech)
    behind = (state == 2 + speech) & (speech > 0)
    silent = (state == 1) | behind if first else tf.zeros_like(spoken)
    place = tf.maximum(state - first - 1, 0) + tf.zeros_like(speech)
    padded = tf.pad(phones, [[0, 0], [0, 1]])  # so that there is one to take
    phone = tf.gather(padded, tf.minimum(place // hmm.states, most), batch_dims=1)
    label = tf.where(spoken, phone * hmm.states + place % hmm.states, 0)
    label = tf.where(silent, (hmm.silence or 0) * hmm.states, label)

    def costs(of_speech: float, of_silence: float) -> Any:
        return tf.where(spoken, of_speech, tf.where(silent, of_silence, 0.0))

    loop, leave = (costs(*pair) for pair in zip(hmm.speech, hmm.pause, strict=True))
    exists = spoken | silent
    kinds = [  # how far back the source is, which exist, cost; of each state's from the highest on
        (0, exists, loop),
        (1, exists, _moved(leave, 1)),
        (2, exists & (state == 2) & bool(first), _moved(leave, 2)),
    ]
    start = tf.where(state + tf.zeros_like(speech) == 0, 0.0, float("inf"))
    ends = (state == first + speech) | (silent & behind) | ((state == 0) & (speech == 0))
    edges = [
        Edges(state - back, state, label, tf.where(there, cost, float("inf")))
        for back, there, cost in kinds
    ]
    return Graph.made(edges, start, tf.where(ends, leave, float("inf")))


def _moved(x: Any, by: int) -> Any:
    """Return the costs of the states so many places before."""
    return tf.pad(x, [[0, 0], [by, 0]])[:, : tf.shape(x)[1]]
