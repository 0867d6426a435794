"""Sums over the paths of any automaton, and the best one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from returnn_lite.lazy import tf
from returnn_lite.native import bridge, fsa_tf, hmm_tf, lexicon_tf

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from cupy_kernels.fsa import Automaton, Hmm
    from cupy_kernels.fsa.hmm import Lexicon


def fsa_full_sum(
    log_probs: Any,
    frames: Any,
    automaton: Automaton | Callable[..., Automaton],
    labels: Sequence[Any] = (),
) -> Any:
    """Return float32 [batch], -log of the sum over the paths of an automaton, or inf.

    log_probs: float32 [time, batch, labels]. frames: int32 [batch]. automaton: of the batch, or a
    function that makes it of arrays, such as `cupy_kernels.fsa.ctc_automaton`; labels: these, as
    tensors. Raises ValueError within `tensorflow_only` for a function other than that of
    `hmm_automaton`.
    """
    from cupy_kernels.fsa import fsa_full_sum as kernel
    from cupy_kernels.fsa.op import SUMS

    if (known := _for_tensorflow(SUMS, "fsa_full_sum", automaton, labels)) is not None:
        return fsa_tf.fsa_full_sum(log_probs, frames, known)
    compute = _with_automaton(kernel, automaton)

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def loss(log_probs: Any) -> Any:
        arguments = [log_probs, frames, *labels]
        value, posteriors = bridge.call(compute, arguments, [tf.float32, tf.float32])
        value.set_shape([None])
        posteriors.set_shape(log_probs.shape)
        return value, lambda upstream: -posteriors * upstream[None, :, None]

    return loss(log_probs)


def fsa_best_path(
    log_probs: Any,
    frames: Any,
    automaton: Automaton | Callable[..., Automaton],
    labels: Sequence[Any] = (),
) -> tuple[Any, Any, Any]:
    """Return the labels and the states of the best path of `fsa_full_sum`, and its score.

    Labels and states, those after each frame, are int32 [batch, time], -1 on padding and where
    there is no path. The scores are float32 [batch], -inf where there is no path; no gradient.
    """
    from cupy_kernels.fsa import fsa_best_path as kernel
    from cupy_kernels.fsa.op import BEST

    if (known := _for_tensorflow(BEST, "fsa_best_path", automaton, labels)) is not None:
        return fsa_tf.fsa_best_path(log_probs, frames, known)
    compute, arguments = _with_automaton(kernel, automaton), [log_probs, frames, *labels]
    *path, score = bridge.call(compute, arguments, [tf.int32, tf.int32, tf.float32])
    alignment, states = (tf.ensure_shape(x, [None, None]) for x in path)
    return alignment, states, tf.ensure_shape(score, [None])


def _for_tensorflow(
    source: Path, where: str, automaton: Any, labels: Sequence[Any]
) -> fsa_tf.Graph | None:
    """Return the automaton where TensorFlow's own operations serve, None where the kernel does.

    Of one that is made of arrays it does also without a compiler: by its reference.
    """
    from cupy_kernels.fsa import Automaton

    if isinstance(automaton, Automaton):
        return None if bridge.serves(source) else fsa_tf.Graph.of(automaton)
    if bridge.only_tensorflow():
        if isinstance(automaton, _Hmm):
            return automaton.graph(labels[0], labels[1])
        raise ValueError(
            f"{where}: found an automaton that is made when the graph runs, needed one that is "
            "there before, or that hmm_automaton makes: for export and XLA"
        )
    return None


def _with_automaton(kernel: Callable[..., Any], automaton: Any) -> Callable[..., Any]:
    """Return a kernel as a function of scores, lengths, and what the automaton is made of."""
    from cupy_kernels.fsa import Automaton

    def compute(log_probs: Any, frames: Any, *arrays: Any) -> Any:
        made = automaton if isinstance(automaton, Automaton) else automaton(*arrays)
        return kernel(log_probs, frames, made)

    return compute


@dataclass(frozen=True)
class _Hmm:
    """What makes the automata of phones or, with a lexicon, of words, of arrays."""

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

    def graph(self, labels: Any, counts: Any) -> fsa_tf.Graph:
        """Return the automata in TensorFlow's own operations."""
        if self.words is None:
            return hmm_tf.hmm_graph(labels, counts, self.hmm)
        return lexicon_tf.words_graph(labels, counts, self.words, self.hmm)

    @cached_property
    def words(self) -> lexicon_tf.Words | None:
        """The vocabulary's pronunciations, None for phones."""
        if self.lexicon is None or self.vocab is None:
            return None
        return lexicon_tf.Words.of(self.vocab, self.lexicon, self.hmm)


def hmm_automaton(
    *,
    states: int,
    silence: int | None,
    speech: Sequence[float],
    pause: Sequence[float],
    lexicon: Lexicon | None = None,
    vocab: Sequence[str] | None = None,
) -> Callable[..., Automaton]:
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
