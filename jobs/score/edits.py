"""Errors of a hypothesis: the fewest edits that lead from the reference to it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from rapidfuzz.distance import Levenshtein

Pair = tuple[str | None, str | None]  # a reference's token and the hypothesis' one, None: none


@dataclass(frozen=True)
class Counts:
    """Numbers of tokens in the reference, and of edits."""

    tokens: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0

    @property
    def errors(self) -> int:
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """Errors in percent of the tokens, rounded to 4 decimals; may be more than 100."""
        return round(100 * self.errors / self.tokens, 4)


def align(reference: Sequence[str], hypothesis: Sequence[str]) -> list[Pair]:
    """Align two sequences of tokens with the fewest edits (Levenshtein 1966), each of cost 1."""
    numbers: dict[str, int] = {}  # rapidfuzz compares hashes: numbers cannot collide
    first, second = (
        [numbers.setdefault(token, len(numbers)) for token in tokens]
        for tokens in (reference, hypothesis)
    )
    pairs: list[Pair] = []
    for block in Levenshtein.opcodes(first, second):
        old = reference[block.src_start : block.src_end]
        new = hypothesis[block.dest_start : block.dest_end]
        pairs += zip_longest(old, new)  # of equal length, or one is empty
    return pairs


def count(pairs: Iterable[Pair]) -> Counts:
    """Count the edits of an alignment."""
    tokens = substitutions = deletions = insertions = 0
    for reference, hypothesis in pairs:
        tokens += reference is not None
        deletions += hypothesis is None
        insertions += reference is None
        substitutions += None not in (reference, hypothesis) and reference != hypothesis
    return Counts(tokens, substitutions, deletions, insertions)


def total(counts: Iterable[Counts]) -> Counts:
    """Add up counts."""
    rows = [(c.tokens, c.substitutions, c.deletions, c.insertions) for c in counts]
    return Counts(*map(sum, zip(*rows, strict=True)))
