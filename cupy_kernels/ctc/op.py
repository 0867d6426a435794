"""CTC loss from logits: checks, launch."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from cupy_kernels import check, topology
from cupy_kernels.backend import host
from cupy_kernels.backend.launch import launch
from cupy_kernels.backend.threads import thread_count
from cupy_kernels.ctc import reference

SOURCE = Path(__file__).with_name("ctc.cu")
DEVICE_LABELS = 511  # of a target, at most, for ctc_device.h


def ctc_loss(
    logits: Any,
    logit_lengths: Any,
    labels: Any,
    label_lengths: Any,
    *,
    blank: int,
    label_repetition: bool = True,
    infeasible: str = "inf",
    threads: int | None = None,
) -> tuple[Any, Any]:
    """Negative log-probability of the labels, summed over all paths, and its gradient.

    A. Graves et al., "Connectionist Temporal Classification", 2006; without label repetition:
    H. Sak et al., "Recurrent Neural Aligner", 2017.

    Args:
        logits: float32 [time, batch, labels], not normalised: the softmax is part of the loss.
        logit_lengths: int32 [batch], frames of each sequence.
        labels: int32 [batch, max_labels], padded with anything.
        label_lengths: int32 [batch].
        blank: index of the blank among the logits.
        label_repetition: True for the CTC topology, where a label may go on for several frames;
            False for RNA's, where it takes one frame and equal neighbours need no blank between.
        infeasible: "inf", or "skip": what the loss is where no path exists, inf or 0.
        threads: on the host; by default OMP_NUM_THREADS, or all processors.

    Returns:
        loss, float32 [batch], in nats: inf (see `infeasible`) where no path exists, NaN where
            logits have NaN or +inf, or only -inf in a frame;
        gradient of each sequence's loss, float32 like logits: zero on padding and where no path
            exists, NaN where the loss is NaN.

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    where = "ctc_loss"
    xp = topology.check_sequences(where, logits, logit_lengths, labels, label_lengths, blank)
    check.infeasible_option(where, infeasible)
    workers = thread_count(threads)
    if xp is np and host.library(SOURCE) is None:
        arguments = (logits, logit_lengths, labels, label_lengths)
        loss, grad = reference.ctc_loss(*arguments, blank=blank, label_repetition=label_repetition)
        loss, grad = loss.astype(np.float32), grad.astype(np.float32)
        return check.settled(xp, loss, infeasible), grad
    fits = topology.feasible(logit_lengths, labels, label_lengths, label_repetition)
    loss = xp.empty(logits.shape[1], np.float32)
    grad = xp.empty_like(logits)
    sequences = (logit_lengths, labels, label_lengths, fits)
    _run(xp, logits, sequences, loss, grad, blank, label_repetition, workers)
    return check.settled(xp, loss, infeasible), grad


def _run(
    xp: ModuleType,
    logits: Any,
    sequences: tuple[Any, Any, Any, Any],
    loss: Any,
    grad: Any,
    blank: int,
    label_repetition: bool,
    workers: int,
) -> None:
    time, batch, vocabulary = logits.shape
    max_labels = sequences[1].shape[1]
    frames = workers if xp is np else max(1, time * batch)
    emissions = _extended(xp, batch, time, max_labels + 2)
    sizes = (time, batch, vocabulary, max_labels, blank)
    softmax = (logits, *sequences, grad, *emissions, *sizes)
    launch(SOURCE, "ctc_frames", *softmax, workers=frames, xp=xp)
    if xp is not np and max_labels <= DEVICE_LABELS:
        _device_sums(xp, sequences, emissions, loss, grad, blank, label_repetition)
        return
    sums = workers if xp is np else max(1, batch)
    space = _extended(xp, sums, 2 * (time + 6), max_labels + 3)
    paths = (*sequences, *emissions, *space, loss, grad, *sizes, int(label_repetition))
    launch(SOURCE, "ctc_sums", *paths, workers=sums, xp=xp)


def _device_sums(
    xp: ModuleType,
    sequences: tuple[Any, Any, Any, Any],
    emissions: tuple[Any, Any],
    loss: Any,
    grad: Any,
    blank: int,
    label_repetition: bool,
) -> None:
    """As the kernel ctc_sums, by ctc_device.h."""
    time, batch, vocabulary = grad.shape
    max_labels = sequences[1].shape[1]
    if not batch:
        return
    sweeps = [_extended(xp, 2, batch, time, max_labels + 1) for _ in range(2)]
    total = _extended(xp, batch)
    first, following = (xp.empty((batch, max_labels + 2), np.int32) for _ in range(2))
    paths = (*sweeps[0], *sweeps[1], *total, first, following, loss)
    sizes = (time, batch, max_labels, int(label_repetition))
    threads = -(-(max_labels + 1) // 32) * 32
    arrays = (*sequences, *emissions, *paths, *sizes)
    launch(SOURCE, "ctc_sweeps", *arrays, workers=2 * batch, block=threads, xp=xp)
    arrays = (*sequences, *paths, grad, time, batch, vocabulary, max_labels, blank)
    launch(SOURCE, "ctc_posteriors", *arrays, workers=max(1, time * batch), xp=xp)


def _extended(xp: ModuleType, *shape: int) -> tuple[Any, Any]:
    """Mantissas and exponents."""
    return xp.empty(shape, np.float32), xp.empty(shape, np.int32)
