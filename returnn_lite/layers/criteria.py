"""Losses as layers, whose output is the loss by frame or by sequence, and soft alignments."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from returnn_lite import losses, native
from returnn_lite.beam import latest
from returnn_lite.data import Data
from returnn_lite.dim import BATCH
from returnn_lite.errors import NetworkError
from returnn_lite.layers.activations import safe_log
from returnn_lite.layers.base import Layer, Recomputed, register
from returnn_lite.lazy import tf
from returnn_lite.losses.hmm import NEEDS_RASR, Topology
from returnn_lite.losses.sequence import check_ctc, ctc
from returnn_lite.node import Node
from returnn_lite.site import Site


def _of_batch(site: Site, tensor: Any = None, like: Data | None = None) -> Data:
    """Return data [batch]."""
    beam = like.beam if like is not None else None
    return Data(name=site.node.path, dims=(BATCH,), beam=beam, tensor=tensor)


@register("loss")
@dataclass(frozen=True, kw_only=True)
class LossLayer(Layer):
    """The value of a loss, or with use_error its error, of every frame or every sequence.

    loss_, target_, loss_opts_: as the options loss, target and loss_opts of the source would be.
    The layer's parts `loss` and `error` are both.
    """

    loss_: str
    target_: str | None = None
    loss_opts_: dict[str, Any] = field(default_factory=dict)
    use_error: bool = False

    def parts(self, node: Node) -> Mapping[str, Layer]:
        """Return the layers of the loss and of its error."""
        return {k: LossPart(of=node, use_error=k == "error") for k in ("loss", "error")}

    def open(self, node: Node) -> None:
        """Find the loss and its target."""
        site = Site(node)
        if len(node.sources) != 1:
            raise site.error(f"found {len(node.sources)} sources, needed one")
        try:
            node.resolved["loss"] = criterion = losses.find(self.loss_, self.loss_opts_)
        except NetworkError as error:
            raise site.error(str(error)) from None
        target = self.target_
        if target is None and criterion.needs_target:
            target = node.scope.target_by_default()
        if target is not None:
            name, layer = target.removeprefix("layer:"), target.startswith("layer:")
            node.refs["target_"] = [node.scope.get(name if layer else f"data:{name}", str(node))]
        elif criterion.needs_target:
            raise site.error(f"missing option 'target_' for the loss {self.loss_!r}")
        if criterion.needs_search:
            raise site.error(f"found loss_ {self.loss_!r}, needed one without a search")

    def stays(self, node: Node) -> bool:
        """Return whether it is a loss of whole sequences."""
        return not node.resolved["loss"].by_frame

    def infer(self, site: Site) -> Data:
        """Return the template: the dims of the source but its features, or [batch]."""
        x, criterion = site.source, site.node.resolved["loss"]
        if "target_" in site.node.refs:
            try:
                criterion.check_target(x, site.ref("target_"))
            except NetworkError as error:
                raise site.error(str(error)) from None
        return self._without_features(x) if criterion.by_frame else _of_batch(site)

    def _without_features(self, x: Data) -> Data:
        out = x if x.feature_dim is None else x.without(x.feature_dim)
        return replace(out, dtype="float32", sparse_dim=None, vocab=None)

    def call(self, site: Site) -> Data:
        """Return the loss."""
        return self.part(site, use_error=self.use_error)

    def part(self, site: Site, *, use_error: bool) -> Data:
        """Return the loss or its error."""
        assert site.frame is not None
        (to,) = site.node.refs.get("target_", [None])
        criterion = site.node.resolved["loss"]
        given = losses.Given(site.node.sources[0], site.frame, to, {}, errors=use_error)
        value, error = criterion.parts(given)
        found = error if use_error else value
        if found is None:
            kind = "error" if use_error else "value"
            raise site.error(f"found no {kind} of the loss {self.loss_!r}")
        tensor = tf.cast(found.tensor, tf.float32)
        if found.feature_dim is not None:
            tensor = tf.reduce_sum(tensor, axis=found.axis(found.feature_dim))
        out = self._without_features(found)
        return replace(out, name=site.node.path, tensor=tensor)


@dataclass(frozen=True, kw_only=True)
class LossPart(Recomputed):
    """The loss that a layer of the class loss is of, or its error."""

    layer_class = "loss_part"
    use_error: bool

    def infer(self, site: Site) -> Data:
        """Return the template of the loss layer."""
        return site.sources[0]

    def call(self, site: Site) -> Data:
        """Return the part."""
        layer: Any = self.of.layer
        found: Data = layer.part(site.of(self.of), use_error=self.use_error)
        return found


@register("ctc_loss")
@dataclass(frozen=True, kw_only=True)
class CtcLoss(Layer):
    """CTC loss of every sequence (Graves et al., 2006): float32 [batch].

    logits: a layer [batch, time, labels]; logits_normalized: whether they are log-probabilities
    already. targets: a sparse layer. blank_index: an index, from the end where it is negative.
    label_loop: False for RNA's topology, in which a label takes one frame. max_approx: of the best
    path alone.
    """

    refs = ("logits", "targets")
    default_from = ()
    logits: str
    targets: str
    logits_normalized: bool = False
    blank_index: int = -1
    label_loop: bool = True
    max_approx: bool = False

    def stays(self, node: Node) -> bool:
        """Return True: it is over a sequence."""
        return True

    def infer(self, site: Site) -> Data:
        """Return the template [batch]."""
        try:
            check_ctc(site.ref("logits"), site.ref("targets"), blank=False)
        except NetworkError as error:
            raise site.error(str(error)) from None
        return _of_batch(site)

    def call(self, site: Site) -> Data:
        """Return the loss."""
        logits, targets = site.ref("logits"), site.ref("targets").in_beam(site.ref("logits").beam)
        value = ctc(
            site,
            logits,
            targets,
            blank=self.blank_index,
            repetition=self.label_loop,
            normalise=not self.logits_normalized,
            softmax_gradient=False,
            best=self.max_approx,
        )
        return _of_batch(site, value, logits)


@register("sparse_softmax_cross_entropy_with_logits")
@dataclass(frozen=True, kw_only=True)
class SparseCrossEntropy(Layer):
    """-log softmax(logits) of the targets: the dims of the logits but that of the classes.

    logits: a layer. targets: a layer of whole numbers with the other dims. axis: the dim of the
    classes, by default that of features.
    """

    refs = ("logits", "targets")
    default_from = ()
    logits: str
    targets: str
    axis: Any = "F"

    def infer(self, site: Site) -> Data:
        """Return the template without the dim of the classes."""
        logits, targets = site.ref("logits"), site.ref("targets")
        axis = site.axis_of(self.axis, logits)
        if not targets.dtype.startswith("int"):
            raise site.error(f"found targets {targets}, needed whole numbers")
        if targets.sparse_dim is not None and targets.sparse_dim.size != axis.size:
            raise site.error(f"found targets {targets} for logits {logits}, needed as many classes")
        out = logits.without(axis)
        if set(out.dims) != set(targets.dims):
            raise site.error(f"found targets {targets} for logits {logits}, needed the same dims")
        return out

    def call(self, site: Site) -> Data:
        """Return the cross-entropy."""
        logits, targets = site.ref("logits"), site.ref("targets")
        beam = latest([logits.beam, targets.beam])
        axis = site.axis_of(self.axis, logits)
        logits, targets = logits.in_beam(beam).last(axis), targets.in_beam(beam)
        out = logits.without(axis)
        for dim in out.dims:
            targets = site.over(targets, dim)
        targets = targets.ordered(out.dims)
        value = tf.nn.sparse_softmax_cross_entropy_with_logits(targets.tensor, logits.tensor)
        return replace(out, tensor=value)


@register("fast_bw")
@dataclass(frozen=True, kw_only=True)
class FastBaumWelch(Layer):
    """The posteriors of labels in every frame, given the target, by Baum-Welch.

    in: scores [batch, time, labels], as log-probabilities or, with input_type "prob", as
    probabilities; out: the same dims, without gradient. align_target: "ctc", CTC's paths, where the
    blank is a label more; or "hmm", an own addition in the place of RASR's automata, the paths of a
    hidden Markov model with hmm_opts, see `losses.hmm.Topology`; tdp_scale: of its costs, of which
    CTC has none.
    align_target_key: the data stream of the labels, else the option target. ctc_opts: blank_idx,
    the last by default; label_loop or ctc_merge_repeated. am_scale: factor of the scores. min_prob:
    the least probability. sprint_opts: for RASR, an error here. The loss via_layer makes a loss of
    it.
    """

    align_target: Literal["ctc", "hmm"]
    align_target_key: str | None = None
    ctc_opts: dict[str, Any] = field(default_factory=dict)
    input_type: Literal["log_prob", "prob"] = "log_prob"
    am_scale: float = 1.0
    min_prob: float = 0.0
    hmm_opts: dict[str, Any] | None = None
    tdp_scale: float = 1.0
    sprint_opts: Any = None

    def open(self, node: Node) -> None:
        """Find the labels. Raises NetworkError for what only RASR can do."""
        if self.sprint_opts is not None:
            raise Site(node).error(f"found {NEEDS_RASR}; try align_target 'hmm' with hmm_opts")
        key = self.align_target_key or node.common.target
        if key is None:
            raise Site(node).error("missing option 'align_target_key'")
        node.refs["labels"] = [node.scope.get(f"data:{key}", str(node))]
        unknown = set(self.ctc_opts) - {"blank_idx", "label_loop", "ctc_merge_repeated"}
        if unknown:
            raise Site(node).error(f"unknown option {unknown.pop()!r} in ctc_opts")
        if self.align_target == "ctc" and self.hmm_opts is not None:
            raise Site(node).error("found hmm_opts, needed them for 'hmm' alone")

    def stays(self, node: Node) -> bool:
        """Return True: it is over a sequence."""
        return True

    def infer(self, site: Site) -> Data:
        """Return the template of the input."""
        try:
            if self.align_target == "hmm":
                topology = Topology.of(self.hmm_opts or {})
                topology.check(site.source, site.ref("labels"))
                site.node.resolved["topology"] = topology
            else:
                check_ctc(site.source, site.ref("labels"), blank=True)
        except NetworkError as error:
            raise site.error(str(error)) from None
        return site.source

    def _scores(self, site: Site, x: Data) -> Any:
        """Return the scaled log-probabilities, with the dims of x."""
        scores = x.tensor
        if self.input_type == "prob":
            assert site.frame is not None
            name, before = losses.Given(site.node.sources[0], site.frame).before
            if name == "softmax" and len(site.node.sources) == 1:
                scores = tf.nn.log_softmax(before.ordered(x.dims).tensor)
            else:
                scores = safe_log(scores)
        if self.min_prob > 0:
            scores = tf.maximum(scores, math.log(self.min_prob))
        return scores * self.am_scale

    def _loss(self, site: Site, scores: Data) -> Any:
        """Return float32 [batch]: -log of the sum over paths."""
        labels, opts = site.ref("labels"), self.ctc_opts
        if self.align_target == "hmm":
            topology: Topology = site.node.resolved["topology"]
            paths = topology.paths(site.run, scores, labels, self.tdp_scale)
            return native.fsa_full_sum(*paths)
        return ctc(
            site,
            scores,
            labels,
            blank=opts.get("blank_idx", -1),
            repetition=opts.get("label_loop", opts.get("ctc_merge_repeated", True)),
            normalise=False,
            softmax_gradient=False,
        )

    def call(self, site: Site) -> Data:
        """Return the posteriors, and keep the loss: -log of the sum over paths."""
        x = site.source
        x = x.last(x.feature)
        scores = tf.stop_gradient(self._scores(site, x))
        with tf.GradientTape() as tape:
            tape.watch(scores)
            loss = self._loss(site, replace(x, tensor=scores))
        posteriors = -tape.gradient(loss, scores)
        site.set_state("loss", _of_batch(site, tf.stop_gradient(loss), x))
        shape = [-1 if d is BATCH else 1 for d in x.dims]
        possible = tf.reshape(tf.math.is_finite(loss), shape)
        posteriors = tf.where(possible, posteriors, 0.0)
        return replace(x, tensor=tf.stop_gradient(posteriors))
