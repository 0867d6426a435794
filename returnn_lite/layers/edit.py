"""Edit distances of sequences and, in a loop, of hypotheses so far; optimal completions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from returnn_lite import native
from returnn_lite.beam import latest
from returnn_lite.data import Data
from returnn_lite.dim import BATCH, Dim
from returnn_lite.layers.base import Layer, register
from returnn_lite.lazy import tf
from returnn_lite.node import Node
from returnn_lite.site import Site


@register("edit_distance")
@dataclass(frozen=True, kw_only=True)
class EditDistanceLayer(Layer):
    """The least number of insertions, deletions and substitutions from a to b: int32 [batch].

    a, b: sparse layers [batch, time].
    """

    refs = ("a", "b")
    default_from = ()
    a: str
    b: str

    def stays(self, node: Node) -> bool:
        """Return True: it is over a sequence."""
        return True

    def infer(self, site: Site) -> Data:
        """Return the template [batch]."""
        for option in self.refs:
            x = site.ref(option)
            if x.sparse_dim is None or set(x.dims) != {BATCH, x.time_dim}:
                raise site.error(f"found {option} {x}, needed labels [batch, time]")
        return Data(name=site.node.path, dims=(BATCH,), dtype="int32")

    def call(self, site: Site) -> Data:
        """Return the distances."""
        a, b = site.ref("a"), site.ref("b")
        beam = latest([a.beam, b.beam])
        arguments = [n for x in (a, b) for n in _sequences(site, x, beam)]
        distance = native.edit_distance(*arguments)
        assert site.node.out is not None
        return replace(site.node.out, beam=beam, tensor=distance)


def _sequences(site: Site, x: Data, beam: Any) -> tuple[Any, Any]:
    """Return labels int32 [batch, time], and lengths."""
    assert x.time_dim is not None
    labels = tf.cast(x.in_beam(beam).ordered([BATCH, x.time_dim]).tensor, tf.int32)
    return labels, site.run.lengths_of(x.time_dim, beam)


@dataclass(frozen=True, kw_only=True)
class AgainstTarget(Layer):
    """What needs the whole target: in a loop by a name such as "layer:base:data:classes".

    blank_idx: a label that counts as none.
    """

    blank_idx: int | None = None

    def open(self, node: Node) -> None:
        """Find the target."""
        if node.common.target is None:
            raise Site(node).error("missing option 'target'")
        node.refs["labels"] = [node.scope.target(node.common.target, str(node))]
        if node.loop is None:
            raise Site(node).error("found it outside of the unit of a rec layer; move it there")

    def labels(self, site: Site) -> Data:
        """Return the target [batch, label]."""
        x = site.ref("labels")
        if x.sparse_dim is None or set(x.dims) != {BATCH, x.time_dim}:
            raise site.error(
                f"found target {x}, needed labels [batch, time]; "
                "try 'layer:base:data:<key>' for the whole sequence"
            )
        return x

    def row_dim(self, site: Site) -> Dim:
        """Return the dim of a row of the table: the labels, and one before them."""
        time = self.labels(site).time_dim
        assert time is not None
        return time.padded(0, 1)

    def classes(self, site: Site) -> int:
        """Return the number of labels, with the blank."""
        size = self.labels(site).sparse_dim.size  # type: ignore[union-attr]
        if size is None:
            raise site.error(f"found target {self.labels(site)}, needed a known number of labels")
        return size if self.blank_idx is None else max(size, self.blank_idx + 1)


@register("edit_distance_table")
@dataclass(frozen=True, kw_only=True)
class EditDistanceTable(AgainstTarget):
    """In a loop, the distances of the labels so far to every beginning of the target.

    in: int32 [batch], the label of a step; out: int32 [batch, target + 1], the row of the table.
    """

    def steps(self, node: Node) -> bool:
        """Return True: every step adds a label."""
        return True

    def infer(self, site: Site) -> Data:
        """Return the template of a row."""
        x, row = site.source, self.row_dim(site)
        if x.dims not in ((BATCH,), ()) or x.sparse_dim is None:
            raise site.error(f"found source {x}, needed a label, sparse [batch], of each step")
        if x.sparse_dim.size != self.classes(site):
            raise site.error(
                f"found source {x}, needed {self.classes(site)} classes, as the target"
            )
        return Data(name=site.node.path, dims=(BATCH, row), dtype="int32", time_dim=row)

    def first_output(self, site: Site) -> Data:
        """Return the row of no label."""
        labels, lengths = _sequences(site, self.labels(site), None)
        tensor = native.first_edit_distance_row(lengths, tf.shape(labels)[1])
        assert site.node.out is not None
        return replace(site.node.out, tensor=tensor)

    def first_state(self, site: Site) -> dict[str, Data]:
        """Return the row of no label."""
        return {"row": self.first_output(site)}

    def call(self, site: Site) -> Data:
        """Return the row after the label of this step, or those of all steps."""
        x, out = site.over(site.source, BATCH), site.node.out
        assert out is not None
        beam = latest([x.beam, self.labels(site).beam])
        labels, lengths = _sequences(site, self.labels(site), beam)
        x = x.in_beam(beam)

        def after(row: Any, label: Any, ended: Any) -> Any:
            if self.blank_idx is not None:
                ended = tf.logical_or(ended, label == self.blank_idx)
            label = tf.cast(label, tf.int32)
            return native.next_edit_distance_row(row, label, ended, labels, lengths)

        axis = site.axis
        if axis is None:
            row = site.state("row").in_beam(beam).tensor
            row = replace(out, beam=beam, tensor=after(row, x.tensor, _ended(site, beam)))
            site.set_state("row", row)
            return row
        x = site.over(x, axis).ordered([axis, BATCH])
        never = tf.zeros_like(lengths, tf.bool)
        first = self.first_output(site).in_beam(beam).tensor
        rows = tf.scan(lambda row, label: after(row, label, never), x.tensor, first)
        return replace(out, dims=(axis, *out.dims), beam=beam, tensor=rows)


@register("optimal_completions")
@dataclass(frozen=True, kw_only=True)
class OptimalCompletions(AgainstTarget):
    """For every next label, the least distance to the target that can be reached after it.

    in: int32 [batch, target + 1], mostly `prev:` of an edit_distance_table; out: int32 [batch,
    labels] (Sabour et al., 2018, Optimal Completion Distillation).
    """

    def infer(self, site: Site) -> Data:
        """Return the template [batch, labels]."""
        x = site.source
        if set(x.dims) != {BATCH, self.row_dim(site)} or x.dtype != "int32":
            raise site.error(f"found source {x}, needed a row of an edit_distance_table")
        feature = site.feature(self.classes(site))
        return Data(name=site.node.path, dims=(BATCH, feature), dtype="int32", feature_dim=feature)

    def call(self, site: Site) -> Data:
        """Return the distances."""
        x, target = site.source, self.labels(site)
        dim = self.row_dim(site)
        beam = latest([x.beam, target.beam])
        x = x.in_beam(beam)
        more = [d for d in x.dims if d not in (BATCH, dim)]
        x = x.ordered([*more, BATCH, dim])
        labels, lengths = _sequences(site, target, beam)
        sizes = x.sizes()
        # All steps at once, where it is moved out of the loop.
        steps = tf.reduce_prod(tf.stack([1, *sizes[:-2]]))
        rows = tf.reshape(x.tensor, [-1, sizes[-1]])
        labels, lengths = tf.tile(labels, [steps, 1]), tf.tile(lengths, [steps])
        count = self.classes(site)
        found = native.optimal_completion(rows, labels, lengths, count)
        same = tf.reduce_min(rows, axis=1, keepdims=True)
        if self.blank_idx is not None:
            found = tf.where(tf.range(count) == self.blank_idx, same, found)
        if not more:
            found = tf.where(_ended(site, beam)[:, None], same, found)
        assert site.node.out is not None
        out = replace(site.node.out, dims=(*more, *site.node.out.dims))
        return replace(out, beam=beam, tensor=tf.reshape(found, [*sizes[:-1], count]))


def _ended(site: Site, beam: Any) -> Any:
    """Return bool [batch]: which hypotheses are complete before this step."""
    if site.frame is not None and site.frame.search is not None:
        return site.search.ended.in_beam(beam).tensor
    return tf.zeros([site.run.batch * (beam.size if beam is not None else 1)], tf.bool)
