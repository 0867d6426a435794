"""Sums and best paths over automata: checks, launch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from cupy_kernels import check
from cupy_kernels.backend import host
from cupy_kernels.backend.launch import launch
from cupy_kernels.backend.threads import thread_count
from cupy_kernels.fsa import reference
from cupy_kernels.fsa.automaton import Automaton
from cupy_kernels.fsa.plan import EDGES, LABELS, PIECES, STATES

SUMS = Path(__file__).with_name("fsa.cu")
BEST = Path(__file__).with_name("best_path.cu")


def fsa_full_sum(
    log_probs: Any,
    lengths: Any,
    automaton: Automaton,
    *,
    infeasible: str = "inf",
    threads: int | None = None,
) -> tuple[Any, Any]:
    """Negative log of the sum over all paths of an automaton, and the posteriors of the labels.

    A path goes over one edge per frame, from a state with a start cost to one with a final cost;
    it counts e^(scores of its labels - its costs). L. Baum, "An inequality ...", 1972.

    Args:
        log_probs: float32 [time, batch, labels]: log-probabilities, or any scores up to 90000;
            below -90000 is -inf.
        lengths: int32 [batch], frames of each sequence.
        automaton: of the batch.
        infeasible: "inf", or "skip": what the loss is where no path has so many frames, inf or 0.
        threads: on the host; by default OMP_NUM_THREADS, or all processors.

    Returns:
        loss, float32 [batch], in nats: inf (see `infeasible`) where there is no path, NaN where a
            frame has NaN or a score above 90000;
        posteriors, float32 like log_probs: the probability that a path has a label at a frame, so
            they sum to 1 in each; minus the gradient of the loss with respect to log_probs. Zero
            on padding and where there is no path, NaN where the loss is NaN.

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    xp = _check("fsa_full_sum", "log_probs", log_probs, lengths, automaton)
    return _sums(xp, reference.fsa_full_sum, log_probs, lengths, automaton, infeasible, threads)


def fsa_loss(
    logits: Any,
    lengths: Any,
    automaton: Automaton,
    *,
    infeasible: str = "inf",
    threads: int | None = None,
) -> tuple[Any, Any]:
    """The loss of `fsa_full_sum` from logits, and its gradient; as `ctc_loss`, for any automaton.

    Args:
        logits: float32 [time, batch, labels], not normalised: the softmax is part of the loss.
        lengths: int32 [batch], frames of each sequence.
        automaton: of the batch.
        infeasible: "inf", or "skip": what the loss is where no path has so many frames, inf or 0.
        threads: on the host; by default OMP_NUM_THREADS, or all processors.

    Returns:
        loss, float32 [batch], in nats: inf (see `infeasible`) where there is no path, NaN where
            logits have NaN or +inf, or only -inf in a frame;
        gradient of each sequence's loss, float32 like logits: zero on padding and where there
            is no path, NaN where the loss is NaN.

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    xp = _check("fsa_loss", "logits", logits, lengths, automaton)
    return _sums(xp, reference.fsa_loss, logits, lengths, automaton, infeasible, threads)


def fsa_best_path(
    log_probs: Any, lengths: Any, automaton: Automaton, *, threads: int | None = None
) -> tuple[Any, Any, Any]:
    """The best path through an automaton (Viterbi).

    Of equally good paths it is the one with the highest state after the last frame, then with the
    highest one a frame earlier, and so on; of parallel edges the first. In the automata of
    `builders` that is the path which at every frame is furthest along, as in `ctc_align`.

    Args:
        log_probs: float32 [time, batch, labels]: log-probabilities, or any scores; NaN and +inf
            count as -inf.
        lengths: int32 [batch], frames of each sequence.
        automaton: of the batch.
        threads: on the host; by default OMP_NUM_THREADS, or all processors.

    Returns:
        alignment, int32 [batch, time]: the label of each frame; -1 on padding and where no path
            exists;
        states, int32 [batch, time]: the state after each frame; -1 likewise;
        score, float32 [batch]: scores less costs of the path; -inf where no path exists.

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    xp = _check("fsa_best_path", "log_probs", log_probs, lengths, automaton)
    workers = thread_count(threads)
    if xp is np and host.library(BEST) is None:
        alignment, states, slow_score = reference.fsa_best_path(log_probs, lengths, automaton)
        return alignment, states, slow_score.astype(np.float32)
    time, batch, vocabulary = log_probs.shape
    workers = workers if xp is np else max(1, batch)
    most_states = automaton.plan(np).most(STATES)
    found = [xp.empty((batch, time), np.int32) for _ in range(2)]
    score = xp.empty(batch, np.float32)
    edge = xp.empty((workers, time, most_states), np.int32)
    best = xp.empty((workers, 2, most_states), np.float64)
    sized = (*automaton.plan(xp), len(automaton.source), batch)
    arrays = (log_probs, lengths, *sized, *found, score, edge, best)
    launch(BEST, "fsa_best_path", *arrays, time, vocabulary, most_states, workers=workers, xp=xp)
    return *found, score


def _check(where: str, name: str, scores: Any, lengths: Any, automaton: Automaton) -> ModuleType:
    xp = check.array_module(where, **{name: scores, "lengths": lengths})
    if not isinstance(automaton, Automaton):
        check.fail(where, "automaton", f"a {type(automaton).__name__}", "an Automaton")
    check.array(where, name, scores, np.float32, time=None, batch=automaton.batch, labels=None)
    time, batch, vocabulary = scores.shape
    check.array(where, "lengths", lengths, np.int32, batch=batch)
    check.lengths(where, "lengths", lengths, time, f"{name}' time axis")
    needed = f"0 to {vocabulary - 1} (the {name}' last axis)"
    check.outside(where, "automaton.label", automaton.label, automaton.label >= vocabulary, needed)
    return xp


def _sums(
    xp: ModuleType,
    slow: Callable[..., tuple[Any, Any]],
    scores: Any,
    lengths: Any,
    automaton: Automaton,
    infeasible: str,
    threads: int | None,
) -> tuple[Any, Any]:
    check.infeasible_option(slow.__name__, infeasible)
    workers = thread_count(threads)
    if xp is np and host.library(SUMS) is None:
        loss, result = (x.astype(np.float32) for x in slow(scores, lengths, automaton))
        return check.settled(xp, loss, infeasible), result
    loss, result = xp.empty(scores.shape[1], np.float32), xp.empty_like(scores)
    softmax = int(slow is reference.fsa_loss)
    _run(xp, scores, lengths, automaton, loss, result, softmax, workers)
    return check.settled(xp, loss, infeasible), result


def _run(
    xp: ModuleType,
    scores: Any,
    lengths: Any,
    automaton: Automaton,
    loss: Any,
    result: Any,
    softmax: int,
    workers: int,
) -> None:
    time, batch, vocabulary = scores.shape
    plan, most = automaton.plan(xp), automaton.plan(np).most
    frames = workers if xp is np else max(1, time * batch)
    workers = workers if xp is np else max(1, batch)
    width, edges = most(LABELS) + 1, most(EDGES)
    emissions = _extended(xp, batch, time, width)
    probs = (scores, lengths, plan.offsets, plan.label_ids, *emissions, result)
    sizes = (time, batch, vocabulary, width, softmax)
    launch(SUMS, "fsa_frames", *probs, *sizes, workers=frames, xp=xp)
    space_size, sums_size = (time + 3) * most(STATES) + 2 * edges, edges + most(PIECES)
    space, sums = _extended(xp, workers, space_size), xp.empty((workers, sums_size), np.float32)
    automata = (*plan, len(automaton.source), batch)
    spaces = (*space, space_size, sums, sums_size)
    paths = (lengths, *automata, *emissions, *spaces, loss, result)
    sizes = (time, vocabulary, width, edges, softmax)
    launch(SUMS, "fsa_sums", *paths, *sizes, workers=workers, xp=xp)


def _extended(xp: ModuleType, *shape: int) -> tuple[Any, Any]:
    """Mantissas and exponents."""
    return xp.empty(shape, np.float32), xp.empty(shape, np.int32)
