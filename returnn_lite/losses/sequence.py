"""Losses of whole sequences: CTC, edit distance, and those that another layer computes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from returnn_lite import native
from returnn_lite.data import Data, common
from returnn_lite.dim import BATCH
from returnn_lite.errors import NetworkError, nearest
from returnn_lite.layers.activations import safe_log
from returnn_lite.lazy import tf
from returnn_lite.losses.base import (
    Criterion,
    Given,
    Parts,
    computes_loss,
    register,
    sequence_sums,
)

_CTC_OPTIONS = (
    *("ignore_longer_outputs_than_inputs", "ctc_merge_repeated", "label_loop", "blank_index"),
    *("logits_normalize", "grad_wrt_softmax_in", "zero_infinity", "preprocess_collapse_repeated"),
)


def by_sequence(like: Data, tensor: Any) -> Data:
    """Return data [batch] of the same beam."""
    dims = (BATCH,)
    return Data(name=like.name, dims=dims, beam=like.beam, tensor=tf.cast(tensor, tf.float32))


@register("ctc")
@dataclass(frozen=True, kw_only=True)
class Ctc(Criterion):
    """CTC (Graves et al., 2006); the blank is the last label.

    The output is probabilities, or with output_in_log_space what the softmax is still applied to.
    beam_width: hypotheses of the search that errors are counted of, in evaluation; 1, and training,
    for the best label of each frame. (RETURNN's default of 100 takes minutes for a batch and 1000
    labels.) use_native: sequences with too many labels are left out. use_viterbi: the best path
    alone, rather than the sum of all. auto_clip_target_len: of no more labels than one less than
    there are frames; target_collapse_repeated: of several equal ones in a row, only the first; as
    in RETURNN, with use_native and use_viterbi both are so for the errors alone. ctc_opts:
    ignore_longer_outputs_than_inputs, zero_infinity: as use_native. ctc_merge_repeated, label_loop:
    False for RNA's topology, in which a label takes one frame. blank_index: another blank.
    logits_normalize: False for no softmax; grad_wrt_softmax_in: the gradient is then still that of
    what a softmax was applied to. preprocess_collapse_repeated: target_collapse_repeated, but not
    for the errors.
    """

    by_frame = False
    output_in_log_space: bool = False
    beam_width: int = 1
    use_native: bool = False
    use_viterbi: bool = False
    auto_clip_target_len: bool = False
    target_collapse_repeated: bool = False
    ctc_opts: dict[str, Any] | None = None

    def check(self) -> None:
        """Check the names in ctc_opts, and what goes together."""
        for key in self.ctc_opts or {}:
            if key not in _CTC_OPTIONS:
                other = nearest(key, _CTC_OPTIONS)
                raise NetworkError(f"unknown option {key!r} in ctc_opts{other}")
        if self.use_viterbi and self.ctc_opts:
            raise NetworkError("found ctc_opts with use_viterbi, needed none")

    def check_target(self, out: Data, target: Data) -> None:
        """Check that there are labels, and a further output for the blank."""
        check_ctc(out, target, blank=True)

    def parts(self, given: Given) -> Parts:
        """Return the value of every sequence, and its error where it is asked for."""
        out, target, opts = given.out, given.target, self.ctc_opts or {}
        logits = _logits(given, log_space=self.output_in_log_space)
        whole = self.use_native or self.use_viterbi
        collapse = self.target_collapse_repeated or opts.get("preprocess_collapse_repeated")
        value = ctc(
            given,
            logits,
            target,
            clip=self.auto_clip_target_len and not whole,
            collapse=bool(collapse) and not whole,
            best=self.use_viterbi,
            blank=int(opts.get("blank_index", -1)),
            repetition=bool(opts.get("label_loop", opts.get("ctc_merge_repeated", True))),
            normalise=bool(opts.get("logits_normalize", True)),
            softmax_gradient=bool(opts.get("grad_wrt_softmax_in", True)),
        )
        skips = ("ignore_longer_outputs_than_inputs", "zero_infinity")
        if self.use_native or any(opts.get(k) for k in skips):
            value = tf.where(tf.math.is_inf(value), 0.0, value)
        error = by_sequence(out, self._errors(given, logits, target)) if given.errors else None
        return Parts(by_sequence(out, value), error)

    def _errors(self, given: Given, logits: Data, target: Data) -> Any:
        """Return the edit distance of what is recognised to the labels."""
        run = given.run
        clip, collapse = self.auto_clip_target_len, self.target_collapse_repeated
        x, frames, y, counts = _sequences(given, logits, target, clip=clip, collapse=collapse)
        x, opts = x.tensor, self.ctc_opts or {}
        if self.beam_width == 1 or run.mode.train:
            blank = _index(logits, int(opts.get("blank_index", -1)))
            return native.ctc_errors(x, frames, y, counts, blank=blank)
        hypotheses, lengths = _decoded(run, x, frames, self.beam_width)
        return native.edit_distance(hypotheses, lengths, y, counts)


def _decoded(run: Any, x: Any, frames: Any, beam: int) -> tuple[Any, Any]:
    """Return int32 [batch, label] and [batch]: the best labels in a beam, and how many they are.

    x: float [time, batch, labels], with the blank last; frames: int32 [batch].
    """
    (found,), _ = tf.nn.ctc_beam_search_decoder(x, frames, beam_width=beam)
    rows = tf.cast(found.indices[:, 0], tf.int32)
    lengths = tf.math.bincount(rows, minlength=run.batch, dtype=tf.int32)
    return tf.sparse.to_dense(tf.cast(found, tf.int32)), lengths


def _logits(given: Given, *, log_space: bool) -> Data:
    """Return what the softmax is applied to: the output itself, or, of probabilities, their log."""
    out = given.out
    if log_space:
        return out
    name, before = given.before
    if name in ("softmax", "log_softmax"):
        return before
    if name is not None:
        loss = given.node.common.loss
        raise given.error(f"found activation {name!r}, needed 'softmax' for the loss {loss!r}")
    return replace(out, tensor=safe_log(out.tensor))


def check_ctc(out: Data, target: Data, *, blank: bool) -> None:
    """Raise NetworkError where an output is none for CTC with a target.

    blank: whether it is not among the target's labels, so that there is an output more.
    """
    if target.sparse_dim is None or out.feature_dim is None or out.sparse_dim is not None:
        raise NetworkError(f"found {out} for target {target}, needed features and a sparse target")
    if out.time_dim is None or target.time_dim is None:
        raise NetworkError(f"found {out} for target {target}, needed time dims")
    found, labels = out.feature_dim.size, target.sparse_dim.size or 0
    if found != labels + 1 and (blank or found != labels):
        raise NetworkError(
            f"found {found} outputs for target {target}, needed {labels + 1}, "
            "the last one for the blank"
        )


def _index(logits: Data, blank: int) -> int:
    return blank + logits.feature_size if blank < 0 else blank


def ctc(
    given: Any,
    logits: Data,
    target: Data,
    *,
    blank: int = -1,
    repetition: bool = True,
    normalise: bool = True,
    softmax_gradient: bool = True,
    best: bool = False,
    clip: bool = False,
    collapse: bool = False,
) -> Any:
    """Return float32 [batch], the CTC loss, or inf.

    given: has the run. blank: an index, from the end where it is negative. normalise: False where
    logits are log-probabilities already; softmax_gradient: the gradient is then e^logits minus the
    posteriors, that of what a softmax was applied to, rather than minus the posteriors alone.
    best: of the best path alone. clip, collapse: which labels, see `_sequences`.
    """
    x, frames, y, counts = _sequences(given, logits, target, clip=clip, collapse=collapse)
    options: dict[str, Any] = {"blank": _index(logits, blank), "label_repetition": repetition}
    if best:
        scores = tf.nn.log_softmax(x.tensor) if normalise else x.tensor
        path, score = native.ctc_best_path(tf.stop_gradient(scores), frames, y, counts, **options)
        # Behind the ends, and without a path, it may have no labels.
        picked = tf.gather(scores, tf.maximum(tf.transpose(path), 0), batch_dims=2)
        return tf.where(tf.math.is_inf(score), float("inf"), -_sum_of_frames(given, x, picked))
    value = native.ctc_loss(x.tensor, frames, y, counts, **options)
    if normalise:
        return value
    # The sum over paths of e^logits is that of probabilities times all normalisations.
    value -= _sum_of_frames(given, x, tf.reduce_logsumexp(x.tensor, axis=-1))
    if not softmax_gradient:
        return value
    mass = _sum_of_frames(given, x, tf.reduce_sum(tf.exp(x.tensor), axis=-1))
    return value + mass - tf.stop_gradient(mass)


def _sequences(
    given: Any, logits: Data, target: Data, *, clip: bool, collapse: bool
) -> tuple[Data, Any, Any, Any]:
    """Return the logits [time, batch, labels], the labels [batch, label], and their lengths.

    clip: whether there are fewer labels than frames. collapse: whether no label is that before it.
    """
    time, dim, run = logits.time_dim, target.time_dim, given.run
    assert time is not None and dim is not None
    frames, counts = run.lengths_of(time, None), run.lengths_of(dim, None)
    labels = target.ordered([BATCH, dim]).tensor
    if clip:
        counts = tf.minimum(counts, tf.maximum(frames - 1, 0))
    if collapse:
        other = tf.pad(labels[:, 1:] != labels[:, :-1], [[0, 0], [1, 0]], constant_values=True)
        kept = other & tf.sequence_mask(counts, tf.shape(labels)[1])
        order = tf.argsort(tf.cast(~kept, tf.int32), axis=1, stable=True)
        labels = tf.gather(labels, order, batch_dims=1)
        counts = tf.reduce_sum(tf.cast(kept, tf.int32), axis=1)
    return logits.ordered([time, BATCH, logits.feature]), frames, labels, counts


def _sum_of_frames(given: Any, x: Data, values: Any) -> Any:
    """Return float32 [batch]: the sum of values [time, batch] over the frames of each sequence."""
    return sequence_sums(given.run, replace(x, dims=x.dims[:2], feature_dim=None, tensor=values))


@register("edit_distance")
@dataclass(frozen=True, kw_only=True)
class EditDistance(Criterion):
    """Errors alone: the least number of insertions, deletions and substitutions of labels.

    ctc_decode: the output is scores of labels and, last, of the blank, in which CTC searches for
    labels first, with a beam of 100; they are probabilities, or with output_in_log_space what a
    softmax is still applied to. label_map: {label: label}, applied to both; None for none, which
    leaves a label out. debug_print: without effect: it prints.
    """

    in_search = True
    by_frame = False
    debug_print: bool = False
    ctc_decode: bool = False
    output_in_log_space: bool = False
    label_map: dict[int, int | None] | None = None

    def check(self) -> None:
        """Check that labels are mapped to labels."""
        numbers = (self.label_map or {}).values()
        if any(n is not None and (not isinstance(n, int) or n < 0) for n in numbers):
            raise NetworkError(f"found label_map {self.label_map!r}, needed labels or None in it")

    def check_target(self, out: Data, target: Data) -> None:
        """Check that both are labels, or the output their scores."""
        labels = target.sparse_dim.size if target.sparse_dim is not None else None
        if self.label_map and set(self.label_map) != set(range(labels or 0)):
            raise NetworkError(f"found label_map {self.label_map!r}, needed all labels of {target}")
        if self.ctc_decode:
            check_ctc(out, target, blank=True)
            return
        if out.sparse_dim is None or target.sparse_dim is None:
            raise NetworkError(f"found {out} for target {target}, needed sparse data; try 'decide'")
        if out.time_dim is None or target.time_dim is None:
            raise NetworkError(f"found {out} for target {target}, needed time dims")
        if out.sparse_dim.size != target.sparse_dim.size:
            found, needed = out.sparse_dim.size, target.sparse_dim.size
            raise NetworkError(f"found {found} labels for target {target}, needed {needed}")

    def parts(self, given: Given) -> Parts:
        """Return the errors of every hypothesis."""
        out = given.out
        found = self._searched(given) if self.ctc_decode else _labels(given.run, out)
        pairs = [self._mapped(*x) for x in (found, _labels(given.run, given.target))]
        return Parts(error=by_sequence(out, native.edit_distance(*pairs[0], *pairs[1])))

    def _searched(self, given: Given) -> tuple[Any, Any]:
        x = _logits(given, log_space=self.output_in_log_space)
        assert x.time_dim is not None
        frames = given.run.lengths_of(x.time_dim, None)
        return _decoded(given.run, x.ordered([x.time_dim, BATCH, x.feature]).tensor, frames, 100)

    def _mapped(self, labels: Any, counts: Any) -> tuple[Any, Any]:
        """Return labels [batch, label] and how many they are, by label_map."""
        if not self.label_map:
            return labels, counts
        numbers = [self.label_map[i] for i in range(len(self.label_map))]
        # Behind the ends there may be other numbers.
        place = tf.clip_by_value(labels, 0, len(numbers) - 1)
        mapped = tf.gather(tf.constant([-1 if n is None else n for n in numbers]), place)
        kept = (mapped >= 0) & tf.sequence_mask(counts, tf.shape(labels)[1])
        order = tf.argsort(tf.cast(~kept, tf.int32), axis=1, stable=True)
        counts = tf.reduce_sum(tf.cast(kept, tf.int32), axis=1)
        return tf.gather(mapped, order, batch_dims=1), counts


def _labels(run: Any, x: Data) -> tuple[Any, Any]:
    """Return int32 [batch, label], and how many they are."""
    assert x.time_dim is not None
    return x.ordered([BATCH, x.time_dim]).tensor, run.lengths_of(x.time_dim, x.beam)


@register("via_layer")
@dataclass(frozen=True, kw_only=True)
class ViaLayer(Criterion):
    """The loss that a layer such as fast_bw computes, with a gradient that is a layer's output.

    error_signal_layer: the gradient; or align_layer: posteriors, which are subtracted from the
    output to give it. loss_wrt_to_act_in: whether it is that of what the activation was applied to;
    a string is the name that the activation must have.
    """

    needs_target = False
    by_frame = False
    refs = (*Criterion.refs, "error_signal_layer", "align_layer")
    error_signal_layer: str | None = None
    align_layer: str | None = None
    loss_wrt_to_act_in: bool | str = False

    def check(self) -> None:
        """Check that there is one layer."""
        if (self.error_signal_layer is None) == (self.align_layer is None):
            raise NetworkError("needed one of the options error_signal_layer and align_layer")

    def parts(self, given: Given) -> Parts:
        """Return the value of every sequence; no error."""
        key = "align_layer" if self.error_signal_layer is None else "error_signal_layer"
        node = given.refs[key]
        if not computes_loss(node):
            raise given.error(f"found {key} {node}, which has no loss, needed fast_bw")
        out, signal = common([given.out, given.frame.value(node)])
        gradient = out.tensor - signal.tensor if key == "align_layer" else signal.tensor
        name, before = given.before
        wanted = self.loss_wrt_to_act_in
        if wanted and (name is None or (isinstance(wanted, str) and name != wanted)):
            needed = wanted if isinstance(wanted, str) else "one"
            raise given.error(f"found activation {name!r}, needed {needed!r}: loss_wrt_to_act_in")
        x = before if wanted else given.out
        product = x.ordered(given.out.dims).tensor * tf.stop_gradient(gradient)
        change = sequence_sums(given.run, replace(given.out, tensor=product))
        value = given.frame.hidden(node, node, "loss").tensor
        return Parts(by_sequence(given.out, tf.stop_gradient(value - change) + change))
