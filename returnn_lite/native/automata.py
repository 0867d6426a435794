"""What makes automata of labels: on the host, or in a graph by TensorFlow's own operations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from returnn_lite.native import ctc_automaton_tf, hmm_tf, lexicon_tf

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cupy_kernels.fsa import Automaton, Hmm
    from cupy_kernels.fsa.hmm import Lexicon
    from returnn_lite.native.fsa_tf import Graph


class Maker(ABC):
    """Makes the automata of a batch of its labels.

    labels: int32 [batch, max_labels], padded with anything. counts: int32 [batch].
    """

    @abstractmethod
    def __call__(self, labels: Any, counts: Any) -> Automaton:
        """Return them, of arrays; raise ArgumentError for what cannot be labels."""

    @abstractmethod
    def graph(self, labels: Any, counts: Any) -> Graph:
        """Return them, of tensors, in TensorFlow's own operations."""


def ctc_automaton(*, blank: int) -> Maker:
    """Return what makes automata of CTC's topology, see `cupy_kernels.fsa.ctc_automaton`."""
    return _Ctc(blank, repetition=True)


def rna_automaton(*, blank: int) -> Maker:
    """Return what makes automata of RNA's topology, see `cupy_kernels.fsa.rna_automaton`."""
    return _Ctc(blank, repetition=False)


def hmm_automaton(
    *,
    states: int,
    silence: int | None,
    speech: Sequence[float],
    pause: Sequence[float],
    lexicon: Lexicon | None = None,
    vocab: Sequence[str] | None = None,
) -> Maker:
    """Return what makes the automata of phones or, with a lexicon, of words, of arrays.

    These are labels, int32 [batch, max_labels], phones, or words of a vocabulary; and their counts,
    int32 [batch]. states, silence, speech, pause, lexicon: see `cupy_kernels.fsa.Hmm` and
    `lexicon_automaton`; the latter's errors are those of words that occur. Raises ValueError for a
    lexicon without a vocabulary, or the reverse.
    """
    if (lexicon is None) != (vocab is None):
        found, lacking = ("vocab", "lexicon") if lexicon is None else ("lexicon", "vocab")
        raise ValueError(
            f"hmm_automaton: found a {found} without a {lacking}, needed both, for words, or "
            f"neither, for phones; try {lacking}=..."
        )
    from cupy_kernels.fsa import Hmm, Transitions

    costs = [Transitions(*map(float, pair)) for pair in (speech, pause)]
    hmm = Hmm(states=states, silence=silence, speech=costs[0], pause=costs[1])
    return _Hmm(hmm, lexicon, vocab)


@dataclass(frozen=True)
class _Ctc(Maker):
    """Those with a blank; repetition: whether a label may take several frames."""

    blank: int
    repetition: bool

    def __call__(self, labels: Any, counts: Any) -> Automaton:
        from cupy_kernels import fsa

        make = fsa.ctc_automaton if self.repetition else fsa.rna_automaton
        return make(labels, counts, blank=self.blank)

    def graph(self, labels: Any, counts: Any) -> Graph:
        return ctc_automaton_tf.ctc_graph(labels, counts, self.blank, repetition=self.repetition)


@dataclass(frozen=True)
class _Hmm(Maker):
    """Those of phones or, with a lexicon, of words."""

    hmm: Hmm
    lexicon: Lexicon | None
    vocab: Sequence[str] | None

    def __call__(self, labels: Any, counts: Any) -> Automaton:
        from cupy_kernels import check
        from cupy_kernels.fsa import hmm_automaton, lexicon_automaton
        from cupy_kernels.fsa.builders import label_sequences

        if self.lexicon is None or self.vocab is None:
            return hmm_automaton(labels, counts, self.hmm)
        where, name = "lexicon_automaton", "words"
        words, lengths = label_sequences(where, name, labels, counts)
        most = len(self.vocab) - 1
        used = np.arange(words.shape[1]) < lengths[:, None]
        wrong = used & ((words < 0) | (words > most))
        check.outside(where, name, words, wrong, f"0 to {most} (the vocabulary's)")
        lines = [words[b, :n].tolist() for b, n in enumerate(lengths)]
        spelled = [[self.vocab[k] for k in line] for line in lines]
        return lexicon_automaton(spelled, self.lexicon, self.hmm)

    def graph(self, labels: Any, counts: Any) -> Graph:
        if self.words is None:
            return hmm_tf.hmm_graph(labels, counts, self.hmm)
        return lexicon_tf.words_graph(labels, counts, self.words, self.hmm)

    @cached_property
    def words(self) -> lexicon_tf.Words | None:
        """The vocabulary's pronunciations, None for phones."""
        if self.lexicon is None or self.vocab is None:
            return None
        return lexicon_tf.Words.of(self.vocab, self.lexicon, self.hmm)
