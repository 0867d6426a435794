"""Joint networks that tests of fused transducers have in common, and what a GPU does with them."""

from __future__ import annotations

from typing import Any

import numpy as np

from cupy_kernels.transducer import JointGradients, TransducerSaved, fused, joint


def as_numpy(x: Any) -> Any:
    """Return an array on the host."""
    return x.get() if hasattr(x, "get") else x


def joint_network(
    batch: int, time: int, rows: int, vocabulary: int, joint_size: int = 7, pieces: int = 1
) -> list[Any]:
    """Encoder, predictor, weight and bias."""
    rng = np.random.default_rng(7)
    shapes = (batch, time, joint_size * pieces), (batch, rows, joint_size * pieces)
    shapes += (joint_size, vocabulary), (vocabulary,)  # type: ignore[assignment]
    return [rng.standard_normal(shape, np.float32) for shape in shapes]


def joint_case(pieces: int = 1) -> list[Any]:
    """Two sequences of 6 and 5 frames, with 3 and 2 labels out of 70."""
    rest = np.array([6, 5], np.int32), np.array([[5, 5, 69], [64, 1, 0]], np.int32)
    return [*joint_network(2, 6, 4, 70, pieces=pieces), *rest, np.array([3, 2], np.int32)]


def by_slices(case: list[Any], d_loss: Any, options: fused.Options) -> tuple[Any, JointGradients]:
    """Loss and gradients by slices with a library's product, which a GPU has them by."""
    inputs, sequences = case[:4], case[4:]
    targets, net = fused._check("test", (*inputs,), (*sequences,), options)  # type: ignore[arg-type]
    scores = joint.empty_scores(targets)
    log_norm = np.empty_like(scores.blank)
    nodes = np.flatnonzero(joint._on_paths(targets))
    joint.sliced_scores(targets, net, nodes, (*scores, log_norm), 2)
    loss, grads = fused.full_sum(targets, scores, 2)
    saved = TransducerSaved(log_norm, *grads)
    outputs = (*(x * d_loss[:, None, None] for x in grads), log_norm)
    found = JointGradients(*(np.zeros_like(x) for x in case[:4]))
    nodes = np.flatnonzero(joint._not_negligible(targets, d_loss, saved))
    joint.sliced_gradients(targets, net, nodes, outputs, found, 2)
    return loss, found
