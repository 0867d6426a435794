"""Transducer: full-sum loss over all alignments of the labels."""

from __future__ import annotations

from typing import Any

from returnn_lite.lazy import tf
from returnn_lite.native import bridge, transducer_tf


def transducer_loss(
    log_probs: Any, frames: Any, labels: Any, counts: Any, *, blank: int, topology: str
) -> Any:
    """Return float32 [batch], -log of the sum over all paths that give the labels, or inf.

    log_probs: float32 [batch, time, max_labels + 1, vocab], any scores. frames, counts: int32
    [batch], lengths of the input and of the labels. labels: int32 [batch, max_labels]. blank: its
    index. topology: "rnnt", "rna" or "ctc", see `cupy_kernels.transducer`.
    """
    from cupy_kernels.transducer import transducer_loss as kernel
    from cupy_kernels.transducer.op import SOURCE

    options: dict[str, Any] = {"blank": blank, "topology": topology}
    if not bridge.serves(SOURCE):
        return transducer_tf.transducer_loss(log_probs, frames, labels, counts, **options)

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def loss(log_probs: Any) -> Any:
        arguments = [log_probs, frames, labels, counts]
        value, gradient = bridge.call(
            lambda *arrays: kernel(*arrays, **options), arguments, [tf.float32, tf.float32]
        )
        value.set_shape([None])
        gradient.set_shape(log_probs.shape)
        return value, lambda upstream: gradient * upstream[:, None, None, None]

    return loss(log_probs)
