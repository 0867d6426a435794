"""Automata of hidden Markov models: phones of several states, words of several pronunciations."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cupy_kernels import check
from cupy_kernels.fsa.automaton import Automaton, Edge
from cupy_kernels.fsa.builders import label_sequences

Pronunciation = tuple[Sequence[int], float]  # phones, cost
Lexicon = Mapping[str, Sequence[Pronunciation]]


class Transitions(NamedTuple):
    """Costs (-log of a probability) of a state: of each further frame in it, and of leaving it."""

    loop: float = 0.0
    forward: float = 0.0


@dataclass(frozen=True)
class Hmm:
    """How phones become states.

    A phone goes through all its states; a state takes one frame or more. Every state is left once,
    the last one of a sequence too, so d frames in a state cost (d - 1) loop + forward.

    Args:
        states: of a phone.
        speech: costs of the states of phones.
        silence: phone that may stand at both ends and between words, with one state; None for none.
        pause: costs of silence.
        tying: label of (phone, state): int64 [phones, states], or a function; by default
            phone * states + state, monophones.
    """

    states: int = 3
    speech: Transitions = field(default_factory=Transitions)
    silence: int | None = None
    pause: Transitions = field(default_factory=Transitions)
    tying: npt.NDArray[Any] | Callable[[int, int], int] | None = None

    def __post_init__(self) -> None:
        if self.states < 1:
            check.fail("Hmm", "states", str(self.states), "1 or more")
        if self.tying is not None and not callable(self.tying):
            check.array("Hmm", "tying", self.tying, np.int64, phones=None, states=self.states)

    def label(self, phone: int, state: int) -> int:
        """The label of a state of a phone."""
        if self.tying is None:
            return phone * self.states + state
        if callable(self.tying):
            return int(self.tying(phone, state))
        if not 0 <= phone < len(self.tying):
            check.fail("Hmm", "tying", f"phone {phone}", f"0 to {len(self.tying) - 1} (its rows)")
        return int(self.tying[phone, state])


def hmm_automaton(phones: Any, phone_lengths: Any, hmm: Hmm, *, word_ends: Any = None) -> Automaton:
    """The paths through the states of phone sequences.

    State 0 is before the first frame, the others are the states of the phones in order; an edge
    has the label of the state it enters.

    Args:
        phones: int32 [batch, max_phones], padded with anything; numpy or cupy.
        phone_lengths: int32 [batch].
        hmm: the topology. Silence may stand at both ends, and where a word ends.
        word_ends: bool [batch, max_phones], whether a phone is the last of a word.

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape or range.
    """
    where = "hmm_automaton"
    phones, lengths = label_sequences(where, "phones", phones, phone_lengths)
    if word_ends is None:
        word_ends = np.zeros(phones.shape, np.bool_)
    elif check.array_module(where, word_ends=word_ends) is not np:
        word_ends = word_ends.get()
    axes = {"batch": phones.shape[0], "max_phones": phones.shape[1]}
    check.array(where, "word_ends", word_ends, np.bool_, **axes)
    used = np.arange(phones.shape[1]) < lengths[:, None]
    if not isinstance(hmm, Hmm):
        check.fail(where, "hmm", repr(hmm), "an Hmm")
    most = 2**31 // hmm.states - 1 if hmm.tying is None else 2**31 - 1  # so that labels are int32
    check.outside(where, "phones", phones, used & ((phones < 0) | (phones > most)), f"0 to {most}")
    rows = zip(phones, word_ends, lengths, strict=True)
    return Automaton.join([_paths(_words(p[:n], e[:n]), hmm) for p, e, n in rows])


def lexicon_automaton(words: Sequence[Sequence[str]], lexicon: Lexicon, hmm: Hmm) -> Automaton:
    """The paths through all pronunciations of word sequences, with optional silence.

    States are numbered as in `hmm_automaton`: word by word, in a word pronunciation by
    pronunciation, silence before the word it precedes.

    Args:
        words: those of each sequence.
        lexicon: word -> its pronunciations (phones, cost).
        hmm: the topology. Silence may stand at both ends and between words.

    Raises:
        ArgumentError: a word is not in the lexicon, or has no pronunciation, or an empty one.
    """
    return Automaton.join([_paths([_look_up(w, lexicon) for w in line], hmm) for line in words])


def _look_up(word: str, lexicon: Lexicon) -> Sequence[Pronunciation]:
    where, found = "lexicon_automaton", lexicon.get(word)
    if found is None:
        near = difflib.get_close_matches(word, lexicon, n=1)
        needed = f"one of the {len(lexicon)} words of the lexicon"
        check.fail(where, "words", repr(word), needed, repr(near[0]) if near else "")
    if not found or not all(len(phones) for phones, _ in found):
        needed = "one or more pronunciations of one or more phones"
        check.fail(where, f"lexicon[{word!r}]", repr(found), needed)
    assert found is not None
    return found


def _words(
    phones: npt.NDArray[np.int32], ends: npt.NDArray[np.bool_]
) -> list[Sequence[Pronunciation]]:
    """Words of one pronunciation each."""
    parts = np.split(phones, np.flatnonzero(ends) + 1)
    return [[(part.tolist(), 0.0)] for part in parts if len(part)]


class _Graph:
    """An automaton under construction; `ends` are the states that lead on, with their costs."""

    def __init__(self) -> None:
        self.edges: list[Edge] = []
        self.states = 1
        self.ends = {0: 0.0}

    def chain(
        self, entries: Mapping[int, float], labels: Sequence[int], costs: Transitions, cost: float
    ) -> dict[int, float]:
        """Add states one after the other, each with a loop; return the last as an end."""
        ways = {state: value + cost for state, value in entries.items()}
        for label in labels:
            state = self.states
            self.states += 1
            self.edges += [(source, state, label, value) for source, value in ways.items()]
            self.edges.append((state, state, label, costs.loop))
            ways = {state: costs.forward}
        return ways


def _paths(words: Sequence[Sequence[Pronunciation]], hmm: Hmm) -> Automaton:
    graph = _Graph()
    _optional_silence(graph, hmm)
    for word in words:
        ends: dict[int, float] = {}
        for phones, cost in word:
            labels = [hmm.label(phone, i) for phone in phones for i in range(hmm.states)]
            ends |= graph.chain(graph.ends, labels, hmm.speech, cost)
        graph.ends = ends
        _optional_silence(graph, hmm)
    return Automaton.of([graph.edges], [{0: 0.0}], [graph.ends])


def _optional_silence(graph: _Graph, hmm: Hmm) -> None:
    if hmm.silence is not None:
        silence = graph.chain(graph.ends, [hmm.label(hmm.silence, 0)], hmm.pause, 0.0)
        graph.ends = graph.ends | silence
