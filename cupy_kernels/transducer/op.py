"""Transducer full-sum loss from log-probabilities: checks, launch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cupy_kernels import check
from cupy_kernels.backend import host
from cupy_kernels.backend.launch import launch
from cupy_kernels.backend.threads import thread_count
from cupy_kernels.transducer import reference
from cupy_kernels.transducer.arguments import (
    Targets,
    TransducerScores,
    check_log_probs,
    check_scores,
)

SOURCE = Path(__file__).with_name("transducer.cu")


def transducer_loss(
    log_probs: Any,
    frames: Any,
    labels: Any,
    label_lengths: Any,
    *,
    blank: int,
    topology: str,
    infeasible: str = "inf",
    threads: int | None = None,
) -> tuple[Any, Any]:
    """Negative log of the sum, over all paths that give the labels, of their probability.

    A path emits the blank or a label at each step; what it emits at frame t where u labels are out
    scores log_probs[t, u]. Topologies:

    - "rnnt" (A. Graves, "Sequence Transduction with Recurrent Neural Networks", 2012): a blank goes
      on to the next frame, a label stays; the last step is a blank in the last frame.
    - "rna" (H. Sak et al., "Recurrent Neural Aligner", 2017): each frame has a blank or a label.
    - "ctc" (A. Zeyer et al., "A new training pipeline for an improved neural transducer", 2020): as
      "rna", and a label may go on for several frames (scored where it is out already); between
      equal neighbours there is a blank.

    Args:
        log_probs: float32 [batch, time, max_labels + 1, vocab]: any scores, in nats; nothing is
            normalised. With emission probability e of its own, a model gives log(1 - e) for the
            blank and log(e) + log p(label) for a label.
        frames: int32 [batch], frames of each sequence.
        labels: int32 [batch, max_labels], padded with anything.
        label_lengths: int32 [batch].
        blank: index of the blank in the vocabulary.
        topology: "rnnt", "rna" or "ctc".
        infeasible: "inf", or "skip": what the loss is where no path exists, inf or 0.
        threads: on the host; by default OMP_NUM_THREADS, or all processors.

    Returns:
        loss, float32 [batch], in nats: inf (see `infeasible`) where no path exists, NaN where a
            score that a path may take is NaN, or above 90000; below -90000 they count as -inf;
        gradient of each sequence's loss, float32 like log_probs: minus the probability that a path
            takes the score. Zero on padding and where no path exists; NaN, at the scores that
            steps take, where the loss is NaN.

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    where = "transducer_loss"
    targets = check_log_probs(where, log_probs, frames, labels, label_lengths, blank, topology)
    check.infeasible_option(where, infeasible)
    workers = thread_count(threads)
    if use_reference(targets):
        arrays = (log_probs, *targets.arrays)
        found = reference.transducer_loss(*arrays, blank=blank, topology=topology)
        loss, grad = (x.astype(np.float32) for x in found)
        return check.settled(np, loss, infeasible), grad
    scores = pick(targets, log_probs, blank, workers)
    loss, grads = full_sum(targets, scores, workers)
    grad = targets.xp.zeros(log_probs.shape, np.float32)  # of numpy: no page is touched yet
    sizes = (*targets.sizes, log_probs.shape[3], blank, targets.repetition)
    run(targets, "transducer_spread", *grads, *targets.arrays, grad, *sizes, threads=workers)
    return check.settled(targets.xp, loss, infeasible), grad


def transducer_compact_loss(
    scores: TransducerScores,
    frames: Any,
    labels: Any,
    label_lengths: Any,
    *,
    topology: str,
    infeasible: str = "inf",
    threads: int | None = None,
) -> tuple[Any, TransducerScores]:
    """`transducer_loss` of the scores that paths take alone: nothing has the vocabulary's size.

    Args:
        scores: float32, of the blank, of the next label, and in topology "ctc" of the last label.
        frames, label_lengths, topology, infeasible, threads: as of `transducer_loss`.
        labels: int32 [batch, max_labels]: in topology "ctc" equal neighbours need a blank between.

    Returns:
        loss, float32 [batch], and its gradient, as of `transducer_loss`, the latter like scores.

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    where = "transducer_compact_loss"
    targets = check_scores(where, scores, frames, labels, label_lengths, topology)
    check.infeasible_option(where, infeasible)
    workers = thread_count(threads)
    if use_reference(targets):
        loss, slopes = reference.compact_loss(scores, *targets.arrays, topology=topology)
        grads = TransducerScores(*(x.astype(np.float32) for x in slopes))
        loss = loss.astype(np.float32)
    else:
        loss, grads = full_sum(targets, scores, workers)
    loss = check.settled(targets.xp, loss, infeasible)
    return loss, grads if targets.repetition else grads._replace(repeat=None)


def use_reference(targets: Targets) -> bool:
    """Whether there is no compiler for the host."""
    return targets.xp is np and host.library(SOURCE) is None


def run(targets: Targets, kernel: str, *arguments: Any, threads: int, blocks: int = 0) -> None:
    """Launch a kernel, by default with a block per frame."""
    blocks = blocks or targets.batch * targets.time
    workers = threads if targets.xp is np else max(1, blocks)
    launch(SOURCE, kernel, *arguments, workers=workers, xp=targets.xp)


def pick(targets: Targets, log_probs: Any, blank: int, threads: int) -> TransducerScores:
    """The scores that paths take; without a value on padding."""
    scores = empty_scores(targets)
    sizes = (*targets.sizes, log_probs.shape[3], blank, targets.repetition)
    run(targets, "transducer_pick", log_probs, *targets.arrays, *scores, *sizes, threads=threads)
    return scores


def empty_scores(targets: Targets) -> TransducerScores:
    """Without values; those of repeats are there in every topology, as kernels take them."""
    xp, (time, batch, max_labels) = targets.xp, targets.sizes
    blank = xp.empty((batch, time, max_labels + 1), np.float32)
    label, repeat = (xp.empty((batch, time, max_labels), np.float32) for _ in range(2))
    return TransducerScores(blank, label, repeat)


def full_sum(
    targets: Targets, scores: TransducerScores, threads: int
) -> tuple[Any, TransducerScores]:
    """Loss, and its gradient with zeros for repeats where there are none."""
    xp, (_, batch, max_labels), steps = targets.xp, targets.sizes, targets.steps
    repeat = scores.label if scores.repeat is None else scores.repeat  # not read then
    feasible = targets.feasible
    width = max_labels + 3
    sums = threads if xp is np else max(1, batch)
    weights = _extended(xp, batch, steps, 3, width)
    space = _extended(xp, sums, steps + 4, 2, width)
    marks, loss = xp.empty((batch, steps), np.float32), xp.empty(batch, np.float32)
    sizes = (*targets.sizes, targets.diagonal, targets.repetition)
    lengths = (targets.frames, targets.label_lengths)
    arrays = (scores.blank, scores.label, repeat, *lengths, feasible, *weights, marks)
    run(targets, "transducer_steps", *arrays, *sizes, threads=threads, blocks=batch * steps)
    paths = (marks, *targets.arrays, feasible, *weights, *space, loss)
    run(targets, "transducer_sums", *paths, *sizes, threads=threads, blocks=batch)
    grads = empty_scores(targets)
    run(targets, "transducer_gradient", weights[0], loss, *lengths, *grads, *sizes, threads=threads)
    return loss, grads


def _extended(xp: Any, *shape: int) -> tuple[Any, Any]:
    """Mantissas and exponents."""
    return xp.empty(shape, np.float32), xp.empty(shape, np.int32)
