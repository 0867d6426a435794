"""Sums over the paths of any automaton."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from returnn_lite.lazy import tf
from returnn_lite.native import bridge, fsa_tf

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cupy_kernels.fsa import Automaton
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
    tensors. Raises ValueError for a function where only TensorFlow's own operations may be used.
    """
    from cupy_kernels.fsa import Automaton, fsa_full_sum
    from cupy_kernels.fsa.op import SUMS

    if not bridge.serves(SUMS):
        if not isinstance(automaton, Automaton):
            raise ValueError(
                "fsa_full_sum: found an automaton that is made when the graph runs, needed one "
                "that is there before: for export and XLA, and where there is no compiler"
            )
        return fsa_tf.fsa_full_sum(log_probs, frames, automaton)

    def compute(log_probs: Any, frames: Any, *arrays: Any) -> Any:
        made = automaton if isinstance(automaton, Automaton) else automaton(*arrays)
        return fsa_full_sum(log_probs, frames, made)

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def loss(log_probs: Any) -> Any:
        arguments = [log_probs, frames, *labels]
        value, posteriors = bridge.call(compute, arguments, [tf.float32, tf.float32])
        value.set_shape([None])
        posteriors.set_shape(log_probs.shape)
        return value, lambda upstream: -posteriors * upstream[None, :, None]

    return loss(log_probs)


def hmm_full_sum(
    log_probs: Any,
    frames: Any,
    labels: Any,
    counts: Any,
    *,
    states: int,
    silence: int | None,
    speech: Sequence[float],
    pause: Sequence[float],
    lexicon: Lexicon | None = None,
    vocab: Sequence[str] | None = None,
) -> Any:
    """Return `fsa_full_sum` over the paths of phones or, with a lexicon, of words.

    labels: int32 [batch, max_labels], phones, or words of a vocabulary. counts: int32 [batch].
    states, silence, speech, pause, lexicon: see `cupy_kernels.fsa.Hmm` and `lexicon_automaton`.
    """
    from cupy_kernels.fsa import Hmm, Transitions, hmm_automaton, lexicon_automaton

    hmm = Hmm(
        states=states,
        silence=silence,
        speech=Transitions(*speech),
        pause=Transitions(*pause),
    )

    def automaton(labels: Any, counts: Any) -> Automaton:
        if lexicon is None or vocab is None:
            return hmm_automaton(labels, counts, hmm)
        rows = zip(labels.tolist(), counts.tolist(), strict=True)
        return lexicon_automaton([[vocab[k] for k in row[:n]] for row, n in rows], lexicon, hmm)

    return fsa_full_sum(log_probs, frames, automaton, [labels, counts])
