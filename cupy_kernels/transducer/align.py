"""Best path of a transducer (Viterbi): checks, launch."""

from __future__ import annotations

from typing import Any

import numpy as np

from cupy_kernels import check
from cupy_kernels.backend.threads import thread_count
from cupy_kernels.transducer import reference
from cupy_kernels.transducer.arguments import (
    Targets,
    TransducerScores,
    check_log_probs,
    check_scores,
)
from cupy_kernels.transducer.op import pick, run, use_reference


def transducer_align(
    log_probs: Any,
    frames: Any,
    labels: Any,
    label_lengths: Any,
    *,
    blank: int,
    topology: str,
    threads: int | None = None,
) -> tuple[Any, Any, Any]:
    """The best path of labels and blanks that gives the labels (Viterbi).

    Paths are those of `transducer_loss`. Of equally good ones it is that which, after every step,
    is furthest along: each label begins as early as it can.

    Args:
        log_probs: float32 [batch, time, max_labels + 1, vocab]; NaN and +inf count as -inf.
        frames, labels, label_lengths, blank, topology, threads: as of `transducer_loss`.

    Returns:
        alignment, int32 [batch, steps]: the label of each step, or the blank; steps are time, in
            topology "rnnt" time + max_labels; blank on padding and where no path exists;
        alignment_lengths, int32 [batch]: frames, in topology "rnnt" frames + label_lengths;
        score, float32 [batch]: the sum of log_probs on the path; -inf where no path exists.

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    targets = check_log_probs(
        "transducer_align", log_probs, frames, labels, label_lengths, blank, topology
    )
    workers = thread_count(threads)
    if use_reference(targets):
        options: dict[str, Any] = {"blank": blank, "topology": topology}
        alignment, score = reference.transducer_align(log_probs, *targets.arrays, **options)
        return alignment, alignment_lengths(targets), score.astype(np.float32)
    return best_path(targets, pick(targets, log_probs, blank, workers), blank, workers)


def transducer_compact_align(
    scores: TransducerScores,
    frames: Any,
    labels: Any,
    label_lengths: Any,
    *,
    blank: int,
    topology: str,
    threads: int | None = None,
) -> tuple[Any, Any, Any]:
    """`transducer_align` from the scores that paths take alone.

    Args:
        scores, frames, label_lengths, topology, threads: as of `transducer_compact_loss`.
        labels: int32 [batch, max_labels], what stands in the alignment.
        blank: what stands in the alignment for the blank.

    Returns:
        alignment, alignment_lengths and score, as of `transducer_align`.

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    where = "transducer_compact_align"
    targets = check_scores(where, scores, frames, labels, label_lengths, topology)
    check.integer(where, "blank", blank)
    if not -(2**31) <= blank < 2**31:
        check.fail(where, "blank", str(blank), "an int32")
    workers = thread_count(threads)
    if use_reference(targets):
        options: dict[str, Any] = {"blank": blank, "topology": topology}
        alignment, score = reference.compact_align(scores, *targets.arrays, **options)
        return alignment, alignment_lengths(targets), score.astype(np.float32)
    return best_path(targets, scores, blank, workers)


def alignment_lengths(targets: Targets) -> Any:
    """int32 [batch]: steps of each path."""
    return targets.frames + targets.diagonal * targets.label_lengths


def best_path(
    targets: Targets, scores: TransducerScores, blank: int, threads: int
) -> tuple[Any, Any, Any]:
    """Alignment, its lengths, and score."""
    xp, batch, steps = targets.xp, targets.batch, targets.steps
    workers = threads if xp is np else max(1, batch)
    states = 2 * targets.max_labels + 1
    alignment, score = xp.empty((batch, steps), np.int32), xp.empty(batch, np.float32)
    back = xp.empty((workers, steps, states), np.int8)
    best = xp.empty((workers, 2, states + 2), np.float64)
    repeat = scores.label if scores.repeat is None else scores.repeat  # not read then
    arrays = (scores.blank, scores.label, repeat, *targets.arrays, targets.feasible)
    sizes = (*targets.sizes, targets.diagonal, targets.repetition, blank)
    results = (alignment, score, back, best)
    run(targets, "transducer_align", *arrays, *results, *sizes, threads=threads, blocks=batch)
    return alignment, alignment_lengths(targets), score
