"""Arguments that the transducer operations share, and their checks."""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from cupy_kernels import check, topology

TOPOLOGIES = ("rnnt", "rna", "ctc")


class TransducerScores(NamedTuple):
    """Scores of the steps of all paths, float32, or their gradient."""

    blank: Any  # [batch, time, max_labels + 1]: of the blank at frame t where u labels are out
    label: Any  # [batch, time, max_labels]: of label u + 1 at frame t where u labels are out
    repeat: Any = None  # for "ctc", like label: of label u + 1 once more where u + 1 are out


class Targets(NamedTuple):
    """Checked sequences: their lengths, labels, and topology."""

    xp: ModuleType
    topology: str
    frames: Any
    labels: Any
    label_lengths: Any
    time: int

    @property
    def batch(self) -> int:
        """Number of sequences."""
        return int(self.labels.shape[0])

    @property
    def max_labels(self) -> int:
        """Size of the labels' second axis."""
        return int(self.labels.shape[1])

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Axes, as kernels take them."""
        return self.time, self.batch, self.max_labels

    @property
    def diagonal(self) -> int:
        """1 where a label takes no frame, so that a path has a step for each label too."""
        return int(self.topology == "rnnt")

    @property
    def repetition(self) -> int:
        """1 where a label may go on for several frames."""
        return int(self.topology == "ctc")

    @property
    def steps(self) -> int:
        """The most steps of a path."""
        return self.time + self.diagonal * self.max_labels

    @property
    def feasible(self) -> Any:
        """int32 [batch]: 1 where the labels have a path through the frames, else 0."""
        if self.topology == "rnnt":
            return ((self.frames > 0) | (self.label_lengths == 0)).astype(np.int32)
        lengths = (self.frames, self.labels, self.label_lengths)
        return topology.feasible(*lengths, bool(self.repetition))

    @property
    def arrays(self) -> tuple[Any, Any, Any]:
        """The arrays, as kernels take them."""
        return self.frames, self.labels, self.label_lengths


def check_targets(
    where: str,
    topology_name: str,
    frames: Any,
    labels: Any,
    label_lengths: Any,
    time: int,
    **others: Any,
) -> Targets:
    """Check the sequences, and that all arrays, the others included, lie on one device."""
    if topology_name not in TOPOLOGIES:
        check.fail(where, "topology", repr(topology_name), "one of " + ", ".join(TOPOLOGIES))
    lengths = {"frames": frames, "labels": labels, "label_lengths": label_lengths}
    xp = check.array_module(where, **others, **lengths)
    check.array(where, "labels", labels, np.int32, batch=None, max_labels=None)
    batch, max_labels = labels.shape
    check.array(where, "frames", frames, np.int32, batch=batch)
    check.array(where, "label_lengths", label_lengths, np.int32, batch=batch)
    check.lengths(where, "frames", frames, time, "time axis")
    check.lengths(where, "label_lengths", label_lengths, max_labels, "labels' second axis")
    return Targets(xp, topology_name, frames, labels, label_lengths, time)


def check_log_probs(
    where: str,
    log_probs: Any,
    frames: Any,
    labels: Any,
    label_lengths: Any,
    blank: int,
    topology_name: str,
) -> Targets:
    """Check log-probabilities of a whole vocabulary, and the sequences that they belong to."""
    check.array_module(where, log_probs=log_probs)
    axes: dict[str, int | None] = dict.fromkeys(("batch", "time", "rows", "vocab"))
    check.array(where, "log_probs", log_probs, np.float32, **axes)
    _, time, _, vocab = log_probs.shape
    targets = check_targets(
        where, topology_name, frames, labels, label_lengths, time, log_probs=log_probs
    )
    axes |= {"batch": targets.batch, "rows": targets.max_labels + 1}
    check.array(where, "log_probs", log_probs, np.float32, **axes)
    check_vocabulary(where, targets, blank, vocab)
    return targets


def check_vocabulary(where: str, targets: Targets, blank: int, vocab: int) -> None:
    """Check that the blank and the labels are in the vocabulary, and differ."""
    check.integer(where, "blank", blank)
    if not 0 <= blank < vocab:
        check.fail(where, "blank", str(blank), f"0 to {vocab - 1} (the vocabulary)")
    topology.check_labels(where, targets.labels, targets.label_lengths, vocab, blank)


def check_scores(
    where: str, scores: TransducerScores, frames: Any, labels: Any, lengths: Any, topology_name: str
) -> Targets:
    """Check scores of steps, and the sequences that they belong to."""
    arrays = {k: x for k, x in scores._asdict().items() if x is not None or k != "repeat"}
    check.array_module(where, **arrays)
    check.array(where, "blank", scores.blank, np.float32, batch=None, time=None, rows=None)
    time = scores.blank.shape[1]
    targets = check_targets(where, topology_name, frames, labels, lengths, time, **arrays)
    axes = {"batch": targets.batch, "time": time}
    check.array(where, "blank", scores.blank, np.float32, **axes, rows=targets.max_labels + 1)
    check.array(where, "label", scores.label, np.float32, **axes, max_labels=targets.max_labels)
    if (scores.repeat is not None) != (topology_name == "ctc"):
        found = "None" if scores.repeat is None else "an array"
        check.fail(where, "repeat", found, "an array for topology ctc, None for the others")
    if scores.repeat is not None:
        check.array(
            where, "repeat", scores.repeat, np.float32, **axes, max_labels=targets.max_labels
        )
    return targets
