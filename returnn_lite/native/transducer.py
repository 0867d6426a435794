"""Transducer: full-sum loss over all alignments of the labels, and the best one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from returnn_lite import random
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


def transducer_align(
    log_probs: Any, frames: Any, labels: Any, counts: Any, *, blank: int, topology: str
) -> tuple[Any, Any, Any]:
    """Return the best of the paths of `transducer_loss`, their lengths, and their scores.

    The path is int32 [batch, steps]: labels, and the blank, which also stands on padding and where
    there is no path; steps are time, in topology "rnnt" time + max_labels. The lengths are int32
    [batch]. The scores are float32 [batch], -inf where there is no path. There is no gradient.
    """
    from cupy_kernels.transducer import transducer_align as kernel
    from cupy_kernels.transducer.op import SOURCE

    arguments = [log_probs, frames, labels, counts]
    options: dict[str, Any] = {"blank": blank, "topology": topology}
    if not bridge.serves(SOURCE):
        return transducer_tf.transducer_align(*arguments, **options)
    return _path(kernel, arguments, options)


def joint_activation(name: str | None, opts: Mapping[str, Any] | None) -> str | None:
    """Return what `transducer_fused_loss` calls an activation of a config, None for one it lacks.

    name, opts: as of `layers.activations.activation`.
    """
    from cupy_kernels.transducer.activations import POINTWISE

    if name == "gelu" and opts in ({"approximate": True}, {"approximate": False}):
        return "gelu_tanh" if opts["approximate"] else "gelu"
    other_names = {None: "linear", "identity": "linear", "none": "linear", "swish": "silu"}
    name = other_names.get(name, name)
    return name if name in POINTWISE and name != "gelu_tanh" and not opts else None


class JointDropout(NamedTuple):
    """Dropout of what a joint network's matrix multiplies.

    It is that of `random.uniform(shape, seed) >= rate`, where strides, int64 [3], say how far apart
    in the flat shape the entries of sequences, frames, and labels + 1 are; those of a feature
    follow each other. A stride is 0 where all entries of an axis share a draw.
    """

    rate: float
    seed: Any  # int32 [2]
    strides: Any


def transducer_fused_loss(
    encoder: Any,
    predictor: Any,
    weight: Any,
    bias: Any,
    frames: Any,
    labels: Any,
    counts: Any,
    *,
    blank: int,
    topology: str,
    activation: str = "tanh",
    separate_emit: bool = False,
    dropout: JointDropout | None = None,
) -> Any:
    """Return `transducer_loss` of the output of a joint network, which is never stored as a whole.

    encoder: float32 [batch, time, inputs]. predictor: float32 [batch, max_labels + 1, inputs].
    weight: float32 [joint, vocab]. bias: float32 [vocab]. activation, separate_emit: see
    `cupy_kernels.transducer.transducer_fused_loss`; the others as in `transducer_loss`.
    """
    from cupy_kernels import transducer as kernels
    from cupy_kernels.transducer.op import SOURCE

    inputs, sequences = [encoder, predictor, weight, bias], [frames, labels, counts]
    rate, stream = _stream(dropout)
    options: dict[str, Any] = {
        "blank": blank,
        "topology": topology,
        "activation": activation,
        "separate_emit": separate_emit,
    }
    if not bridge.serves(SOURCE):
        function = transducer_tf.transducer_loss
        return transducer_tf.fused(function, inputs, sequences, **options, dropout=dropout)
    parts = len(kernels.TransducerSaved._fields)

    def forward(*arrays: Any) -> Any:
        kept = options | {"dropout": _kernel_dropout(rate, arrays[7:])}
        loss, saved = kernels.transducer_fused_forward(*arrays[:7], **kept)
        return loss, *saved

    def backward(d_loss: Any, *arrays: Any) -> Any:
        saved, arrays = kernels.TransducerSaved(*arrays[:parts]), arrays[parts:]
        kept = options | {"dropout": _kernel_dropout(rate, arrays[7:])}
        return kernels.transducer_fused_backward(d_loss, saved, *arrays[:7], **kept)

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def compute(*inputs: Any) -> Any:
        arguments = [*inputs, *sequences, *stream]
        loss, *saved = bridge.call(forward, arguments, [tf.float32] * (1 + parts))

        def gradient(d_loss: Any) -> Any:
            found = bridge.call(backward, [d_loss, *saved, *arguments], [tf.float32] * 4)
            return [tf.ensure_shape(d, x.shape) for d, x in zip(found, inputs, strict=True)]

        return tf.ensure_shape(loss, [None]), gradient

    return compute(*inputs)


def transducer_fused_align(
    encoder: Any,
    predictor: Any,
    weight: Any,
    bias: Any,
    frames: Any,
    labels: Any,
    counts: Any,
    *,
    blank: int,
    topology: str,
    activation: str = "tanh",
    separate_emit: bool = False,
    dropout: JointDropout | None = None,
) -> tuple[Any, Any, Any]:
    """Return `transducer_align` of the output of a joint network, see `transducer_fused_loss`."""
    from cupy_kernels.transducer import transducer_fused_align as kernel
    from cupy_kernels.transducer.op import SOURCE

    inputs, sequences = [encoder, predictor, weight, bias], [frames, labels, counts]
    rate, stream = _stream(dropout)
    options: dict[str, Any] = {
        "blank": blank,
        "topology": topology,
        "activation": activation,
        "separate_emit": separate_emit,
    }
    if not bridge.serves(SOURCE):
        align = transducer_tf.transducer_align
        path, lengths, score = transducer_tf.fused(
            align, inputs, sequences, **options, dropout=dropout
        )
        return path, lengths, score

    def best(*arrays: Any, **options: Any) -> Any:
        return kernel(*arrays[:7], **options, dropout=_kernel_dropout(rate, arrays[7:]))

    return _path(best, [*inputs, *sequences, *stream], options)


def _stream(dropout: JointDropout | None) -> tuple[float, list[Any]]:
    """Return the rate, and what a kernel needs of the stream: key, counter and strides."""
    if dropout is None:
        return 0.0, []
    return dropout.rate, [*random.stream_of(dropout.seed), dropout.strides]


def _kernel_dropout(rate: float, stream: Sequence[Any]) -> Any:
    """Return the kernels' form of dropout, from arrays."""
    from cupy_kernels.transducer import Dropout

    if not stream:
        return None
    (key,), (low, high), strides = ([int(x) for x in array] for array in stream)
    return Dropout(rate, key, high << 64 | low, (strides[0], strides[1], strides[2]))


def _path(
    kernel: Callable[..., Any], arguments: Sequence[Any], options: dict[str, Any]
) -> tuple[Any, Any, Any]:
    """Return the path, lengths and scores that a kernel finds."""
    dtypes = [tf.int32, tf.int32, tf.float32]
    path, lengths, score = bridge.call(lambda *x: kernel(*x, **options), arguments, dtypes)
    ensure = tf.ensure_shape
    return ensure(path, [None, None]), ensure(lengths, [None]), ensure(score, [None])
