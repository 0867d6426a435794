"""Layers that join sequences, take them apart, or repeat their entries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from returnn_lite.axes import batch_major, resolve
from returnn_lite.beam import latest
from returnn_lite.data import Data, common, fitted
from returnn_lite.dim import BATCH, Dim, product, total
from returnn_lite.infer import Unknown
from returnn_lite.layers.base import Layer, register
from returnn_lite.layers.gather import take
from returnn_lite.lazy import tf
from returnn_lite.node import Node
from returnn_lite.site import Site


@register("concat")
@dataclass(frozen=True, kw_only=True)
class Concat(Layer):
    """The sources one after the other: of each sequence, without padding between them.

    from: [(layer, axis), ...], the axis of each layer in which it is joined to the others.
    allow_broadcast: whether a source may lack a dim that others have. RETURNN leaves padding
    between dynamic dims.
    """

    paired_sources = True
    allow_broadcast: bool = False

    def infer(self, site: Site) -> Data:
        """Return the template with the sum of the dims."""
        datas = site.sources
        if site.partial:
            raise Unknown(site.node)
        axes = self._axes(site)
        if BATCH in axes or len({d.dtype for d in datas}) > 1:
            raise site.error(f"found sources {datas}, needed one dtype, and no axis of the batch")
        site.node.resolved["new"] = total(axes)
        fitting = self._fitting(site, datas)
        if not self.allow_broadcast and any(len(d.dims) != len(fitting[0].dims) for d in datas):
            raise site.error(f"found sources {datas}, needed the same dims; try allow_broadcast")
        beam = latest([d.beam for d in datas])
        return replace(max(fitting, key=lambda d: d.sparse_dim is None), beam=beam, tensor=None)

    def _fitting(self, site: Site, datas: list[Data]) -> list[Data]:
        """Return the sources with the same dims, size 1 where one lacks a dim."""
        new = site.node.resolved["new"]
        seen = [d.renamed(a, new) for d, a in zip(datas, self._axes(site), strict=True)]
        base = max(seen, key=lambda d: len(d.dims))
        return [fitted(d, base) for d in seen]

    def _axes(self, site: Site) -> list[Dim]:
        if site.frame is None:
            datas = [site.data(node) for node in site.node.sources]
            pairs = zip(site.node.resolved["from_axes"], datas, strict=True)
            axes = [resolve(word, x, str(site.node)) for word, x in pairs]
            site.node.resolved["axes"] = [dims[0] for dims in axes]
        axes_: list[Dim] = site.node.resolved["axes"]
        return axes_

    def call(self, site: Site) -> Data:
        """Return the joined sequences."""
        beam = latest([d.beam for d in site.sources])
        datas = [d.in_beam(beam) for d in site.sources]
        axes, new = self._axes(site), site.node.resolved["new"]
        sizes = [x.sizes()[x.axis(a)] for x, a in zip(datas, axes, strict=True)]
        fitting = [x.first(new) for x in self._fitting(site, datas)]
        shape = tf.shape(fitting[0].tensor)[1:]
        for x in fitting[1:]:
            shape = tf.broadcast_dynamic_shape(shape, tf.shape(x.tensor)[1:])
        parts = [
            tf.broadcast_to(x.tensor, tf.concat([[n], shape], axis=0))
            for x, n in zip(fitting, sizes, strict=True)
        ]
        joined = replace(fitting[0], beam=beam, tensor=tf.concat(parts, axis=0))
        if any(site.run.pads(joined, a) for a in axes[:-1]):
            joined = self._without_gaps(site, joined, axes, sizes)
        return site.as_output(joined)

    def _without_gaps(self, site: Site, x: Data, axes: list[Dim], sizes: list[Any]) -> Data:
        """Return x with the padding of all sources behind the end."""
        new = x.dims[0]
        place = tf.range(tf.shape(x.tensor)[0])[None, :]
        index, end, gap = place, 0, 0
        for axis, size in zip(axes[:-1], sizes[:-1], strict=True):
            own: Any = axis.size
            if axis.dynamic:
                own = site.run.lengths_in(x, axis)[:, None]
            end, gap = end + own, gap + size - own
            index = tf.where(place >= end, place + gap, index)
        assert x.batch_dim is not None
        x = x.first(x.batch_dim, new)
        index = tf.minimum(index, tf.shape(x.tensor)[1] - 1)
        tensor = tf.gather(x.tensor, index, axis=1, batch_dims=1)
        return replace(x, tensor=tensor)


@register("stack")
@dataclass(frozen=True, kw_only=True)
class Stack(Layer):
    """The sources as the entries of a new dim of their number, behind the other dims but features.

    in: data with equal dims, or fewer ones. axis: the place of the new dim instead, counted with
    the batch. out_spatial_dim: a Dim by which others may name it.
    """

    axis: int | None = None
    out_spatial_dim: Dim | None = None

    def infer(self, site: Site) -> Data:
        """Return the template with the new dim."""
        datas = site.sources
        if len({d.dtype for d in datas}) != 1:
            raise site.error(f"found sources {datas}, needed one or more of the same dtype")
        joined, new = common(datas)[0], site.node.dim("spatial", "stack", len(datas))
        dims = batch_major(joined)
        place = len(dims) if self.axis is None else self.axis
        if self.axis is None and joined.feature_dim in dims:
            place = dims.index(joined.feature)
        if not -len(dims) <= place <= len(dims):
            raise site.error(f"found axis {place} for {joined}, needed one of its places")
        dims.insert(place if place >= 0 else place + len(dims) + 1, new)
        return replace(joined, dims=tuple(dims), tensor=None)

    def call(self, site: Site) -> Data:
        """Return the stacked sources."""
        parts = common(site.sources)
        new = site.node.dim("spatial", "stack", len(parts))
        shape = tf.shape(parts[0].tensor)
        for x in parts[1:]:
            shape = tf.broadcast_dynamic_shape(shape, tf.shape(x.tensor))
        tensor = tf.stack([tf.broadcast_to(x.tensor, shape) for x in parts])
        return site.as_output(replace(parts[0], dims=(new, *parts[0].dims), tensor=tensor))


@register("split")
@dataclass(frozen=True, kw_only=True)
class Split(Layer):
    """The input itself; its parts `0`, `1`, ... are parts of a fixed dim, by default the features.

    num_splits: how many of equal size; or size_splits, their sizes; or out_dims, Dims by which
    others may name those of the parts.
    """

    source_dims = ("out_dims",)
    axis: Any = "F"
    num_splits: int | None = None
    size_splits: tuple[int, ...] | None = None
    out_dims: tuple[Dim, ...] | None = None

    def parts(self, node: Node) -> Mapping[str, Layer]:
        """Return the layers of the parts."""
        number = self.num_splits or len(self.size_splits or self.out_dims or ())
        return {str(i): SplitPart(of=node, index=i) for i in range(number)}

    def sizes(self, site: Site, x: Data) -> list[int]:
        """Return the sizes of the parts."""
        size = site.axis_of(self.axis, x).size
        named = [d.size or 0 for d in self.out_dims or ()]
        given = [x for x in (self.num_splits, self.size_splits) if x]
        if len(given) > 1 or not (given or named):
            raise site.error(
                f"found num_splits {self.num_splits} and size_splits {self.size_splits}, needed "
                "one of them, or out_dims"
            )
        if self.num_splits:
            sizes = [(size or 0) // self.num_splits] * self.num_splits
        else:
            sizes = list(self.size_splits or named)
        if named not in ([], sizes):
            raise site.error(f"found out_dims {self.out_dims} for parts {sizes}, needed their dims")
        if size is None or sum(sizes) != size or min(sizes) < 1:
            raise site.error(f"found parts {sizes} of axis {self.axis!r} in {x}, needed its size")
        return sizes

    def infer(self, site: Site) -> Data:
        """Return the template of the input."""
        x = site.source
        self.sizes(site, x)
        return x

    def call(self, site: Site) -> Data:
        """Return the input."""
        return site.source


@dataclass(frozen=True, kw_only=True)
class SplitPart(Layer):
    """One part of a dim of a split layer's output."""

    layer_class = "split_part"
    of: Node
    index: int

    def _axis(self) -> Dim:
        dim: Dim = self.of.resolved["axis"][0]
        return dim

    def infer(self, site: Site) -> Data:
        """Return the template with the part's dim."""
        x = site.sources[0]
        layer: Any = self.of.layer
        sizes = layer.sizes(site.of(self.of), x)
        site.node.resolved["part"] = sum(sizes[: self.index]), sizes[self.index]
        axis = self._axis()
        part = site.node.dim(axis.kind, "part", sizes[self.index])
        if layer.out_dims is not None:
            layer.out_dims[self.index].let_mean(part)
        return x.renamed(axis, part).template()

    def call(self, site: Site) -> Data:
        """Return the part."""
        x, axis = site.sources[0], self._axis()
        start, size = site.node.resolved["part"]
        tensor = x.tensor[(*[slice(None)] * x.axis(axis), slice(start, start + size))]
        new = site.node.dim(axis.kind, "part", size)
        return site.as_output(replace(x.renamed(axis, new), tensor=tensor))


@register("repeat")
@dataclass(frozen=True, kw_only=True)
class Repeat(Layer):
    """Each entry of a dim, by default of time, several times.

    repetitions: how often: a number, or a layer of whole numbers [batch, time], or one of the two.
    Several layers with one out_dim, as of states and of pitch, have the same dim.
    """

    refs = ("repetitions",)
    repetitions: int | str
    axis: Any = "T"

    def stays(self, node: Node) -> bool:
        """Return whether the lengths come from a layer: once for each sequence."""
        return isinstance(self.repetitions, str)

    def infer(self, site: Site) -> Data:
        """Return the template with the longer dim, behind the batch."""
        x = site.source
        axis = site.axis_of(self.axis, x)
        if axis is BATCH or (isinstance(self.repetitions, int) and self.repetitions < 1):
            raise site.error(f"found repetitions {self.repetitions} of {axis} in {x}, needed 1 on")
        if isinstance(self.repetitions, int):
            many = site.node.dim("spatial", "repetitions", self.repetitions)
            new = product([axis, many])
        else:
            count = site.ref("repetitions")
            if set(count.dims) - {BATCH, axis} or not count.dtype.startswith("int"):
                raise site.error(f"found repetitions {count} for {x}, needed whole numbers of it")
            new = site.shared(site.node.common.out_dim, self._own(site))
        site.node.resolved["new"] = new
        batch = [BATCH] if x.has_batch or isinstance(self.repetitions, str) else []
        out = x.renamed(axis, new)
        rest = [d for d in out.dims if d not in (*batch, new)]
        time = out.time_dim or (new if new.dynamic else None)
        return replace(out, dims=(*batch, new, *rest), time_dim=time, tensor=None)

    def _own(self, site: Site) -> Dim:
        return site.node.dim("spatial", "repeated")

    def call(self, site: Site) -> Data:
        """Return the repeated entries."""
        x, new = site.source, site.node.resolved["new"]
        axis = site.axis_of(self.axis, x)
        if isinstance(self.repetitions, int):
            tensor = tf.repeat(x.tensor, self.repetitions, axis=x.axis(axis))
            return site.as_output(replace(x.renamed(axis, new), tensor=tensor))
        beam = latest([x.beam, site.ref("repetitions").beam])
        x = x.in_beam(beam)
        count = site.over(site.over(site.ref("repetitions").in_beam(beam), axis), BATCH)
        count = site.run.masked(count.first(BATCH, axis), axis)
        ends = tf.cumsum(tf.cast(count.tensor, tf.int32), axis=1)
        lengths = site.agreed(new, self._own(site), ends[:, -1], beam)
        site.run.set_lengths(new, lengths, beam)
        rows, entries = tf.shape(ends)[0], site.run.entries(new)
        place = tf.broadcast_to(tf.range(entries)[None, :], [rows, entries])
        index = tf.searchsorted(ends, place, side="right")
        entry = Data(name="place", dims=(BATCH, new), dtype="int32", beam=beam, tensor=index)
        found = take(site, x, entry, axis)
        return site.as_output(site.run.masked(found, new))


@register("tile")
@dataclass(frozen=True, kw_only=True)
class Tile(Layer):
    """Dims of fixed size several times, one after the other.

    multiples: {axis: how often}.
    """

    multiples: dict[Any, int]

    def infer(self, site: Site) -> Data:
        """Return the template with the longer dims."""
        x = site.source
        for dim, count in self._counts(site, x):
            if count < 1 or (dim.size is None and count > 1):
                raise site.error(
                    f"found multiples {self.multiples} of {x}, needed 1 on, of fixed dims"
                )
            x = x.renamed(dim, self._longer(site, dim, count))
        return x

    def _counts(self, site: Site, x: Data) -> list[tuple[Dim, int]]:
        where = str(site.node)
        return [(dim, n) for word, n in self.multiples.items() for dim in resolve(word, x, where)]

    def _longer(self, site: Site, dim: Dim, count: int) -> Dim:
        if count == 1:
            return dim
        return product([site.node.dim("spatial", "multiple", count), dim])

    def call(self, site: Site) -> Data:
        """Return the repeated entries."""
        x = site.source
        for dim, count in self._counts(site, x):
            axis = x.axis(dim)
            tensor = tf.concat([x.tensor] * count, axis=axis)
            x = replace(x.renamed(dim, self._longer(site, dim, count)), tensor=tensor)
        return x
