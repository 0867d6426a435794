"""The best alignment of labels and frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from returnn_lite import native
from returnn_lite.data import Data
from returnn_lite.dim import BATCH
from returnn_lite.errors import NetworkError
from returnn_lite.layers.activations import safe_log
from returnn_lite.layers.base import Layer, register
from returnn_lite.lazy import tf
from returnn_lite.losses.sequence import check_ctc
from returnn_lite.node import Node
from returnn_lite.site import Site


@register("forced_align")
@dataclass(frozen=True, kw_only=True)
class ForcedAlign(Layer):
    """The best path of labels and blanks through the frames (Viterbi): int32 [time, batch].

    in: [batch, time, labels], probabilities, or with input_type "log_prob" their logarithms.
    align_target: a sparse layer. topology: "ctc", or "rna", in which a label takes one frame.
    blank_idx: from the end where it is negative. blank_included: whether the labels of align_target
    count the blank; else it is the last one. The part `scores` is the path's log-probability,
    [batch]. Where no path exists there are blanks, and the score is -inf.
    """

    refs = ("align_target",)
    align_target: str
    topology: Literal["ctc", "rna"]
    input_type: Literal["log_prob", "prob"]
    blank_idx: int = -1
    blank_included: bool = False

    def parts(self, node: Node) -> Mapping[str, Layer]:
        """Return the layer of the scores."""
        return {"scores": AlignScores()}

    def stays(self, node: Node) -> bool:
        """Return True: it is over a sequence."""
        return True

    def infer(self, site: Site) -> Data:
        """Return the template: the label of each frame."""
        x, labels = site.source, site.ref("align_target")
        try:
            check_ctc(x, labels, blank=False)
        except NetworkError as error:
            raise site.error(str(error)) from None
        assert labels.sparse_dim is not None and x.time_dim is not None
        count = x.feature_size - (not self.blank_included)
        if (
            labels.sparse_dim.size != count
            or not -x.feature_size <= self.blank_idx < x.feature_size
        ):
            raise site.error(
                f"found {labels.sparse_dim.size} labels of align_target and blank_idx "
                f"{self.blank_idx} for {x}, needed {count} labels and a blank among the features"
            )
        if not self.blank_included and self.blank_idx not in (-1, x.feature_size - 1):
            raise site.error(f"found blank_idx {self.blank_idx}, needed the last, -1")
        return Data(
            name=site.node.path,
            dims=(x.time_dim, BATCH),
            dtype="int32",
            time_dim=x.time_dim,
            sparse_dim=x.feature_dim,
        )

    def call(self, site: Site) -> Data:
        """Return the path, and keep its score."""
        x, labels, out = site.source, site.ref("align_target"), site.node.out
        assert out is not None and x.time_dim is not None and labels.time_dim is not None
        scores = x.ordered([x.time_dim, BATCH, x.feature]).tensor
        scores = tf.stop_gradient(safe_log(scores) if self.input_type == "prob" else scores)
        time, labels = labels.time_dim, labels.in_beam(x.beam)
        path, score = native.ctc_best_path(
            scores,
            site.run.lengths_of(x.time_dim, x.beam),
            labels.ordered([BATCH, time]).tensor,
            site.run.lengths_of(time, x.beam),
            blank=self.blank_idx % x.feature_size,
            label_repetition=self.topology == "ctc",
        )
        kept = Data(name="scores", dims=(BATCH,), beam=x.beam, tensor=score)
        site.set_state("scores", kept)
        return replace(out, beam=x.beam, tensor=tf.transpose(path))


@dataclass(frozen=True, kw_only=True)
class AlignScores(Layer):
    """The log-probability of the path that a forced_align layer finds: float32 [batch]."""

    layer_class = "align_scores"

    def infer(self, site: Site) -> Data:
        """Return the template [batch]."""
        return Data(name=site.node.path, dims=(BATCH,))

    def call(self, site: Site) -> Data:
        """Return the scores."""
        assert site.frame is not None
        (align,) = site.node.sources
        return site.frame.hidden(align, align, "scores")
