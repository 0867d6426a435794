"""The choice layer: a stochastic variable, the ground truth in training, a beam in search."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from returnn_lite.beam import Beam
from returnn_lite.data import Data
from returnn_lite.dim import BATCH
from returnn_lite.layers.activations import safe_log
from returnn_lite.layers.base import Layer, register
from returnn_lite.layers.choice_log_prob import ChoiceLogProb
from returnn_lite.layers.choice_options import check_options
from returnn_lite.layers.inputs import StepInput
from returnn_lite.lazy import tf
from returnn_lite.node import Mode, Node
from returnn_lite.rec.custom_scores import combined
from returnn_lite.rec.extend import BY_SCORE, Extending, Merge, extend, place_of
from returnn_lite.rec.label_ids import LabelIds, Topology
from returnn_lite.site import Site


@register("choice")
@dataclass(frozen=True, kw_only=True)
class Choice(Layer):
    """A label per step: without search that of the target, with search the best of the beam.

    in: float [batch, labels], of the input_type; out: int32 [batch]. beam_size: number of
    hypotheses per sequence that are kept. search: False for the target in a search, too: the other
    choices are then searched for, and its score is added to theirs if add_to_beam_scores. The part
    `log_prob` is the log-probability of the label, float32 [batch].

    The score of a hypothesis is base_beam_score_scale times what it was, plus prob_scale times the
    log-probability of the label; or what the function custom_score_combine makes of the arguments
    that RETURNN has, see `rec.custom_scores`, for which explicit_search_sources, or the one
    explicit_search_source, are layers to look at. Hypotheses are ranked by scores, where they end
    at different steps with length_normalization by scores divided by their numbers of labels, the
    end included, to the power of length_normalization_exponent; scores stay log-probabilities,
    while RETURNN's are divided. With
    random_sample_scale they are ranked by scores plus so much Gumbel noise: with 1 and beam_size 1
    the label is a sample. keep_beams: equally many extensions of every hypothesis are kept.
    cheating: the hypothesis of the target is kept, once, behind whose end come labels 0; all
    choices of a loop have it, or none. recombine: hypotheses with equal labels but for the blank,
    blank_idx, by default the last label, and in the topology "ctc" for repetitions, become one,
    that of the best, with the greatest score ("max") or that of all their paths ("sum").

    scheduled_sampling: without search a sample, or with gold_mixin_prob the target instead with
    that probability (Bengio et al., 2015); enable: False for none. There is no gradient through it.

    input_type "regression": the input itself is the output, or the target without search.
    """

    target: str | None
    beam_size: int
    input_type: Literal["prob", "log_prob", "logits", "regression"] = "prob"
    search: bool | None = None
    add_to_beam_scores: bool | None = None
    prob_scale: float = 1.0
    base_beam_score_scale: float = 1.0
    custom_score_combine: Callable[..., Any] | None = None
    explicit_search_sources: Any = None
    explicit_search_source: str | None = None
    length_normalization: bool = True
    length_normalization_exponent: float = 1.0
    random_sample_scale: float = 0.0
    keep_beams: bool = False
    cheating: bool | Literal["exclusive"] = False
    recombine: Merge | None = None
    topology: Topology = "rna"
    blank_idx: int = -1
    scheduled_sampling: bool | dict[str, Any] = False

    # -- what it does

    @property
    def searches(self) -> bool:
        """Whether it chooses in a search, rather than to take the target."""
        return self.search is not False and self.input_type != "regression"

    def chooses(self, mode: Mode) -> bool:
        """Return whether it makes other hypotheses, or changes the scores of those before it."""
        scored = self.searches or self.add_to_beam_scores is not False
        return mode.search and scored and self.input_type != "regression"

    def samples(self, mode: Mode) -> bool:
        """Return whether it is a sample where nothing is searched for."""
        opts = self.scheduled_sampling
        enabled = opts.get("enable", True) if isinstance(opts, Mapping) else True
        return bool(opts) and bool(enabled) and not mode.search

    @property
    def gold(self) -> float:
        """The probability of the target rather than a sample."""
        opts = self.scheduled_sampling
        return float(opts.get("gold_mixin_prob") or 0.0) if isinstance(opts, Mapping) else 0.0

    def parts(self, node: Node) -> Mapping[str, Layer]:
        """Return the layer of the label's log-probability."""
        return {} if self.input_type == "regression" else {"log_prob": ChoiceLogProb()}

    def open(self, node: Node) -> None:
        """Check where it lies and what its options are."""
        site = Site(node)
        if node.loop is None:
            raise site.error("found it outside of the unit of a rec layer; move it there")
        check_options(site)
        if node.scope.mode.search and self.searches:
            self._open_explicit(node)

    def _open_explicit(self, node: Node) -> None:
        """Find the layers that custom_score_combine looks at."""
        if self.explicit_search_source and self.explicit_search_sources:
            raise Site(node).error(
                "found explicit_search_source and explicit_search_sources, needed one of them"
            )
        one = [self.explicit_search_source] if self.explicit_search_source else []
        found: Any = self.explicit_search_sources or one
        names = list(found.values()) if isinstance(found, Mapping) else found
        if not isinstance(names, list | tuple):
            raise Site(node).error(
                f"found explicit_search_sources {found!r}, needed a list or dict of layers"
            )
        node.refs["explicit_search_sources"] = [node.scope.get(n, str(node)) for n in names]

    def needs(self, node: Node) -> Iterable[Node]:
        """Yield the source where it is looked at, and the target where that is."""
        mode = node.scope.mode
        if mode.search and self.search is not False:
            yield from node.sources
            yield from node.refs.get("explicit_search_sources", [])
            if self.cheating and node.target is not None:
                yield _whole(node.target)
        elif self.samples(mode):
            yield from node.sources
            if self.gold and node.target is not None:
                yield node.target
        else:
            if self.chooses(mode):
                yield from node.sources
            if node.target is not None:
                yield node.target

    def steps(self, node: Node) -> bool:
        """Return whether what it is differs from step to step: as samples do."""
        return self.samples(node.scope.mode)

    def infer(self, site: Site) -> Data:
        """Return the template int32 [batch]; its classes are those of the source."""
        mode = site.node.scope.mode
        target = None if site.node.target is None else site.target
        from_source = self.samples(mode) or (mode.search and self.search is not False)
        if not from_source:
            if target is None:
                raise site.error(f"found no data stream {self.target!r}, needed it for the labels")
            if target.sparse_dim is None and self.input_type != "regression":
                raise site.error(f"found target {target}, needed sparse data")
            known = site.node.sources[0].out
            if self.chooses(mode) and known is not None and known.feature_dim is not None:
                self._check_truth(site, target, known)
            return target
        x = site.source
        if self.input_type == "regression":
            return x
        if x.feature_dim is None:
            raise site.error(f"found source {x}, needed a feature dim of labels")
        if not site.partial and {*x.dims} - {BATCH} != {x.feature_dim}:
            raise site.error(f"found source {x}, needed [batch, labels] in each step")
        if self.cheating or (self.samples(mode) and self.gold):
            self._check_truth(site, target, x)
        size = x.feature.size
        if size is not None and not -size <= self.blank_idx < size:
            raise site.error(f"found blank_idx {self.blank_idx}, needed one of the labels of {x}")
        return Data(name=site.node.path, dims=(BATCH,), dtype="int32", sparse_dim=x.feature_dim)

    def _check_truth(self, site: Site, target: Data | None, x: Data) -> None:
        """Raise NetworkError where the target is not what the source has probabilities of."""
        if target is None:
            raise site.error(f"found no data stream {self.target!r}, needed it in the hypotheses")
        if target.sparse_dim is None or target.sparse_dim.size != x.feature.size:
            raise site.error(f"found target {target} for {x}, needed {x.feature.size} classes")

    def first_state(self, site: Site) -> dict[str, Data]:
        """Return what identifies the labels of a hypothesis, where equal ones become one."""
        ids = self._ids(site)
        return {} if ids is None else ids.first()

    def _ids(self, site: Site) -> LabelIds | None:
        if self.recombine is None or not site.node.scope.mode.search or not self.searches:
            return None
        return LabelIds(site, self.topology, self.blank_idx)

    def log_probs(self, x: Data) -> Any:
        """Return the logarithms of the source."""
        if self.input_type == "log_prob":
            return x.tensor
        return safe_log(x.tensor) if self.input_type == "prob" else tf.nn.log_softmax(x.tensor)

    def call(self, site: Site) -> Data:
        """Return the labels."""
        mode = site.node.scope.mode
        if self.input_type == "regression" and mode.search and self.search is not False:
            return site.source
        if self.chooses(mode):
            return self._search(site) if self.searches else self._given(site)
        return self._sample(site) if self.samples(mode) else site.target

    # -- in a search

    def _scored(self, site: Site, parent: Beam) -> tuple[Data, Any, Any]:
        """Return the source, its log-probabilities, and which hypotheses are complete, [batch]."""
        x = site.source.in_beam(parent)
        x = x.ordered([BATCH, x.feature])
        ended = site.search.ended.in_beam(parent).tensor
        return x, self._of_labels(site, x), ended

    def _of_labels(self, site: Site, x: Data) -> Any:
        """Return the log-probabilities; -inf for what are no labels: frames behind an end."""
        found = self.log_probs(x)
        if not x.feature.dynamic:
            return found
        return site.run.masked(replace(x, tensor=found), x.feature, float("-inf")).tensor

    def _search(self, site: Site) -> Data:
        """Extend every hypothesis by every label and keep the best."""
        search = site.search
        parent = search.beam
        assert parent is not None
        x, log_probs, ended = self._scored(site, parent)
        labels = site.run.entries(x.feature)
        # A complete hypothesis goes on as itself, by label 0 alone.
        stay = tf.where(tf.range(labels) == 0, 0.0, float("-inf"))
        log_probs = tf.where(ended[:, None], stay, log_probs)
        log_probs = tf.reshape(log_probs, [-1, parent.size, labels])
        ids = self._ids(site)
        beam, chosen = extend(
            parent,
            self._totals(site, parent, log_probs, ended),
            self.beam_size,
            site.node.path,
            self._how(site, x, parent, ended, ids),
        )
        if ids is not None:
            ids.keep(beam, chosen, ended)
        search.beam = beam
        return Data(
            name=site.node.path,
            dims=(BATCH,),
            dtype="int32",
            sparse_dim=x.feature_dim,
            beam=beam,
            tensor=chosen,
        )

    def _totals(self, site: Site, parent: Beam, log_probs: Any, ended: Any) -> Any:
        """Return float32 [batch, parent size, labels]: the scores of all extensions."""
        base = tf.reshape(parent.scores, [-1, parent.size, 1])
        if self.custom_score_combine is not None:
            return combined(self.custom_score_combine, site, log_probs, base, parent, ended)
        if self.prob_scale != 1.0:
            log_probs = _scaled(log_probs, self.prob_scale)
        if self.base_beam_score_scale != 1.0:
            base = _scaled(base, self.base_beam_score_scale)
        return base + log_probs

    def _lengths(self, site: Site, parent: Beam, ended: Any) -> Any | None:
        """Return float32 [batch, parent size]: what scores are divided by for their rank."""
        taken = site.search.taken
        if not self.length_normalization or taken is None:
            return None
        counts = taken.in_beam(parent).tensor + tf.cast(~ended, tf.int32)
        counts = tf.cast(tf.reshape(counts, [-1, parent.size]), tf.float32)
        return counts**self.length_normalization_exponent

    def _how(
        self, site: Site, x: Data, parent: Beam, ended: Any, ids: LabelIds | None
    ) -> Extending:
        """Return how extensions are chosen, besides by their scores."""
        found: dict[str, Any] = {}
        lengths = self._lengths(site, parent, ended)
        if lengths is not None:
            found["lengths"] = lengths
        if self.random_sample_scale:
            noise = _gumbel(site.noise(x, "sample"))
            noise = tf.reshape(noise, [-1, parent.size, site.run.entries(x.feature)])
            found["noise"] = self.random_sample_scale * noise
        if self.cheating:
            found["truth"] = _truth(site)
        if ids is not None:
            extended = ids.extended(parent, ended, site.run.entries(x.feature))
            found |= {"ids": extended, "merge": self.recombine}
        if self.keep_beams:
            if self.beam_size % parent.size:
                raise site.error(
                    f"found keep_beams and beam_size {self.beam_size}, needed a multiple of "
                    f"{parent.size}, the number of hypotheses before"
                )
            size = x.feature.size
            if size is not None and self.beam_size > parent.size * size:
                raise site.error(
                    f"found keep_beams and beam_size {self.beam_size}, needed at most "
                    f"{parent.size * size}, for {parent.size} hypotheses before and {size} labels"
                )
            # There is only one hypothesis before the first step.
            found["separately"] = (site.index > 0) | (parent.parent is not None)
        return Extending(**found) if found else BY_SCORE

    def _given(self, site: Site) -> Data:
        """Add the score of the target's label to that of every hypothesis; the best is first."""
        search = site.search
        parent = search.beam
        assert parent is not None
        _, log_probs, ended = self._scored(site, parent)
        target = site.over(site.target, BATCH).in_beam(parent)
        score = tf.gather(log_probs, target.tensor, batch_dims=1)
        score = tf.reshape(tf.where(ended, 0.0, score), [-1, parent.size])
        scores = _scaled(parent.scores, self.base_beam_score_scale)
        scores += _scaled(score, self.prob_scale)
        lengths = self._lengths(site, parent, ended)
        ranks = scores if lengths is None else scores / lengths
        source = tf.math.top_k(ranks, parent.size).indices
        scores = tf.gather(scores, source, batch_dims=1)
        beam = Beam(site.node.path, parent.size, parent, source, scores)
        if parent.truth is not None:
            beam.truth = place_of(parent.truth, source)
        search.beam = beam
        return replace(target.in_beam(beam), name=site.node.path)

    # -- without

    def _sample(self, site: Site) -> Data:
        """Return a sample, or in some sequences the target."""
        x = site.source
        x = site.over(x, BATCH).last(x.feature)
        noise = _gumbel(site.noise(x, "sample"))
        labels = tf.argmax(self._of_labels(site, x) + noise, axis=-1)
        out = x.without(x.feature)
        out = replace(
            out,
            dtype="int32",
            sparse_dim=x.feature_dim,
            feature_dim=None,
            tensor=tf.cast(labels, tf.int32),
        )
        if not self.gold:
            return out
        target = site.over(site.target, BATCH).ordered(out.dims).tensor
        mixed = tf.where(site.noise(out, "gold") < self.gold, target, out.tensor)
        return replace(out, tensor=mixed)


def _scaled(scores: Any, scale: float) -> Any:
    """Return scores times a scale; what is impossible stays so with scale 0."""
    return tf.where(scores == float("-inf"), scores, scores * scale)


def _gumbel(uniform: Any) -> Any:
    """Return Gumbel noise of uniform numbers in [0, 1) (Gumbel, 1954)."""
    tiny = 1e-20
    return -tf.math.log(-tf.math.log(uniform + tiny) + tiny)


def _whole(target: Node) -> Node:
    """Return the sequence of which a target is one entry in each step."""
    return target.sources[0] if isinstance(target.layer, StepInput) else target


def _truth(site: Site) -> Any:
    """Return int32 [batch]: the label of the target in this step, behind its end 0."""
    assert site.node.target is not None
    node = _whole(site.node.target)
    x = site.data(node)
    if node is site.node.target or x.time_dim is None:
        return site.over(x, BATCH).tensor
    time = x.time_dim
    x = x.first(time)
    index = tf.minimum(site.index, tf.shape(x.tensor)[0] - 1)
    return tf.where(site.index < site.run.lengths_of(time, None), x.tensor[index], 0)
