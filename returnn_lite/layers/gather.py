"""Layers that take entries by their position, or put them there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from returnn_lite.axes import batch_major
from returnn_lite.beam import latest
from returnn_lite.data import Data, next_feature, next_time
from returnn_lite.dim import BATCH, Dim
from returnn_lite.layers.base import Layer, register
from returnn_lite.lazy import tf
from returnn_lite.naming import meant
from returnn_lite.node import Node
from returnn_lite.site import Site


def take(site: Site, x: Data, index: Data, axis: Dim) -> Data:
    """Return the entries of a dim of x at an index; dims that both have go together.

    Beyond either end of a sequence it is the first or last entry. The dims are: those of both, the
    others of the index, the others of x.
    """
    beam = latest([x.beam, index.beam])
    x, index = x.in_beam(beam), index.in_beam(beam)
    shared = [d for d in x.dims if d in index.dims and d is not axis]
    index = index.first(*shared)
    x = x.first(*shared, axis)
    last: Any = axis.size if axis.size is not None else tf.shape(x.tensor)[len(shared)]
    batch = x.batch_dim
    if site.run.pads(x, axis) and batch in index.dims:
        shape = [-1 if d is batch else 1 for d in index.dims]
        last = tf.reshape(site.run.lengths_in(x, axis), shape)
    place = tf.clip_by_value(index.tensor, 0, tf.cast(tf.maximum(last - 1, 0), index.tensor.dtype))
    tensor = tf.gather(x.tensor, place, axis=len(shared), batch_dims=len(shared))
    dims = (*index.dims, *x.dims[len(shared) + 1 :])
    return replace(x, dims=dims, beam=beam, tensor=tensor)


@register("gather")
@dataclass(frozen=True, kw_only=True)
class Gather(Layer):
    """The entry of a dim of the input, by default of time; beyond either end, the first or last.

    position: a number, or a layer of whole numbers, whose dims the output then has, too; dims of
    both go together. clip_to_valid: True, as it is here; RETURNN fails without it beyond the ends.
    """

    refs = ("position",)
    position: str | int
    axis: Any = "T"
    clip_to_valid: bool = False

    def _axis(self, site: Site, x: Data) -> Dim:
        return site.axis_of(self.axis, x)

    def sees_padding(self, node: Node) -> bool:
        """Whether the position, the same in all sequences, may lie behind the end of one."""
        position = node.refs["position"][0].out if isinstance(self.position, str) else None
        return position is None or not position.has_batch

    def infer(self, site: Site) -> Data:
        """Return the template: the dims of the position in place of the axis."""
        x = site.source
        axis = self._axis(site, x)
        position = self._position(site)
        if not position.dtype.startswith("int"):
            raise site.error(f"found position {position}, needed whole numbers")
        if axis is BATCH:
            raise site.error(f"found axis {self.axis!r} of {x}, needed one of a sequence")
        return self._out(x, position, axis)

    def _position(self, site: Site) -> Data:
        if isinstance(self.position, str):
            return site.ref("position")
        tensor = None if site.frame is None else tf.constant(self.position)
        return Data(name="position", dims=(), dtype="int32", tensor=tensor)

    def _out(self, x: Data, position: Data, axis: Dim) -> Data:
        """Return the template, with the dims in RETURNN's order."""
        shared = [d for d in x.dims if d in position.dims and d is not axis]
        own = [d for d in x.dims if d not in shared and d is not axis]
        new = [d for d in position.dims if d not in shared]
        before = max(x.axis(axis) - len(shared), 0)
        dims = (*shared, *own[:before], *new, *own[before:])
        time, feature = x.time_dim, x.feature_dim
        if time is axis or time is None:
            time = position.time_dim if position.time_dim in dims else next_time(dims)
        if feature is next_feature(x.dims, x.time_dim):  # so it is afterwards, as in RETURNN
            feature = next_feature(dims, time)
        elif feature is axis:
            feature = position.feature_dim or next_feature(dims, time)
        beam = latest([x.beam, position.beam])
        out = replace(x, dims=dims, time_dim=time, feature_dim=feature, beam=beam, tensor=None)
        return replace(out, feature_dim=None if x.sparse_dim is not None else feature)

    def call(self, site: Site) -> Data:
        """Return the entries, for every position."""
        x = site.source
        return site.as_output(take(site, x, self._position(site), self._axis(site, x)))


@register("gather_nd")
@dataclass(frozen=True, kw_only=True)
class GatherNd(Gather):
    """The entry of the first dim behind the batch, at a position; see gather."""

    position: str
    axis: Any = 1

    def _out(self, x: Data, position: Data, axis: Dim) -> Data:
        """Return the template: the batch, further dims of the position, those of the input."""
        shared = [d for d in x.dims if d in position.dims and d is not axis]
        out = super()._out(x, position, axis)
        new = [d for d in batch_major(position) if d is not BATCH]
        own = [d for d in x.dims if d not in (BATCH, axis, *shared)]
        time = position.time_dim or out.time_dim
        return replace(out, dims=(BATCH, *new, *own), time_dim=time)

    def call(self, site: Site) -> Data:
        """Return the entries, for every position."""
        x, position = site.source, self._position(site)
        found = take(site, x, position, self._axis(site, x))
        return site.as_output(site.over(found, BATCH))


@register("scatter_nd")
@dataclass(frozen=True, kw_only=True)
class ScatterNd(Layer):
    """The sum of the entries of the input that go to each position of a new dim, 0 where none does.

    position: layer of whole numbers; position_axis: its dim over which entries are put.
    output_dim_via_time_from: a layer whose time dim is the new dim; or out_spatial_dim: a Dim of
    fixed size, or one that another layer made. Padding goes nowhere, nor what lies outside; RETURNN
    fails there without filter_invalid_indices.
    """

    refs = ("position", "output_dim_via_time_from")
    source_dims = ("out_spatial_dim",)
    position: str
    position_axis: Any
    output_dim_via_time_from: str | None = None
    out_spatial_dim: Dim | None = None
    filter_invalid_indices: bool = False

    def infer(self, site: Site) -> Data:
        """Return the template: the position's dims with the new one, then those of the input."""
        x, position = site.source, site.ref("position")
        axis = site.axis_of(self.position_axis, position)
        if axis is BATCH or not position.dtype.startswith("int"):
            raise site.error(f"found axis {axis} of position {position}, needed whole numbers")
        new = site.node.resolved["new"] = self._new(site)
        dims = [new if d is axis else d for d in position.dims]
        dims += [d for d in x.dims if d not in position.dims]
        time = new if position.time_dim in (None, axis) else position.time_dim
        feature = x.feature_dim if x.feature_dim in dims else None
        if x.sparse_dim is None and feature is None:
            feature = next_feature(dims, time)
        beam = latest([x.beam, position.beam])
        out = replace(x, dims=tuple(dims), time_dim=time, beam=beam, tensor=None)
        return replace(out, feature_dim=feature)

    def _new(self, site: Site) -> Dim:
        """Return the new dim."""
        if (self.output_dim_via_time_from is None) == (self.out_spatial_dim is None):
            raise site.error("needed one of output_dim_via_time_from and out_spatial_dim")
        if self.out_spatial_dim is not None:
            if self.out_spatial_dim.size is not None:
                return self.out_spatial_dim
            return site.node.scope.named.get(self.out_spatial_dim, self.out_spatial_dim)
        base = site.ref("output_dim_via_time_from")
        if base.time_dim is None:
            raise site.error(f"found output_dim_via_time_from {base}, needed a time dim")
        return base.time_dim

    def call(self, site: Site) -> Data:
        """Return the sums."""
        x, position = site.source, site.ref("position")
        beam = latest([x.beam, position.beam])
        x, position = x.in_beam(beam), position.in_beam(beam)
        axis, new = site.axis_of(self.position_axis, position), site.node.resolved["new"]
        index = position.last(axis)
        extra = [d for d in x.dims if d not in index.dims]
        x = x.ordered([*(d for d in index.dims if d in x.dims), *extra])
        slots = [slice(None) if d in x.dims else None for d in index.dims]
        sizes = [*index.sizes(), *x.sizes()[len(x.dims) - len(extra) :]]
        updates = tf.broadcast_to(x.tensor[(*slots, ...)], sizes)
        count = site.run.entries(new)
        # An index of its own for what goes nowhere.
        place = tf.where((index.tensor >= 0) & (index.tensor < count), index.tensor, count)
        place = site.run.masked(replace(index, tensor=place), axis, count).tensor
        rows = tf.reduce_prod(tf.stack([1, *index.sizes()[:-1]]))
        places = tf.reshape(tf.cast(place, tf.int32), [rows, -1])
        places += tf.range(rows)[:, None] * (count + 1)
        inner = sizes[len(index.dims) :]
        flat = tf.reshape(updates, [-1, *inner])
        total = tf.math.unsorted_segment_sum(flat, tf.reshape(places, [-1]), rows * (count + 1))
        total = tf.reshape(total, [*index.sizes()[:-1], count + 1, *inner])
        tensor = total[(*[slice(None)] * (len(index.dims) - 1), slice(count))]
        dims = (*index.dims[:-1], new, *extra)
        return site.as_output(replace(x, dims=dims, beam=beam, tensor=tensor))


def _position(x: Data) -> Data:
    """Return whole numbers; of floats those towards zero, without a dim of one feature."""
    if not x.dtype.startswith("float"):
        return x
    feature, tensor = x.feature_dim, x.tensor
    dims = tuple(d for d in x.dims if d is not feature or d.size != 1)
    if tensor is not None:
        axes = [x.axis(d) for d in x.dims if d not in dims]
        tensor = tf.cast(tf.squeeze(tensor, axes) if axes else tensor, tf.int32)
    feature = feature if feature in dims else None
    return replace(x, dims=dims, feature_dim=feature, dtype="int32", tensor=tensor)


@register("slice_nd")
@dataclass(frozen=True, kw_only=True)
class SliceNd(Layer):
    """Consecutive entries of a dim from a start on, 0 where there are none.

    start: a number, or a layer of whole numbers, whose dims the output has, too; floats, as of a
    position that a layer predicts, may have one feature, and are cut to whole numbers. size: a
    number, a layer [batch], a Dim that is then the new one, or None for all to the end, but at
    least min_size. out_spatial_dim: a Dim by which others may name the new dim.
    """

    refs = ("start", "size")
    size: int | str | Dim | None
    start: int | str | None = None
    min_size: int | None = None
    axis: Any = "T"
    out_spatial_dim: Dim | None = None

    def stays(self, node: Node) -> bool:
        """Return whether the number of entries differs between sequences: once for each of them."""
        return not isinstance(self.size, int)

    def sees_padding(self, node: Node) -> bool:
        """Entries may lie behind the end of a sequence."""
        return True

    def infer(self, site: Site) -> Data:
        """Return the template with the new dim."""
        x, start = site.source, self._start(site)
        axis = site.axis_of(self.axis, x)
        if not start.dtype.startswith("int") or axis is BATCH:
            raise site.error(f"found start {start} in {x}, needed whole numbers of a dim")
        if isinstance(self.size, int) and self.size < 0:
            text = f"found size {self.size}, needed 0 or more; try None for all to the end"
            raise site.error(text)
        new = site.node.resolved["new"] = self._new(site, axis, start)
        shared = [d for d in x.dims if d in start.dims and d is not axis]
        own = [d for d in x.dims if d not in shared and d is not axis]
        before = max(x.axis(axis) - len(shared), 0)
        dims = (*shared, *own[:before], *(d for d in start.dims if d not in shared), new)
        dims = (*dims, *own[before:])
        # As gather: what replaces time is the time of the start, else the new dim; also one of a
        # fixed size, as published networks of local attention need it, but not RETURNN as it is.
        time = x.time_dim
        if time is axis or time is None:
            dynamic = None if new.dynamic or time is None else next_time(dims)
            time = start.time_dim or dynamic or new
        feature = x.feature_dim
        if feature is axis:
            feature = next_feature(dims, time)
        return replace(x, dims=dims, time_dim=time, feature_dim=feature, tensor=None)

    def _new(self, site: Site, axis: Dim, start: Data) -> Dim:
        """Return the dim of the slices; NetworkError for a Dim that nothing makes."""
        size = self.size
        if isinstance(size, Dim):
            if not self.min_size:
                return self._named(site, size)
            size = size.size and max(size.size, self.min_size)
        elif size is None and axis.size is not None and not start.dims:
            size = max(axis.size - int(self.start or 0), self.min_size or 0)
        if not isinstance(size, int) and set(start.dims) - {BATCH}:
            raise site.error(f"found start {start}, needed [batch] where the size is not a number")
        fixed = size if isinstance(size, int) else None
        new = site.node.dim("spatial", "sliced-time", fixed)
        new.makers.add(f"{new.name.rpartition(':')[2]}:{site.node.name}")  # as RETURNN calls it
        return new

    def _named(self, site: Site, size: Dim) -> Dim:
        (new,) = meant(site, [size])
        assert isinstance(new, Dim)
        if new.kind == "batch" or (new.dynamic and not site.sized(new, site.source)):
            raise site.error(f"found size {new}, needed a Dim of the source or of a stream")
        return new

    def _start(self, site: Site) -> Data:
        if isinstance(self.start, str):
            return _position(site.ref("start"))
        tensor = None if site.frame is None else tf.constant(self.start or 0)
        return Data(name="start", dims=(), dtype="int32", tensor=tensor)

    def call(self, site: Site) -> Data:
        """Return the entries from the start on."""
        x, start, new = site.source, self._start(site), site.node.resolved["new"]
        axis = site.axis_of(self.axis, x)
        beam = latest([x.beam, start.beam])
        x, start = x.in_beam(beam), start.in_beam(beam)
        if new.dynamic and (self.min_size or not isinstance(self.size, Dim)):
            site.run.set_lengths(new, self._lengths(site, axis, start, beam), beam)
        place = tf.cast(start.tensor, tf.int32)[..., None] + tf.range(site.run.entries(new))
        index = replace(start, dims=(*start.dims, new), dtype="int32", tensor=place)
        found = take(site, x, index, axis)
        inside = _within(site, index, axis, x)
        slots = [slice(None) if d in inside.dims else None for d in found.dims]
        keep = inside.ordered([d for d in found.dims if d in inside.dims]).tensor[tuple(slots)]
        found = replace(found, tensor=tf.where(keep, found.tensor, tf.zeros_like(found.tensor)))
        return site.as_output(site.run.masked(found, new))

    def _lengths(self, site: Site, axis: Dim, start: Data, beam: Any) -> Any:
        """Return int32 [batch]: how many entries are taken."""
        if isinstance(self.size, Dim):
            lengths = site.run.lengths_of(self.size, beam)
        elif isinstance(self.size, str):
            lengths = tf.cast(site.ref("size").in_beam(beam).tensor, tf.int32)
        else:
            whole = site.run.lengths_of(axis, beam) if axis.dynamic else axis.size
            lengths = tf.maximum(whole - tf.cast(start.tensor, tf.int32), 0)
        lengths = tf.maximum(lengths, self.min_size or 0)
        count = site.run.batch * (beam.size if beam is not None else 1)
        return tf.broadcast_to(lengths, [count])


def _within(site: Site, index: Data, axis: Dim, x: Data) -> Data:
    """Return bool: which positions are entries of a dim of x, and no padding."""
    size: Any = axis.size
    if axis.dynamic:
        lengths = site.run.lengths_of(axis, x.beam)
        if BATCH not in index.dims:
            index = replace(
                index,
                dims=(BATCH, *index.dims),
                tensor=tf.tile(index.tensor[None], [tf.size(lengths), *[1] * len(index.dims)]),
            )
        size = tf.reshape(lengths, [-1 if d is BATCH else 1 for d in index.dims])
    return replace(index, dtype="bool", tensor=(index.tensor >= 0) & (index.tensor < size))


@register("search_sorted")
@dataclass(frozen=True, kw_only=True)
class SearchSorted(Layer):
    """For each value, the position in a sorted sequence that it would be put at: int32.

    sorted_sequence: layer, sorted along axis; values: layer with its other dims, and one more.
    side: "left" of equal entries, or "right" of them.
    """

    default_from = ()
    refs = ("sorted_sequence", "values")
    sorted_sequence: str
    values: str
    axis: Any = "T"
    side: Literal["left", "right"] = "left"

    def infer(self, site: Site) -> Data:
        """Return the template int32 with the dims of the values."""
        x, values = site.ref("sorted_sequence"), site.ref("values")
        axis = site.axis_of(self.axis, x)
        shared = [d for d in x.dims if d is not axis]
        own = [d for d in values.dims if d not in shared]
        if len(own) != 1 or set(shared) - set(values.dims) or x.dtype != values.dtype:
            raise site.error(f"found values {values} for {x}, needed its dtype, dims and one more")
        dims = (*shared, *own)
        return replace(values, dims=dims, dtype="int32", sparse_dim=None, vocab=None, tensor=None)

    def call(self, site: Site) -> Data:
        """Return the positions."""
        x, values = site.ref("sorted_sequence"), site.ref("values")
        axis = site.axis_of(self.axis, x)
        beam = latest([x.beam, values.beam])
        x, values = x.in_beam(beam), values.in_beam(beam)
        x = site.run.masked(x, axis, x.tensor.dtype.max).last(axis)
        missing = [d for d in values.dims if d not in x.dims]
        dims = [d for d in x.dims if d is not axis]
        # Of dims of a loop only one of both may have them: the others are common, one is searched.
        for dim in [d for d in dims if d not in values.dims]:
            values = site.over(values, dim)
        values = values.ordered([*dims, *missing])
        sizes = values.sizes()
        flat = tf.reshape(values.tensor, [*sizes[: len(dims)], -1])
        found = tf.searchsorted(x.tensor, flat, side=self.side)
        found = tf.minimum(found, self._count(site, x, axis, dims))
        return site.as_output(replace(values, tensor=tf.reshape(found, sizes)))

    def _count(self, site: Site, x: Data, axis: Dim, dims: list[Dim]) -> Any:
        """Return how many entries there are: values above all are put behind them."""
        if not axis.dynamic or BATCH not in dims:
            return tf.shape(x.tensor)[-1]
        lengths = site.run.lengths_of(axis, x.beam)
        return tf.reshape(lengths, [*(-1 if d is BATCH else 1 for d in dims), 1])
