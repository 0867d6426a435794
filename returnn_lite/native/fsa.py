"""Sums over the paths of any automaton, and the best one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from returnn_lite.lazy import tf
from returnn_lite.native import bridge, fsa_tf
from returnn_lite.native.automata import Maker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from cupy_kernels.fsa import Automaton


def fsa_full_sum(
    log_probs: Any,
    frames: Any,
    automaton: Automaton | Callable[..., Automaton],
    labels: Sequence[Any] = (),
) -> Any:
    """Return float32 [batch], -log of the sum over the paths of an automaton, or inf.

    log_probs: float32 [time, batch, labels]. frames: int32 [batch]. automaton: of the batch, or a
    function that makes it of arrays, such as those of `native.automata`; labels: these, as tensors.
    Raises ValueError within `tensorflow_only` for a function that is none of these.
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
        if isinstance(automaton, Maker):
            return automaton.graph(*labels)
        raise ValueError(
            f"{where}: found an automaton that is made when the graph runs, needed one that is "
            "there before, or that ctc_automaton, rna_automaton or hmm_automaton of "
            "returnn_lite.native makes: for export and XLA"
        )
    return None


def _with_automaton(kernel: Callable[..., Any], automaton: Any) -> Callable[..., Any]:
    """Return a kernel as a function of scores, lengths, and what the automaton is made of."""
    from cupy_kernels.fsa import Automaton

    def compute(log_probs: Any, frames: Any, *arrays: Any) -> Any:
        made = automaton if isinstance(automaton, Automaton) else automaton(*arrays)
        return kernel(log_probs, frames, made)

    return compute
