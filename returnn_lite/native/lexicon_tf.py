"""Automata of words of a lexicon, made of labels by TensorFlow's own operations."""

from __future__ import annotations

import functools
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from returnn_lite.lazy import tf
from returnn_lite.native.fsa_tf import Edges, Graph

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cupy_kernels.fsa import Hmm
    from cupy_kernels.fsa.hmm import Lexicon, Pronunciation

NEVER = float("inf")  # the cost of what there is not


class Words(NamedTuple):
    """The pronunciations of a vocabulary, one word after the other, then one of what is no word.

    label: int32 [states]. begin: int32 [pronunciations + 1], where their states begin. cost:
    float64 [pronunciations]. first: int32 [words + 2], where the pronunciations of a word begin.
    spoken: bool [words + 1], whether a word has any that can be used; else it has one that costs
    inf. silence: its label, None for none.
    """

    label: Any
    begin: Any
    cost: Any
    first: Any
    spoken: Any
    silence: int | None

    @classmethod
    def of(cls, vocab: Sequence[str], lexicon: Lexicon, hmm: Hmm) -> Words:
        """Return those of a vocabulary, of which the lexicon may lack some.

        Raises ArgumentError where a phone of theirs has no tied state.
        """
        labels = functools.cache(lambda phone: _labels(phone, hmm))
        rows = [*(_states(lexicon.get(word, ()), labels) for word in vocab), []]
        spoken = [bool(row) for row in rows]
        rows = [row or [([0], NEVER)] for row in rows]
        ways = list(chain.from_iterable(rows))
        return cls(
            label=np.fromiter(chain.from_iterable(way for way, _ in ways), np.int32),
            begin=_beginnings([len(way) for way, _ in ways]),
            cost=np.array([cost for _, cost in ways], np.float64),
            first=_beginnings([len(row) for row in rows]),
            spoken=np.array(spoken),
            silence=None if hmm.silence is None else hmm.label(hmm.silence, 0),
        )

    @property
    def most(self) -> tuple[int, int]:
        """How many pronunciations, and how many states, a word has at most."""
        return int(np.diff(self.first).max()), int(np.diff(self.begin[self.first]).max())


def _labels(phone: int, hmm: Hmm) -> list[int]:
    """Return those of a phone's states, none where a kernel takes them not."""
    found = [hmm.label(phone, i) for i in range(hmm.states)]
    return found if all(0 <= label < 2**31 for label in found) else []


def _states(
    found: Sequence[Pronunciation], labels: Callable[[int], list[int]]
) -> list[tuple[list[int], float]]:
    """Return the labels and the cost of each pronunciation, nothing where a kernel fails."""
    from cupy_kernels.fsa.automaton import LARGEST

    ways = [([labels(phone) for phone in phones], float(cost)) for phones, cost in found]
    good = all(
        phones and all(phones) and (abs(cost) < LARGEST or cost == NEVER) for phones, cost in ways
    )
    return [(list(chain.from_iterable(phones)), cost) for phones, cost in ways] if good else []


def _beginnings(sizes: list[int]) -> Any:
    return np.cumsum([0, *sizes], dtype=np.int32)


class _Places(NamedTuple):
    """Where the words of sequences stand: int32 [batch, max_words + 1], the last one for none."""

    way: Any  # the first pronunciation of a word, as `Words` count them
    ways: Any  # how many it has
    states: Any  # of all of them together
    begin: Any  # the first of its states in its sequence; behind the words, the number of states

    @classmethod
    def of(cls, words: Any, counts: Any, table: Words) -> _Places:
        number, pause = len(table.spoken) - 1, int(table.silence is not None)
        place, words = tf.range(tf.shape(words)[1] + 1), tf.pad(words, [[0, 0], [0, 1]])
        there = place < counts[:, None]
        word = tf.where((words >= 0) & (words < number), words, number)
        checked = _check(words, there & ~tf.gather(table.spoken, word), number)
        with tf.control_dependencies([checked] if checked is not None else []):
            word = tf.identity(word)
        first, behind = tf.gather(table.first, word), tf.gather(table.first, word + 1)
        states = tf.gather(table.begin, behind) - tf.gather(table.begin, first)
        states = tf.where(there, states, 0)
        sizes = tf.where(there, states + pause, 0)
        begin = 1 + pause + tf.cumsum(sizes, axis=1, exclusive=True)
        ways = tf.where(there, behind - first, 0)
        return cls(first, ways, states, begin)


def _check(words: Any, lost: Any, number: int) -> Any:
    """Return the operation that fails where a word is lost, None where it did not."""
    text = (
        f"words: found one without pronunciations, needed words 0 to {number - 1} of the "
        "vocabulary that the lexicon has, with one phone or more; try to add it to both"
    )
    some = tf.reduce_max(tf.where(lost, words, words.dtype.min))
    return tf.debugging.Assert(~tf.reduce_any(lost), [text, "it is", some])


def words_graph(words: Any, counts: Any, table: Words, hmm: Hmm) -> Graph:
    """Return the automata of `cupy_kernels.fsa.lexicon_automaton`, states numbered as there.

    words: int32 [batch, max_words], of a vocabulary. counts: int32 [batch]. table: of vocabulary,
    lexicon and hmm. Every sequence has as many states and edges as if its words, and those of the
    longest, were the vocabulary's largest; those that it has not cost inf. When it runs, raises
    InvalidArgumentError for a word that has no pronunciation; under XLA, which knows no errors, its
    sequence has no path.
    """
    places = _Places.of(words, counts, table)
    pause = int(table.silence is not None)
    width = 1 + pause + tf.shape(words)[1] * (table.most[1] + pause)
    inside, final = _inside(places, counts, width, table, hmm)
    start = tf.where(tf.range(width) == 0, 0.0, NEVER) + tf.zeros_like(final)
    return Graph.made([*inside, *_between(places, table, hmm)], start, final)


def _inside(
    places: _Places, counts: Any, width: Any, table: Words, hmm: Hmm
) -> tuple[list[Edges], Any]:
    """Return the loops, the steps in words, and the costs of ending: float32 [batch, width]."""
    state = tf.range(width) + tf.zeros_like(counts)[:, None]
    ends = tf.concat([places.begin[:, 1:], places.begin[:, -1:]], axis=1)
    place = tf.searchsorted(ends, state, side="right")
    place = tf.minimum(place, tf.shape(ends)[1] - 1)
    way, states, begin = (
        tf.gather(x, place, batch_dims=1) for x in (places.way, places.states, places.begin)
    )
    spoken = (state >= begin) & (state < begin + states)
    silent = (state == 1) | ((states > 0) & (state == begin + states))
    silent &= table.silence is not None
    opens = np.isin(np.arange(len(table.label) + 1), table.begin)
    index = tf.where(spoken, tf.gather(table.begin, way) + state - begin, 0)
    opening, closing = (spoken & tf.gather(opens, index + i) for i in range(2))
    label = tf.where(spoken, tf.gather(table.label, index), table.silence or 0)
    loop = tf.where(spoken, hmm.speech.loop, tf.where(silent, hmm.pause.loop, NEVER))
    steps = tf.where(spoken & ~opening, hmm.speech.forward, NEVER)
    number = places.begin[:, -1:]
    final = tf.where(silent & (state == number - 1), hmm.pause.forward, NEVER)
    final = tf.where(closing & (place == counts[:, None] - 1), hmm.speech.forward, final)
    final = tf.where((state == 0) & (counts[:, None] == 0), 0.0, final)
    return [Edges(state, state, label, loop), Edges(state - 1, state, label, steps)], final


def _between(places: _Places, table: Words, hmm: Hmm) -> list[Edges]:
    """Return the edges into silence, and those into words, from silence and from words before."""
    number = tf.range(table.most[0])
    there = number < places.ways[:, :, None]
    way = tf.where(there, places.way[:, :, None] + number, 0)
    shift = (places.begin - tf.gather(table.begin, places.way))[:, :, None]
    opening, behind = (shift + tf.gather(table.begin, way + i) for i in range(2))
    label = tf.gather(table.label, tf.gather(table.begin, way))
    # In float64, in which kernels' automata are made, too.
    cost = tf.where(there, tf.gather(table.cost, way), NEVER)
    forward = tf.where(there[:, :-1], tf.constant(hmm.speech.forward, tf.float64), NEVER)
    at_once = tf.zeros_like(cost[:, :1]) + np.where(np.arange(table.most[0]) == 0, 0.0, NEVER)
    # What is before each place, from the highest state on: words before, or state 0.
    leave = tf.concat([at_once, forward], axis=1)[:, :, ::-1]
    source = tf.pad(behind[:, :-1] - 1, [[0, 0], [1, 0], [0, 0]])[:, :, ::-1]
    onward = leave[..., None] + cost[:, :, None]
    found = [Edges(source[..., None], opening[:, :, None], label[:, :, None], _float(onward))]
    if table.silence is not None:
        silent = places.begin[:, :, None] - 1
        from_silence = Edges(silent, opening, label, _float(hmm.pause.forward + cost))
        found = [Edges(source, silent, table.silence, _float(leave)), from_silence, *found]
    return found


def _float(cost: Any) -> Any:
    return tf.cast(cost, tf.float32)
