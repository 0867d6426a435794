"""Transducers: all paths of labels and blanks through the frames, their sum and the best one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from returnn_lite import native
from returnn_lite.data import Data
from returnn_lite.dim import BATCH, Dim
from returnn_lite.errors import NetworkError
from returnn_lite.layers.activations import safe_log
from returnn_lite.lazy import tf
from returnn_lite.losses.base import Criterion, Given, Parts, register
from returnn_lite.losses.joint import joint_of
from returnn_lite.losses.sequence import by_sequence, check_ctc


@register("transducer")
@dataclass(frozen=True, kw_only=True)
class Transducer(Criterion):
    """-log of the sum over all paths that give the labels (Graves, 2012); an own addition.

    The output is [batch, time, labels + 1, classes], of a frame where so many labels are out:
    probabilities, or with input_type "log_prob" their logarithms. topology: "rnnt"; "rna", in which
    a label takes one frame; "ctc", in which it may take several. blank_idx: from the end where it
    is negative. zero_infinity: whether a sequence without a path counts as 0, not inf.
    The output is made slice by slice, so that its size is no limit, where it is a softmax of a
    linear layer of a joint layer: of a sum of two layers, of frames and of labels, through an
    activation (tanh, sigmoid, and those of the relu, elu, gelu, swish, softplus kind), maxout of
    two pieces, or nothing, with dropout or without; or where two linear layers make of it, in
    place of a softmax, a blank log_sigmoid(-e), joined with log_softmax(labels) + log_sigmoid(e).
    """

    by_frame = False
    topology: Literal["rnnt", "rna", "ctc"] = "rnnt"
    input_type: Literal["log_prob", "prob"]
    blank_idx: int = -1
    zero_infinity: bool = False

    def check_target(self, out: Data, target: Data) -> None:
        """Check the dims, the labels, and the blank."""
        check_ctc(out, target, blank=False)
        places(out, target)
        if not -out.feature_size <= self.blank_idx < out.feature_size:
            raise NetworkError(f"found blank_idx {self.blank_idx} for {out}, needed one of it")
        assert target.sparse_dim is not None
        last = self.blank_idx in (-1, out.feature_size - 1)
        if not last and target.sparse_dim.size != out.feature_size:
            raise NetworkError(
                f"found blank_idx {self.blank_idx} for target {target}, needed the last, -1, or a "
                "target whose labels count the blank"
            )

    def parts(self, given: Given) -> Parts:
        """Return the value of every sequence; no error."""
        paths = Paths(given, given.target, self.topology, self.blank_idx, self.input_type)
        value = paths.loss()
        if self.zero_infinity:
            value = tf.where(tf.math.is_inf(value), 0.0, value)
        return Parts(by_sequence(given.out, value), None)


def places(x: Data, labels: Data) -> tuple[Dim, Dim]:
    """Return the dims of frames and of labels + 1. Raises NetworkError where there are others."""
    assert labels.time_dim is not None
    base, left, right = labels.time_dim.ends
    dynamic = [d for d in x.dims if d.dynamic]
    rows = [d for d in dynamic if d.ends[0] is base and sum(d.ends[1:]) == left + right + 1]
    if len(rows) != 1 or len(dynamic) != 2 or len(x.dims) != 4 or not x.has_batch:
        raise NetworkError(
            f"found {x} for labels {labels}, needed [batch, time, labels + 1, features]; "
            "try prefix_in_time for the labels"
        )
    return next(d for d in dynamic if d is not rows[0]), rows[0]


class Paths:
    """The paths of labels through the output of a layer.

    given: the layer, and where its value is. topology, blank_idx, input_type: see `Transducer`.
    """

    def __init__(self, given: Given, labels: Data, topology: str, blank_idx: int, input_type: str):
        out, run = given.out, given.run
        assert labels.time_dim is not None
        self.given, self.out, self.input_type = given, out, input_type
        self.time, self.rows = places(out, labels)
        self.sequences = [
            run.lengths_of(self.time, out.beam),
            labels.ordered([BATCH, labels.time_dim]).tensor,
            run.lengths_of(labels.time_dim, out.beam),
        ]
        self.blank, self.topology = blank_idx % out.feature_size, topology

    def loss(self) -> Any:
        """Return float32 [batch], -log of the sum over all paths, or inf."""
        return self._call(native.transducer_loss, native.transducer_fused_loss)

    def align(self) -> tuple[Any, Any, Any]:
        """Return the best path, see `native.transducer_align`."""
        found: tuple[Any, Any, Any] = self._call(
            native.transducer_align, native.transducer_fused_align
        )
        return found

    def _call(self, stored: Any, fused: Any) -> Any:
        """Return what one of two functions makes of the output, or of what it is made of."""
        joint = joint_of(self.given, (self.time, self.rows), self.blank, self.input_type)
        options: dict[str, Any] = {"blank": self.blank, "topology": self.topology}
        if joint is None:
            return stored(self._log_probs(), *self.sequences, **options)
        *arrays, activation, separate_emit, dropout = joint
        options |= {"activation": activation, "separate_emit": separate_emit, "dropout": dropout}
        return fused(*arrays, *self.sequences, **options)

    def _log_probs(self) -> Any:
        """Return float32 [batch, time, labels + 1, classes]."""
        name, before = self.given.before
        softmax = name in ("softmax", "log_softmax")
        x = before if softmax else self.out
        x = x.ordered([BATCH, self.time, self.rows, x.feature]).tensor
        if softmax:
            return tf.nn.log_softmax(x)
        return safe_log(x) if self.input_type == "prob" else x
