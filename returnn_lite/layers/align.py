"""The best alignment of labels and frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from returnn_lite import losses, native
from returnn_lite.data import Data
from returnn_lite.dim import BATCH, Dim, total
from returnn_lite.errors import NetworkError
from returnn_lite.layers.activations import safe_log
from returnn_lite.layers.base import Layer, register
from returnn_lite.lazy import tf
from returnn_lite.losses import hmm
from returnn_lite.losses.sequence import check_ctc
from returnn_lite.losses.transducer import Paths, places
from returnn_lite.node import Node
from returnn_lite.site import Site


@register("forced_align")
@dataclass(frozen=True, kw_only=True)
class ForcedAlign(Layer):
    """The best path of labels and blanks through the frames (Viterbi): int32 [time, batch].

    in: [batch, time, labels], probabilities, or with input_type "log_prob" their logarithms; or, of
    a transducer, [batch, time, labels + 1, labels], see the loss "transducer". align_target: a
    sparse layer. topology: "ctc"; "rna", in which a label takes one frame; or, of a transducer,
    "rnnt", in which it takes none, so that the time of the path is that of frames and labels; or,
    an own addition, "hmm", the paths of a hidden Markov model with hmm_opts, see
    `losses.hmm.Topology`, and tdp_scale, of its costs: the output is then the states.
    blank_idx: from the end where it is negative. blank_included: whether the labels of align_target
    count the blank; else it is the last one. The part `scores` is the path's log-probability,
    [batch]. Where no path exists there are blanks (or zeros), and the score is -inf.
    """

    refs = ("align_target",)
    align_target: str
    topology: Literal["ctc", "rna", "rnnt", "hmm"]
    input_type: Literal["log_prob", "prob"]
    blank_idx: int = -1
    blank_included: bool = False
    hmm_opts: dict[str, Any] | None = None
    tdp_scale: float = 1.0

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
            if self.topology == "hmm":
                site.node.resolved["hmm"] = model = hmm.Topology.of(self.hmm_opts or {})
                model.check(x, labels)
            else:
                check_ctc(x, labels, blank=False)
        except NetworkError as error:
            raise site.error(str(error)) from None
        if self.topology != "hmm":
            self._check_labels(site, x, labels)
        time = self._time(site, x, labels)
        return Data(
            name=site.node.path,
            dims=(time, BATCH),
            dtype="int32",
            time_dim=time,
            sparse_dim=x.feature_dim,
        )

    def _check_labels(self, site: Site, x: Data, labels: Data) -> None:
        """Raise NetworkError where the labels or the blank are not those of the features."""
        if self.hmm_opts is not None or self.tdp_scale != 1.0:
            raise site.error("found hmm_opts or tdp_scale, needed them for topology 'hmm' alone")
        assert labels.sparse_dim is not None
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

    def _time(self, site: Site, x: Data, labels: Data) -> Dim:
        """Return the dim of the path."""
        assert x.time_dim is not None and labels.time_dim is not None
        transducer = self.topology != "hmm" and sum(d.dynamic for d in x.dims) > 1
        site.node.resolved["transducer"] = transducer
        if not transducer and self.topology == "rnnt":
            raise site.error(f"found {x} for topology 'rnnt', needed a transducer's output")
        if not transducer:
            return x.time_dim
        if len(site.node.sources) != 1:
            raise site.error(f"found {len(site.node.sources)} sources, needed one")
        try:
            time, _ = places(x, labels)
        except NetworkError as error:
            raise site.error(str(error)) from None
        return total([time, labels.time_dim]) if self.topology == "rnnt" else time

    def call(self, site: Site) -> Data:
        """Return the path, and keep its score."""
        x, labels, out = site.source, site.ref("align_target"), site.node.out
        assert out is not None and site.frame is not None
        labels = labels.in_beam(x.beam)
        if site.node.resolved["transducer"]:
            given = losses.Given(site.node.sources[0], site.frame)
            paths = Paths(given, labels, self.topology, self.blank_idx, self.input_type)
            path, _, score = paths.align()
        else:
            path, score = self._best_path(site, x, labels)
        kept = Data(name="scores", dims=(BATCH,), beam=x.beam, tensor=score)
        site.set_state("scores", kept)
        return replace(out, beam=x.beam, tensor=tf.transpose(path))

    def _best_path(self, site: Site, x: Data, labels: Data) -> tuple[Any, Any]:
        """Return the best path through scores of frames, and its score."""
        assert x.time_dim is not None and labels.time_dim is not None
        x = x.ordered([x.time_dim, BATCH, x.feature])
        scores = tf.stop_gradient(safe_log(x.tensor) if self.input_type == "prob" else x.tensor)
        if self.topology == "hmm":
            model: hmm.Topology = site.node.resolved["hmm"]
            arguments = model.paths(site.run, replace(x, tensor=scores), labels, self.tdp_scale)
            path, _, score = native.fsa_best_path(*arguments)
            return tf.maximum(path, 0), score
        return native.ctc_best_path(
            scores,
            site.run.lengths_of(x.time_dim, x.beam),
            labels.ordered([BATCH, labels.time_dim]).tensor,
            site.run.lengths_of(labels.time_dim, x.beam),
            blank=self.blank_idx % x.feature_size,
            label_repetition=self.topology == "ctc",
        )


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
