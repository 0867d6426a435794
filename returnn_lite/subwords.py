"""Scores of words by a language model of n-grams, where the words come as parts: a label each."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from returnn_lite.errors import NetworkError
from returnn_lite.lazy import tf
from returnn_lite.ngram import Array, NGrams

_BASE = 0x9E3779B97F4A7C15  # odd, and spread over all bits


class State(NamedTuple):
    """What is known of the labels so far.

    context: int64 [..., order - 1], see `NGrams`. prefix: int64 [...], the hash of the parts of the
    word that goes on, 0 for none. pending: float32 [...], the score that this beginning has as if
    it were the word.
    """

    context: Any
    prefix: Any
    pending: Any


@dataclass(frozen=True, eq=False)
class Subwords:
    """The scores of labels, of which one or several make a word, by TensorFlow's own operations.

    model: of the words. labels: the texts of labels. merge: the end of a label behind which the
    word goes on, "" where each label is a word. All scores are natural logarithms.
    Words are known by a hash of 64 bits of their text: that of two parts comes from the parts'.
    """

    model: NGrams
    labels: tuple[str, ...]
    merge: str

    def __post_init__(self) -> None:
        """Raise NetworkError for what makes no words."""
        if any(c.isspace() for c in self.merge):
            raise NetworkError(f"found bpe_merge_symbol {self.merge!r}, needed one without blanks")
        for i, label in enumerate(self.labels):
            if label.strip() and any(c.isspace() for c in label):
                raise NetworkError(
                    f"found label {i}, {label!r}, with a blank, needed words or parts of one"
                )

    @property
    def contexts(self) -> int:
        """How many numbers a context has: at least 1, so that its tensor is never empty."""
        return max(self.model.order - 1, 1)

    def begin(self) -> Array:
        """Return the context before the first word: int64."""
        return np.array(self.model.begin() or (-1,), np.int64)

    def after(self, before: State, label: Any) -> tuple[Any, State]:
        """Return how much a label changes the score of all labels so far, and the state behind it.

        label: int32 [...]. The score has words that are not complete as if they were.
        """
        t = self._tensors
        text = before.prefix * tf.gather(t.part.power, label) + tf.gather(t.part.text, label)
        score, context = self._score(before.context, text)
        none, goes_on = tf.equal(text, 0), tf.gather(t.goes_on, label)
        score = tf.where(none, 0.0, score)
        kept = tf.expand_dims(none | goes_on, -1)
        state = State(
            tf.where(kept, before.context, context),
            tf.where(goes_on, text, 0),
            tf.where(goes_on, score, 0.0),
        )
        return score - before.pending, state

    def following(self, state: State) -> Any:
        """Return the change of the score by each label that may follow: float32 [..., labels].

        As in RETURNN, a word that is not complete counts with the merge symbol here, both the one
        so far and one that the label does not end; mostly the model does not know such words.
        """
        t = self._tensors
        text = state.prefix[..., None] * t.whole.power + t.whole.text
        found, _ = self._score(tf.expand_dims(state.context, -2), text)
        so_far, _ = self._score(state.context, state.prefix * t.merge.power + t.merge.text)
        so_far = tf.where(tf.equal(state.prefix, 0), 0.0, so_far)
        return found - tf.expand_dims(so_far, -1)

    def _score(self, context: Any, text: Any) -> tuple[Any, Any]:
        """Return the scores of words by their hashes, and the contexts behind them."""
        t = self._tensors
        at = _searched(t.texts, text)
        known = tf.equal(tf.gather(t.texts, at), text)
        word = tf.where(known, tf.gather(t.ids, at), self.model.word("<unk>"))
        total, found = tf.gather(t.log_prob, word), [word]
        for k, (keys, log_prob, backoff) in enumerate(t.levels):
            before = context[..., k]
            key = before * len(self.model.words) + word
            at = _searched(keys, key)
            hit = tf.equal(tf.gather(keys, at), key)
            weight = tf.where(before < 0, 0.0, tf.gather(backoff, tf.maximum(before, 0)))
            total = tf.where(hit, tf.gather(log_prob, at), total + weight)
            found.append(tf.where(hit, tf.cast(at, tf.int64), -1))
        return total * math.log(10), tf.stack(found[: self.contexts], axis=-1)

    @functools.cached_property
    def _tensors(self) -> _Tensors:
        """The tables as tensors of no graph: a graph refers to them, and has no copy."""
        with tf.init_scope():
            return _Tensors.of(self.model, self.labels, self.merge)


class _Texts(NamedTuple):
    """Hashes of texts, and what the hash of a text before them is multiplied with: int64."""

    text: Any
    power: Any

    @classmethod
    def of(cls, texts: Sequence[bytes]) -> _Texts:
        sizes = np.array([len(x) for x in texts], np.int64)
        ends, data = np.cumsum(sizes), np.frombuffer(b"".join(texts), np.uint8)
        found, power = np.zeros(len(texts), np.uint64), np.ones(len(texts), np.uint64)
        rows = np.arange(len(texts))
        for i in range(int(sizes.max(initial=0))):
            rows = rows[sizes[rows] > i]
            byte = data[(ends - sizes)[rows] + i].astype(np.uint64)
            found[rows] = found[rows] * np.uint64(_BASE) + byte + np.uint64(1)
            power[rows] *= np.uint64(_BASE)
        return cls(found.view(np.int64), power.view(np.int64))

    def tensors(self) -> _Texts:
        return _Texts(tf.constant(self.text), tf.constant(self.power))


class _Tensors(NamedTuple):
    """The tables of a model and of labels.

    texts: sorted hashes of the words, ids: their numbers. levels: keys and log_prob of n-grams, and
    the back-off weights of their contexts. part, goes_on: the labels' parts of words, and whether
    the word goes on behind them. whole: the labels with the merge symbol; merge: that itself.
    """

    texts: Any
    ids: Any
    log_prob: Any
    levels: list[tuple[Any, Any, Any]]
    part: _Texts
    goes_on: Any
    whole: _Texts
    merge: _Texts

    @classmethod
    def of(cls, model: NGrams, labels: Sequence[str], merge: str) -> _Tensors:
        texts = _Texts.of(list(model.words)).text
        order = np.argsort(texts)
        goes_on = [bool(merge) and x.endswith(merge) for x in labels]
        pairs = zip(labels, goes_on, strict=True)
        parts = [x[: len(x) - len(merge)] if on else x.strip() for x, on in pairs]
        return cls(
            tf.constant(np.append(texts[order], np.iinfo(np.int64).max)),
            tf.constant(np.append(order, 0)),
            tf.constant(model.log_prob),
            [
                (tf.constant(x.keys), tf.constant(x.log_prob), tf.constant(backoff))
                for x, backoff in zip(model.levels, model.backoffs, strict=True)
            ],
            _Texts.of([x.encode() for x in parts]).tensors(),
            tf.constant(goes_on),
            _Texts.of([x.encode() for x in labels]).tensors(),
            _Texts(*(x[0] for x in _Texts.of([merge.encode()]))).tensors(),
        )


def _searched(keys: Any, wanted: Any) -> Any:
    """Return int32, where wanted numbers are, or were, in sorted ones."""
    found = tf.searchsorted(keys[None], tf.reshape(wanted, [1, -1]))
    return tf.reshape(found, tf.shape(wanted))
