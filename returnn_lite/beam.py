"""The hypotheses of a search, hidden in the batch dim of what depends on them."""

from __future__ import annotations

from typing import Any

from returnn_lite.errors import NetworkError
from returnn_lite.lazy import tf


class Beam:
    """A set of hypotheses per sequence, made by one choice from those of the choice before.

    name: the layer that chose. size: hypotheses per sequence. parent: the beam chosen from, None
    for the beginning of a loop. source: int32 [batch, size], for each hypothesis the entry of the
    parent that it continues. scores: float32 [batch, size], log-probability of each hypothesis.
    truth: int32 [batch], which of them is the ground truth, where that is always among them.

    The choices of a step form a chain, so any two beams of one step have a common descendant.
    """

    def __init__(
        self,
        name: str,
        size: int,
        parent: Beam | None = None,
        source: Any = None,
        scores: Any = None,
        truth: Any = None,
    ):
        self.name = name
        self.size = size
        self.parent = parent
        self.source = source
        self.scores = scores
        self.truth = truth

    def __repr__(self) -> str:
        return f"beam {self.name!r}, beam size {self.size}"

    def depth(self) -> int:
        """Return how many choices lie between this beam and the beginning of its chain."""
        return 0 if self.parent is None else 1 + self.parent.depth()

    def descends_from(self, other: Beam) -> bool:
        """Whether a beam is this one or an ancestor of it."""
        return self is other or (self.parent is not None and self.parent.descends_from(other))

    def source_in(self, ancestor: Beam) -> Any:
        """Return int32 [batch, size]: the entry of an ancestor that each hypothesis continues.

        Raises NetworkError where the other beam is none: it is that of another search.
        """
        if self is ancestor:
            batch = tf.shape(self.scores)[0]
            return tf.tile(tf.range(self.size)[None, :], [batch, 1])
        if self.parent is None:
            raise _of_two_searches(ancestor, self)
        if self.parent is ancestor:
            return self.source
        return tf.gather(self.parent.source_in(ancestor), self.source, batch_dims=1)


def latest(beams: list[Beam | None]) -> Beam | None:
    """Return the beam into which data of all the given beams can be brought.

    Raises NetworkError where there is none: the beams are those of different searches.
    """
    known = [b for b in beams if b is not None]
    last = max(known, key=Beam.depth) if known else None
    for beam in known:
        assert last is not None
        if not last.descends_from(beam):
            raise _of_two_searches(beam, last)
    return last


def _of_two_searches(one: Beam, other: Beam) -> NetworkError:
    return NetworkError(f"found {one} and {other}, needed those of one search; try 'decide'")
