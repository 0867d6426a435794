"""Scores of a language model of n-grams for the labels so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from returnn_lite import arpa, vocab
from returnn_lite.data import Data
from returnn_lite.dim import BATCH, Dim
from returnn_lite.errors import NetworkError
from returnn_lite.infer import template_of
from returnn_lite.layers.base import register
from returnn_lite.layers.running import Running
from returnn_lite.lazy import tf
from returnn_lite.site import Site
from returnn_lite.subwords import State, Subwords

_SHOWN = 3  # steps that debug prints


@register("kenlm")
@dataclass(frozen=True, kw_only=True)
class KenLm(Running):
    """How much a label changes the log-probability of all labels so far, by a model of n-grams.

    in: labels, sparse [batch] in a step; out: float32 [batch], or [batch, labels] for every label
    that may follow the input. Probabilities are of words (natural logarithm), with back-off; the
    first follows `<s>`, and `</s>` has a probability where it is a label. A word that is not
    complete counts as if it were: so the scores of a whole sentence do not depend on how its words
    are cut. lm_file: an ARPA file, also compressed by gzip, or a function that returns its name.
    vocab_file: the labels, a file with one in each line or with a Python dict {label: number}, text
    or .pkl; by default those that extern_data has as vocab. vocab_unknown_label: one that must be
    among them, a label or its number; words that the model does not know are `<unk>` to it in any
    case. bpe_merge_symbol: the end of labels behind which a word goes on, such as "@@".
    input_step_offset: so many labels are left out in the beginning. dense_output: the scores of all
    labels that may follow; there, as in RETURNN, words that are not complete count with the merge
    symbol, mostly as `<unk>`. debug: prints labels and scores of the first three steps. In RETURNN
    it needs KenLM's sources, reads its binary files, too, and runs over the steps of a loop only.
    """

    lm_file: str | Callable[[], str]
    vocab_file: str | None = None
    vocab_unknown_label: str | int | None = None
    bpe_merge_symbol: str | None = None
    input_step_offset: int = 0
    dense_output: bool = False
    debug: bool = False

    def infer(self, site: Site) -> Data:
        """Return the template of the scores."""
        x, node = site.source, site.node
        if x.sparse_dim is None or not x.dtype.startswith("int"):
            raise site.error(f"found source {x}, needed labels; try sparse data, or a choice")
        if not site.over_steps(self.axis, x) and site.axis_of(self.axis, x) is BATCH:
            raise site.error(f"found the batch of {x} as axis, needed the time, or steps of a loop")
        if self.input_step_offset < 0:
            raise site.error(
                f"found input_step_offset {self.input_step_offset}, needed 0 or more steps"
            )
        labels = self._labels(site, x)
        if "subwords" not in node.resolved:
            node.resolved["subwords"] = self._subwords(site, labels)
        out = replace(x, dtype="float32", sparse_dim=None, vocab=None, tensor=None)
        if not self.dense_output:
            return out
        dim = site.feature(len(labels))
        return replace(out, dims=(*x.dims, dim), feature_dim=dim)

    def _subwords(self, site: Site, labels: tuple[str, ...]) -> Subwords:
        """Return what scores labels."""
        path = self.lm_file if isinstance(self.lm_file, str) else self.lm_file()
        if not isinstance(path, str):
            raise site.error(f"found lm_file {path!r}, needed the name of a file")
        try:
            model = arpa.read(path)
        except NetworkError as error:
            raise site.error(f"lm_file {error}") from None
        try:
            return Subwords(model, labels, self.bpe_merge_symbol or "")
        except NetworkError as error:
            raise site.error(f"{error}") from None

    def _labels(self, site: Site, x: Data) -> tuple[str, ...]:
        """Return the texts of the labels."""
        if self.vocab_file is None and x.vocab is None:
            raise site.error(f"found no vocab_file, needed the labels of {x}; try to give one")
        try:
            labels = x.vocab if self.vocab_file is None else vocab.read(self.vocab_file)
        except NetworkError as error:
            raise site.error(f"vocab_file {error}") from None
        assert labels is not None and x.sparse_dim is not None
        size, unknown = x.sparse_dim.size, self.vocab_unknown_label
        if len(labels) != size:
            raise site.error(f"found {len(labels)} labels in the vocabulary, needed {size} of {x}")
        if unknown is not None and unknown not in (*labels, *range(-1, len(labels))):
            raise site.error(
                f"found vocab_unknown_label {unknown!r}, needed a label of the vocabulary, or None"
            )
        return labels

    def _dims(self, site: Site) -> list[Dim]:
        """Return the dims of the labels of a step, or of all frames."""
        dims = template_of(site.node).dims
        return list(dims[:-1] if self.dense_output else dims)

    def _first(self, site: Site, dims: list[Dim]) -> list[Data]:
        """Return the state before the first label, and how many labels are still left out."""
        subwords: Subwords = site.node.resolved["subwords"]
        context = site.node.dim("feature", "context", subwords.contexts)
        like = [
            Data(name="context", dims=(*dims, context), dtype="int64"),
            Data(name="prefix", dims=tuple(dims), dtype="int64"),
            Data(name="pending", dims=tuple(dims)),
            Data(name="left", dims=tuple(dims), dtype="int32"),
        ]
        first, *others = (site.constant(0, x) for x in like)
        first = replace(first, tensor=first.tensor + subwords.begin())
        return [first, *others[:2], site.constant(self.input_step_offset, like[3])]

    def first_state(self, site: Site) -> dict[str, Data]:
        """Return the state before the first step."""
        if not site.node.resolved["over_steps"]:
            return {}
        return {x.name: x for x in self._first(site, self._dims(site))}

    def call(self, site: Site) -> Data:
        """Return the scores."""
        x, out, dims = site.source, template_of(site.node), self._dims(site)
        axis = self.over(site, x)
        if axis is None:
            x = x.ordered(dims)
            names = ("context", "prefix", "pending", "left")
            before = [site.state(name).in_beam(x.beam) for name in names]
            scores, state = self._step(site, [d.tensor for d in before], x.tensor)
            for data, tensor in zip(before, state, strict=True):
                site.set_state(data.name, replace(data, beam=x.beam, tensor=tensor))
            scores = self._shown(site, x.tensor, scores, site.index < _SHOWN)
            return replace(out, beam=x.beam, tensor=scores)
        x = site.over(x, axis)
        dims = [d for d in dims if d is not axis]
        x = x.ordered([axis, *dims])
        first = [d.in_beam(x.beam).tensor for d in self._first(site, dims)]
        shape = [*x.sizes()[1:], *([out.feature_size] if self.dense_output else [])]
        start = (tf.zeros(shape), first)

        def after(before: Any, label: Any) -> Any:
            return self._step(site, before[1], label)

        scores, _ = tf.scan(after, x.tensor, start)
        scores = self._shown(site, x.tensor[:_SHOWN], scores, True)
        more = [out.feature] if self.dense_output else []
        return site.as_output(replace(out, dims=(axis, *dims, *more), beam=x.beam, tensor=scores))

    def _step(self, site: Site, before: list[Any], label: Any) -> tuple[Any, list[Any]]:
        """Return the scores of a step, and the state behind it."""
        subwords: Subwords = site.node.resolved["subwords"]
        *known, left = before
        score, state = subwords.after(State(*known), label)
        skip = left > 0
        kept = [tf.where(skip, x, y) for x, y in zip(known[1:], state[1:], strict=True)]
        context = tf.where(tf.expand_dims(skip, -1), known[0], state.context)
        state, left = State(context, *kept), tf.maximum(left - 1, 0)
        if self.dense_output:
            return subwords.following(state), [*state, left]
        return tf.where(skip, 0.0, score), [*state, left]

    def _shown(self, site: Site, labels: Any, scores: Any, when: Any) -> Any:
        """Return scores, which are printed besides where `debug` says so."""
        if not self.debug:
            return scores

        def show() -> Any:
            tf.print(site.node.path, "labels", labels, "scores", scores)
            return tf.constant(True)

        with tf.control_dependencies([tf.cond(when, show, lambda: tf.constant(False))]):
            return tf.identity(scores)
