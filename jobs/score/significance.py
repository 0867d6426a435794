"""Whether two systems differ: matched pairs of segments, and a bootstrap of matched sentences."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from jobs.score.bootstrap import interval
from jobs.score.edits import Pair, count

FEW = 20  # segments, of which less tell nothing by the normal distribution
GOOD = 2  # words in a row that both systems have right, which end a segment
RESAMPLES = 1000


@dataclass(frozen=True)
class Comparison:
    """The second of two systems against the first, on the same sentences.

    difference, interval: of the word error rates, second less first, in percent points, with its
    95 % bootstrap interval. p: of the MAPSSWE test, two-tailed, None for too few segments.
    """

    difference: float
    interval: tuple[float, float]
    p: float | None
    segments: int

    @property
    def turned(self) -> Comparison:
        """The first system against the second."""
        low, high = self.interval
        return Comparison(-self.difference, (-high, -low), self.p, self.segments)


def compare(
    first: Sequence[Sequence[Pair]], second: Sequence[Sequence[Pair]], seed: int = 1
) -> Comparison:
    """Compare two systems; first, second: the aligned words of each sentence, in the same order.

    The sentences of a resample are the same for both systems (Bisani and Ney, ICASSP 2004).
    """
    counts = [(count(a), count(b)) for a, b in zip(first, second, strict=True)]
    tokens = np.array([a.tokens for a, _ in counts])
    errors = np.array([b.errors - a.errors for a, b in counts])
    low, high = interval(errors, tokens, RESAMPLES, seed)
    found = [s for a, b in zip(first, second, strict=True) for s in segments(a, b)]
    return Comparison(
        difference=100 * float(errors.sum() / tokens.sum()),
        interval=(100 * low, 100 * high),
        p=mapsswe(found),
        segments=len(found),
    )


def mapsswe(pairs: Sequence[tuple[int, int]]) -> float | None:
    """Return the probability of no difference between two systems, two-tailed.

    pairs: errors of both in each segment. The matched-pairs sentence-segment word error test
    (Gillick and Cox, ICASSP 1989) takes the mean difference as normally distributed; None for fewer
    than FEW segments, where it is not.
    """
    if len(pairs) < FEW:
        return None
    differences = np.array([a - b for a, b in pairs], np.float64)
    mean, deviation = float(differences.mean()), float(differences.std(ddof=1))
    if not deviation:
        return 1.0 if not mean else 0.0
    return math.erfc(abs(mean) / deviation * math.sqrt(len(pairs) / 2))


def segments(first: Sequence[Pair], second: Sequence[Pair]) -> Iterator[tuple[int, int]]:
    """Yield the errors of two systems in each segment of a sentence that has any.

    Segments are kept apart by GOOD or more words in a row that both have right.
    """
    errors, good = [0, 0], 0
    for place, here in enumerate(zip(_steps(first), _steps(second), strict=True)):
        if not any(here):
            good += place % 2  # every second place is a word
            continue
        if good >= GOOD and any(errors):
            yield errors[0], errors[1]
            errors = [0, 0]
        errors = [e + h for e, h in zip(errors, here, strict=True)]
        good = 0
    if any(errors):
        yield errors[0], errors[1]


def _steps(pairs: Sequence[Pair]) -> list[int]:
    """Return the errors at each place of a sentence: before its first word, at it, behind it..."""
    found = [0]
    for reference, hypothesis in pairs:
        if reference is None:
            found[-1] += 1
        else:
            found += [int(reference != hypothesis), 0]
    return found
