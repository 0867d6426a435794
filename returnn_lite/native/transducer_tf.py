"""Transducer full-sum and best path in TensorFlow's own operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from returnn_lite import random
from returnn_lite.lazy import tf
from returnn_lite.native.log_space import NEVER, after_scan, exact, negative_log, path_to


def transducer_loss(*arrays: Any, blank: int, topology: str) -> Any:
    """Return float32 [batch], see `native.transducer_loss`: forwards in log-space."""
    lattice = _Lattice(*arrays, blank=blank, topology=topology, never=NEVER)

    def step(d: Any, after_blank: Any, after_label: Any) -> Any:
        scores, next_scores, repeat_scores = lattice.scores(d)
        every = _add(after_blank, after_label)
        emitted = _add(after_blank, tf.where(lattice.direct, after_label, NEVER)) + next_scores
        new_blank = tf.maximum(every + scores, NEVER)
        repeated = after_label + repeat_scores
        new_label = tf.maximum(_add(_shifted(emitted, NEVER), repeated), NEVER)
        valid = (d < lattice.steps)[:, None]
        pairs = ((new_blank, after_blank), (new_label, after_label))
        return d + 1, *(tf.where(valid, new, old) for new, old in pairs)

    start = tf.one_hot(tf.zeros_like(lattice.counts), lattice.width, 0.0, NEVER)
    _, after_blank, after_label = tf.while_loop(
        lambda d, *_: d < lattice.number,
        step,
        (0, start, tf.fill(tf.shape(start), NEVER)),
        maximum_iterations=lattice.number,
    )
    if lattice.diagonal:  # the last step is a blank
        after_label = tf.where((lattice.frames == 0)[:, None], after_label, NEVER)
    total = tf.gather(_add(after_blank, after_label), lattice.counts, batch_dims=1)
    return negative_log(total)


def transducer_align(*arrays: Any, blank: int, topology: str) -> tuple[Any, Any, Any]:
    """Return int32 [batch, steps], int32 and float32 [batch], see `native.transducer_align`.

    State 2 u is the one after label u, 2 u + 1 that after a blank behind it.
    """
    never = float("-inf")
    lattice = _Lattice(*arrays, blank=blank, topology=topology, never=never)

    def step(before: tuple[Any, ...], d: Any) -> tuple[Any, ...]:
        after_blank, after_label, _ = before
        scores, next_scores, repeat_scores = map(exact, lattice.scores(d))
        direct = tf.where(lattice.direct, after_label, never)
        into_blank = tf.stack([after_blank + scores, after_label + scores])
        emitted = (_shifted(x + next_scores, never) for x in (after_blank, direct))
        into_label = tf.stack([after_label + repeat_scores, *emitted])
        # Of equal ways the first one, that from the furthest state.
        moves = [tf.argmax(x, axis=0, output_type=tf.int32) for x in (into_label, into_blank)]
        move = tf.reshape(tf.stack(moves, axis=2), tf.shape(no_moves))
        move.set_shape(no_moves.shape)
        valid = (d < lattice.steps)[:, None]
        new_blank, new_label = (tf.reduce_max(x, axis=0) for x in (into_blank, into_label))
        pairs = ((new_blank, after_blank), (new_label, after_label), (move, tf.zeros_like(move)))
        return tuple(tf.where(valid, new, old) for new, old in pairs)

    zero, impossible = (tf.constant(x, tf.float64) for x in (0.0, never))
    start = tf.one_hot(tf.zeros_like(lattice.counts), lattice.width, zero, impossible)
    no_moves = tf.zeros([tf.shape(start)[0], 2 * lattice.width], tf.int32)
    first = (start, tf.fill(tf.shape(start), impossible), no_moves)
    after_blank, after_label, moves = tf.scan(step, tf.range(lattice.number), first)
    ends = (after_scan(x, y) for x, y in zip((after_blank, after_label), first, strict=False))
    last = [tf.gather(x, lattice.counts, batch_dims=1) for x in ends]
    state = 2 * lattice.counts + tf.cast(last[0] >= last[1], tf.int32)
    score = tf.cast(tf.maximum(*last), tf.float32)
    path = path_to(state, moves)
    found = tf.sequence_mask(lattice.steps, lattice.number) & (score > never)[:, None]
    labels = tf.gather(lattice.last_label, path // 2, batch_dims=1)
    path = tf.where(found & (path % 2 == 0), labels, blank)
    return path, lattice.steps, tf.stop_gradient(score)


def fused(
    function: Callable[..., Any],
    inputs: Sequence[Any],
    sequences: Sequence[Any],
    *,
    blank: int,
    topology: str,
    activation: str,
    separate_emit: bool,
    dropout: Any,
) -> Any:
    """Return what a function of log-probabilities makes of those of a joint network, all stored.

    inputs, options: see `native.transducer_fused_loss`.
    """
    encoder, predictor, weight, bias = inputs
    hidden = _hidden(encoder[:, :, None] + predictor[:, None], activation)
    if dropout is not None:
        hidden = _dropped(hidden, dropout)
    logits = tf.tensordot(hidden, weight, 1) + bias
    log_probs = _separate(logits, blank) if separate_emit else tf.nn.log_softmax(logits)
    return function(log_probs, *sequences, blank=blank, topology=topology)


def _separate(logits: Any, blank: int) -> Any:
    """Return the log-probabilities of a model whose blank's logit is that of its emission."""
    emit = logits[..., blank : blank + 1]
    is_blank = tf.range(logits.shape[-1]) == blank
    labels = tf.nn.log_softmax(tf.where(is_blank, NEVER, logits))
    labels += tf.math.log_sigmoid(emit)
    return tf.where(is_blank, tf.math.log_sigmoid(-emit), labels)


def _hidden(x: Any, activation: str) -> Any:
    if activation == "maxout":
        return tf.reduce_max(tf.reshape(x, [*tf.unstack(tf.shape(x)[:3]), -1, 2]), axis=-1)
    if activation == "linear":
        return x
    if activation == "gelu_tanh":
        return tf.nn.gelu(x, approximate=True)
    return getattr(tf.math if activation == "log_sigmoid" else tf.nn, activation)(x)


def _dropped(hidden: Any, dropout: Any) -> Any:
    """Return what a `native.JointDropout` leaves."""
    sizes = tf.shape(hidden, tf.int64)
    places = tf.zeros([1, 1, 1, 1], tf.int64)
    for axis in range(4):
        stride = dropout.strides[axis] if axis < 3 else 1
        shape = [-1 if i == axis else 1 for i in range(4)]
        places += tf.reshape(tf.range(sizes[axis]) * stride, shape)
    noise = random.uniform([tf.reduce_max(places) + 1], dropout.seed)
    keep = tf.cast(tf.gather(noise, places) >= dropout.rate, hidden.dtype)
    return hidden * keep / (1.0 - dropout.rate)


class _Lattice:
    """The steps that paths take, and their scores.

    After step d a path has u labels out, and is at frame d, in topology "rnnt" at frame d - u.
    """

    def __init__(
        self,
        log_probs: Any,
        frames: Any,
        labels: Any,
        counts: Any,
        *,
        blank: int,
        topology: str,
        never: float,
    ):
        self.frames, self.counts, self.never = frames, counts, never
        self.diagonal = int(topology == "rnnt")
        self.steps = frames + self.diagonal * counts
        most = tf.shape(labels)[1]
        self.width = most + 1
        self.number = tf.shape(log_probs)[1] + self.diagonal * most
        used = tf.where(tf.sequence_mask(counts, most), labels, blank)
        next_label = tf.pad(used, [[0, 0], [0, 1]], constant_values=blank)
        self.last_label = tf.pad(used, [[0, 0], [1, 0]], constant_values=-1)
        self.direct = (next_label != self.last_label) | (topology != "ctc")
        self._places = tf.range(self.width)
        self._again = (self._places > 0) & (topology == "ctc")
        self._blanks = self._scores(tf.transpose(log_probs[..., blank], [0, 2, 1]))
        self._nexts = self._picked(log_probs, next_label)
        self._repeats = self._picked(log_probs, tf.maximum(self.last_label, 0))

    def scores(self, d: Any) -> tuple[Any, Any, Any]:
        """Return those of the blank, of the next label, and of the last one once more, in a step.

        They are [batch, max_labels + 1], where so many labels are out; `never` where impossible.
        """
        t = d - self.diagonal * self._places
        inside = (t >= 0) & (t < self.frames[:, None]) & (self._places <= self.counts[:, None])

        def at(scores: Any, possible: Any) -> Any:
            rows = tf.clip_by_value(t, 0, tf.shape(scores)[2] - 1)
            rows = tf.broadcast_to(rows, [tf.shape(scores)[0], self.width])
            picked = tf.gather(scores, rows, batch_dims=2)
            return tf.where(inside & possible, picked, self.never)

        more = self._places < self.counts[:, None]
        return at(self._blanks, True), at(self._nexts, more), at(self._repeats, self._again)

    def _picked(self, log_probs: Any, labels: Any) -> Any:
        """Return [batch, max_labels + 1, time + 1], of a label for each number of labels out."""
        rows = tf.transpose(log_probs, [0, 2, 3, 1])
        return self._scores(tf.gather(rows, labels, batch_dims=2))

    def _scores(self, x: Any) -> Any:
        """Return scores [..., time + 1], with a last frame so that there is one to take."""
        return tf.pad(tf.maximum(x, self.never), [[0, 0], [0, 0], [0, 1]])


def _shifted(scores: Any, never: float) -> Any:
    """Return the scores where one more label is out."""
    return tf.pad(scores[:, :-1], [[0, 0], [1, 0]], constant_values=never)


def _add(a: Any, b: Any) -> Any:
    return tf.reduce_logsumexp(tf.stack([a, b]), axis=0)
