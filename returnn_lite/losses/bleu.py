"""Sentence BLEU, as a loss of a hypothesis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from returnn_lite.data import Data
from returnn_lite.dim import BATCH
from returnn_lite.errors import NetworkError
from returnn_lite.lazy import tf
from returnn_lite.losses.base import Criterion, Given, Parts, register
from returnn_lite.losses.sequence import by_sequence


@register("bleu")
@dataclass(frozen=True, kw_only=True)
class Bleu(Criterion):
    """One minus the BLEU of each sequence, as its error; there is no value.

    max_order: the longest n-grams that count. The counts of those longer than one are each plus
    one, so that sequences without a match differ, too (Papineni et al., 2002; Lin and Och, 2004).
    In an expected_loss over the hypotheses of a search, the expected BLEU is maximised.
    """

    by_frame = False
    in_search = True
    max_order: int = 4

    def check(self) -> None:
        """Check the order."""
        if self.max_order < 1:
            raise NetworkError(f"found max_order {self.max_order}, needed 1 or more")

    def check_target(self, out: Data, target: Data) -> None:
        """Check that both are sequences of labels."""
        for x in (out, target):
            if x.sparse_dim is None or {*x.dims} != {BATCH, x.time_dim}:
                raise NetworkError(f"found {x}, needed labels [batch, time]")

    def parts(self, given: Given) -> Parts:
        """Return the error of every hypothesis."""
        found, target = (self._sequences(given, x) for x in (given.out, given.target))
        bleu = sentence_bleu(*found, *target, max_order=self.max_order)
        return Parts(error=by_sequence(given.out, 1.0 - bleu))

    def _sequences(self, given: Given, x: Data) -> tuple[Any, Any]:
        assert x.time_dim is not None
        return x.ordered([BATCH, x.time_dim]).tensor, given.run.lengths_of(x.time_dim, x.beam)


def sentence_bleu(
    labels: Any, lengths: Any, reference: Any, reference_lengths: Any, *, max_order: int = 4
) -> Any:
    """Return float32 [batch], the smoothed BLEU of each sequence, 0 to 1.

    labels, reference: int32 [batch, time]; lengths, reference_lengths: int32 [batch].
    """
    logs = []
    for n in range(1, max_order + 1):
        matches = _matches(labels, lengths, reference, reference_lengths, n)
        total = tf.cast(tf.maximum(lengths - n + 1, 0), tf.float32)
        plus = 0.0 if n == 1 else 1.0
        logs.append(tf.math.log((matches + plus) / tf.maximum(total + plus, 1.0)))
    ratio = tf.cast(reference_lengths, tf.float32) / tf.maximum(tf.cast(lengths, tf.float32), 1.0)
    return tf.exp(tf.add_n(logs) / max_order + tf.minimum(1.0 - ratio, 0.0))


def _matches(labels: Any, lengths: Any, reference: Any, reference_lengths: Any, n: int) -> Any:
    """Return float32 [batch]: how many n-grams of labels are in the reference, each as often."""
    own = _same(labels, lengths, labels, lengths, n)
    other = _same(labels, lengths, reference, reference_lengths, n)
    # Each of several equal n-grams has its share of what all of them may count.
    counts = tf.reduce_sum(own, axis=2)
    found = tf.minimum(counts, tf.reduce_sum(other, axis=2))
    return tf.reduce_sum(tf.math.divide_no_nan(found, counts), axis=1)


def _same(a: Any, a_lengths: Any, b: Any, b_lengths: Any, n: int) -> Any:
    """Return float32 [batch, time of a, time of b]: whether the n-grams that begin there agree."""
    found = a[:, :, None] == b[:, None, :]
    rows, columns = tf.shape(a)[1], tf.shape(b)[1]
    # Sequences may be shorter than n.
    same = tf.pad(found, [[0, 0], [0, n - 1], [0, n - 1]])
    for i in range(1, n):
        found &= same[:, i : i + rows, i : i + columns]
    valid = (
        tf.range(tf.shape(x)[1])[None] + n <= k[:, None]
        for x, k in ((a, a_lengths), (b, b_lengths))
    )
    in_a, in_b = valid
    return tf.cast(found & in_a[:, :, None] & in_b[:, None, :], tf.float32)
