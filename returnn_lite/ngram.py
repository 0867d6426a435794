"""Language models of n-grams with back-off."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

BEGIN, END, UNKNOWN = b"<s>", b"</s>", b"<unk>"
NONE = -1  # the number of what is no n-gram of the model

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Level:
    """The n-grams of one order above 1, sorted by key.

    keys: int64, the number of the n-gram without its last word, among those of the order below,
    times the number of words, plus the last word; behind the last one, a key that none has.
    log_prob, backoff: float32, log10, an entry for each key.
    """

    keys: Array
    log_prob: Array
    backoff: Array

    @classmethod
    def of(cls, keys: Array, log_prob: Array, backoff: Array) -> Level:
        """Return that of n-grams in any order."""
        order = np.argsort(keys, kind="stable")
        end = np.array([np.iinfo(np.int64).max])
        log_prob, backoff = (np.append(x[order], np.float32(0)) for x in (log_prob, backoff))
        return cls(np.append(keys[order], end), log_prob, backoff)

    def find(self, keys: Array) -> Array:
        """Return int64, the numbers of n-grams by their keys, -1 for what is none."""
        at = np.searchsorted(self.keys, keys)
        return np.where(self.keys[at] == keys, at, NONE)


@dataclass(frozen=True, eq=False)
class NGrams:
    """A language model with back-off (Katz, 1987, Estimation of Probabilities from Sparse Data).

    words: the number of each word; `<s>`, `</s>` and `<unk>` are among them. log_prob, backoff:
    float32 [words], log10, those of single words. levels: the n-grams of each order from 2 on. A
    context has a number for each order below the model's, the lowest first: that of its last words
    among the n-grams of that order, -1 where these are none.
    """

    words: dict[bytes, int]
    log_prob: Array
    backoff: Array
    levels: tuple[Level, ...]

    @property
    def order(self) -> int:
        """How many words the longest n-grams have."""
        return len(self.levels) + 1

    @property
    def backoffs(self) -> list[Array]:
        """The back-off weights of contexts, by their order: log10."""
        return [self.backoff, *(level.backoff for level in self.levels)][: self.order - 1]

    def word(self, text: str) -> int:
        """Return the number of a word, that of `<unk>` for one that is not known."""
        return self.words.get(text.encode(), self.words[UNKNOWN])

    def begin(self) -> tuple[int, ...]:
        """Return the context of the first word: `<s>`."""
        return (self.words[BEGIN], *[NONE] * self.order)[: self.order - 1]

    def score(self, context: Sequence[int], word: str) -> tuple[float, tuple[int, ...]]:
        """Return the natural logarithm of the probability of a word, and the context behind it."""
        number = self.word(word)
        found, total = [number], float(self.log_prob[number])
        for level, before, backoff in zip(self.levels, context, self.backoffs, strict=True):
            at = NONE
            if before != NONE:
                at = int(level.find(np.array(before * len(self.words) + number)))
                total += float(backoff[before])
            total = float(level.log_prob[at]) if at != NONE else total
            found.append(at)
        return total * math.log(10), tuple(found[: self.order - 1])

    def score_words(self, words: Sequence[str]) -> float:
        """Return the natural logarithm of the probability of words, of `</s>` if it is the last."""
        context, total = self.begin(), 0.0
        for word in words:
            score, context = self.score(context, word)
            total += score
        return total
