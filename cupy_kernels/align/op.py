"""Best alignment over CTC and RNA paths: checks, launch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cupy_kernels import topology
from cupy_kernels.align import reference
from cupy_kernels.backend import host
from cupy_kernels.backend.launch import launch
from cupy_kernels.backend.threads import thread_count

SOURCE = Path(__file__).with_name("align.cu")


def ctc_align(
    logits: Any,
    logit_lengths: Any,
    labels: Any,
    label_lengths: Any,
    *,
    blank: int,
    label_repetition: bool = True,
    threads: int | None = None,
) -> tuple[Any, Any]:
    """The best path of labels and blanks through the logits that gives the labels (Viterbi).

    Paths are those of `ctc_loss`. Of equally good ones it is that which, at every frame, is
    furthest along: each label begins as early as it can.

    Args:
        logits: float32 [time, batch, labels]: log-probabilities, or logits, since what is
            constant in a frame does not move the path; NaN and +inf count as -inf.
        logit_lengths: int32 [batch], frames of each sequence.
        labels: int32 [batch, max_labels], padded with anything.
        label_lengths: int32 [batch].
        blank: index of the blank among the logits.
        label_repetition: True for the CTC topology, False for RNA's, as in `ctc_loss`.
        threads: on the host; by default OMP_NUM_THREADS, or all processors.

    Returns:
        alignment, int32 [batch, time]: the label of each frame, or the blank; blank on padding
            and where no path exists;
        score, float32 [batch]: the sum of the given logits on the path, so its log-probability
            if these are log-probabilities; -inf where no path exists.

    Raises:
        ArgumentError: an argument has the wrong type, dtype, shape, device or range.
    """
    where = "ctc_align"
    xp = topology.check_sequences(where, logits, logit_lengths, labels, label_lengths, blank)
    workers = thread_count(threads)
    sequences = (logit_lengths, labels, label_lengths)
    if xp is np and host.library(SOURCE) is None:
        alignment, slow_score = reference.ctc_align(
            logits, *sequences, blank=blank, label_repetition=label_repetition
        )
        return alignment, slow_score.astype(np.float32)
    time, batch, vocabulary = logits.shape
    workers = workers if xp is np else max(1, batch)
    states = 2 * labels.shape[1] + 1
    fits = topology.feasible(*sequences, label_repetition)
    alignment, score = xp.empty((batch, time), np.int32), xp.empty(batch, np.float32)
    steps = xp.empty((workers, time, states), np.int8)
    best = xp.empty((workers, 2, states + 2), np.float64)
    facts = xp.empty((workers, 2, states), np.int32)
    arrays = (logits, *sequences, fits, alignment, score, steps, best, facts)
    sizes = (time, batch, vocabulary, labels.shape[1], blank, int(label_repetition))
    launch(SOURCE, "ctc_align", *arrays, *sizes, workers=workers, xp=xp)
    return alignment, score
