"""One step of a beam search: the best extensions of the hypotheses of a beam."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from returnn_lite.beam import Beam
from returnn_lite.lazy import tf

Merge = Literal["max", "sum"]


class Extending(NamedTuple):
    """How extensions are chosen, besides by their scores; None and the defaults for by these alone.

    lengths: float32 [batch, parent size], what the score of an extension is divided by to rank it.
    noise: float32 [batch, parent size, labels], added to rank it. truth: int32 [batch], which label
    comes next in the truth, whose hypothesis is kept whatever its score. ids: int64 [batch, parent
    size, labels], equal for extensions that are merged; merge: the score of what is merged is the
    greatest, or the sum of the probabilities. separately: bool [], whether equally many extensions
    of every hypothesis are kept, at most one for each label, rather than the best of all.
    """

    lengths: Any = None
    noise: Any = None
    truth: Any = None
    ids: Any = None
    merge: Merge = "max"
    separately: Any = None


BY_SCORE = Extending()


def extend(
    parent: Beam, scores: Any, size: int, name: str, how: Extending = BY_SCORE
) -> tuple[Beam, Any]:
    """Return the best extensions of a beam's hypotheses, and their labels int32 [batch * size].

    scores: float32 [batch, parent size, labels], of the hypotheses with the label. The first is the
    best one; where there are too few, the others have the score -inf.
    """
    labels = scores.shape[-1]
    labels = tf.shape(scores)[-1] if labels is None else labels
    flat = _padded(tf.reshape(scores, [-1, parent.size * labels]), size)
    if how is BY_SCORE:
        best, index = tf.math.top_k(flat, size)
        return _beam(parent, name, labels, index, best)
    order = _padded(tf.reshape(_order(scores, how), [-1, parent.size * labels]), size)
    if how.ids is not None:
        flat, order = _merged(flat, order, size, labels, how)
    truth = None
    if how.truth is not None:
        truth = parent.truth * labels + how.truth
    index = _chosen(order, parent, size, labels, how, truth)
    if truth is not None or how.separately is not None:
        # Those that were chosen for another reason than their rank are put where that is.
        rank = tf.gather(order, index, batch_dims=1)
        rank = tf.argsort(rank, direction="DESCENDING", stable=True)
        index = tf.gather(index, rank, batch_dims=1)
    beam, found = _beam(parent, name, labels, index, tf.gather(flat, index, batch_dims=1))
    if truth is not None:
        beam.truth = place_of(truth, index)
    return beam, found


def place_of(wanted: Any, entries: Any) -> Any:
    """Return int32 [batch]: where in entries [batch, size] that of each row is, int32 [batch]."""
    found = tf.cast(entries == wanted[:, None], tf.int32)
    return tf.argmax(found, axis=1, output_type=tf.int32)


def _padded(scores: Any, size: int) -> Any:
    """Return scores with -inf behind them, so many that there are as many as a size."""
    known = scores.shape[-1]
    missing = size if known is None else size - known
    if missing <= 0:
        return scores
    paddings = [[0, 0]] * (len(scores.shape) - 1) + [[0, missing]]
    return tf.pad(scores, paddings, constant_values=float("-inf"))


def _beam(parent: Beam, name: str, labels: Any, index: Any, scores: Any) -> tuple[Beam, Any]:
    """Return the beam of chosen extensions, and their labels; index: label + labels * parent's."""
    source = tf.minimum(index // labels, parent.size - 1)
    beam = Beam(name, scores.shape[-1], parent, source, scores)
    return beam, tf.reshape(index % labels, [-1])


def _order(scores: Any, how: Extending) -> Any:
    """Return what extensions are ranked by."""
    if how.noise is not None:
        scores += how.noise
    if how.lengths is not None:
        scores /= how.lengths[:, :, None]
    return scores


def _chosen(order: Any, parent: Beam, size: int, labels: Any, how: Extending, truth: Any) -> Any:
    """Return int32 [batch, size]: which extensions are kept."""
    if truth is not None:
        is_truth = tf.range(tf.shape(order)[-1])[None] == truth[:, None]
        order = tf.where(is_truth, float("inf"), order)
    if how.separately is None:
        return tf.math.top_k(order, size).indices

    def separately() -> Any:
        each = tf.reshape(order[:, : parent.size * labels], [-1, parent.size, labels])
        count = size // parent.size
        each = _padded(each, count)
        best = tf.math.top_k(each, count).indices
        # What there is not is behind all that there is, with the score -inf.
        first = labels * tf.range(parent.size)[None, :, None]
        best = tf.where(best < labels, best + first, labels * parent.size)
        return tf.reshape(best, [-1, size])

    return tf.cond(how.separately, separately, lambda: tf.math.top_k(order, size).indices)


def _merged(flat: Any, order: Any, size: int, labels: Any, how: Extending) -> tuple[Any, Any]:
    """Return scores and order after those of equal ids were merged into the best one of each.

    Only the best candidates are compared, four for each hypothesis that will be kept: an id is
    reached by three extensions at most, in CTC.
    """
    parents = how.ids.shape[1]
    count = tf.minimum(parents * labels, 4 * size)
    rank, index = tf.math.top_k(order[:, : parents * labels], count)
    scores = tf.gather(flat, index, batch_dims=1)
    ids = tf.gather(tf.reshape(how.ids, [-1, parents * labels]), index, batch_dims=1)
    real = scores > float("-inf")
    same = (ids[:, :, None] == ids[:, None, :]) & real[:, :, None] & real[:, None, :]
    merged = scores
    if how.merge == "sum":
        of_same = tf.where(same, scores[:, None, :], float("-inf"))
        merged = tf.where(real, tf.reduce_logsumexp(of_same, axis=2), scores)
        more = tf.where(real, merged - scores, 0.0)
        if how.lengths is not None:
            more /= tf.gather(how.lengths, index // labels, batch_dims=1)
        rank += more
    earlier = tf.range(count)[None, :] < tf.range(count)[:, None]
    again = tf.reduce_any(same & earlier, axis=2)
    rows = tf.broadcast_to(tf.range(tf.shape(index)[0])[:, None], tf.shape(index))
    places = tf.stack([rows, index], axis=2)
    # What was not among the best is out.
    out = tf.fill(tf.shape(flat), float("-inf"))
    merged, rank = (tf.where(again, float("-inf"), x) for x in (merged, rank))
    return (
        tf.tensor_scatter_nd_update(out, places, merged),
        tf.tensor_scatter_nd_update(out, places, rank),
    )
