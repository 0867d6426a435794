"""What the operations over CTC and RNA paths share: their arguments, and which targets fit."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from cupy_kernels import check


def check_sequences(
    where: str, logits: Any, logit_lengths: Any, labels: Any, label_lengths: Any, blank: int
) -> ModuleType:
    """Check the arguments that every operation over CTC paths has; return their array module."""
    arrays = {
        "logits": logits,
        "logit_lengths": logit_lengths,
        "labels": labels,
        "label_lengths": label_lengths,
    }
    xp = check.array_module(where, **arrays)
    check.array(where, "logits", logits, np.float32, time=None, batch=None, labels=None)
    time, batch, vocabulary = logits.shape
    check.array(where, "logit_lengths", logit_lengths, np.int32, batch=batch)
    check.array(where, "labels", labels, np.int32, batch=batch, max_labels=None)
    check.array(where, "label_lengths", label_lengths, np.int32, batch=batch)
    check.integer(where, "blank", blank)
    if not 0 <= blank < vocabulary:
        check.fail(where, "blank", str(blank), f"0 to {vocabulary - 1} (the logits' last axis)")
    check.lengths(where, "logit_lengths", logit_lengths, time, "logits' time axis")
    check.lengths(where, "label_lengths", label_lengths, labels.shape[1], "labels' second axis")
    check_labels(where, labels, label_lengths, vocabulary, blank)
    return xp


def check_labels(where: str, labels: Any, label_lengths: Any, vocabulary: int, blank: int) -> None:
    """Check that the labels are in the vocabulary, and none is the blank."""
    labels, label_lengths = check.on_host(labels), check.on_host(label_lengths)
    used = np.arange(labels.shape[1]) < label_lengths[:, None]
    wrong = used & ((labels < 0) | (labels >= vocabulary) | (labels == blank))
    needed = f"0 to {vocabulary - 1} without the blank {blank}"
    check.outside(where, "labels", labels, wrong, needed)


def feasible(logit_lengths: Any, labels: Any, label_lengths: Any, repetition: bool) -> Any:
    """int32 [batch]: 1 where the labels fit into the frames, else 0.

    CTC needs one frame per label and a blank between equal neighbours; RNA one frame per label.
    """
    xp = check.array_module("feasible", labels=labels)
    frames, labels, needed = map(check.on_host, (logit_lengths, labels, label_lengths))
    if repetition and labels.shape[1] > 1:
        inside = np.arange(1, labels.shape[1]) < needed[:, None]
        needed = needed + ((labels[:, 1:] == labels[:, :-1]) & inside).sum(axis=1)
    return xp.asarray((needed <= frames).astype(np.int32))
