"""Layers about the sizes of dims: lengths, ranges, masks of what is behind a sequence's end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from returnn_lite.data import Data, common
from returnn_lite.dim import BATCH, Dim
from returnn_lite.layers.base import Layer, register
from returnn_lite.lazy import tf
from returnn_lite.node import Node
from returnn_lite.site import Site


def _axis(site: Site, word: Any, x: Data) -> Dim:
    """Return the dim of an axis word; "sparse_dim" means the classes.

    It may be a Dim that x lacks, whose size comes from x or the data streams.
    """
    if word is BATCH and x.batch_dim is not None:
        return x.batch_dim
    lacks = isinstance(word, Dim) and not any(map(word.means, x.dims))
    if lacks and site.sized(word, x):
        found: Dim = word
        return found
    if word != "sparse_dim":
        return site.axis_of(word, x)
    if x.sparse_dim is None:
        raise site.error(f"found axis 'sparse_dim' for {x}, needed sparse data")
    return x.sparse_dim


def _need_whole(site: Site, dtype: str, *, floats: bool) -> None:
    allowed = ("int32", "int64", *(("float32", "float64") if floats else ()))
    if dtype not in allowed:
        raise site.error(f"found dtype {dtype!r}, needed one of {', '.join(allowed)}")


@register("length")
@dataclass(frozen=True, kw_only=True)
class Length(Layer):
    """The length of a dim of the input, by default of time: [batch]; of a fixed one, one number.

    axis: also "sparse_dim", for the number of classes, or a Dim of a formula of a dim of the input.
    add_time_axis: [batch, 1]. sparse: whether the number is a class index, of no one knows how many
    classes.
    """

    axis: Any = "T"
    add_time_axis: bool = False
    dtype: str = "int32"
    sparse: bool = False

    def infer(self, site: Site) -> Data:
        """Return the template [batch], or a number."""
        _need_whole(site, self.dtype, floats=True)
        dim = site.node.resolved["dim"] = _axis(site, self.axis, site.source)
        classes = site.node.dim("feature", "numbers", None) if self.sparse else None
        out = Data(name=site.node.path, dims=(), dtype=self.dtype, sparse_dim=classes)
        if not dim.dynamic:
            if self.add_time_axis:
                raise site.error(f"found axis {self.axis!r} of {site.source}, needed a dynamic one")
            return out
        batch = site.source.batch_dim or BATCH
        if not self.add_time_axis:
            return replace(out, dims=(batch,))
        one = site.node.dim("spatial", "time", 1)
        return replace(out, dims=(batch, one), time_dim=one)

    def call(self, site: Site) -> Data:
        """Return the lengths."""
        x, dim = site.source, site.node.resolved["dim"]
        if not dim.dynamic:
            assert site.node.out is not None
            return replace(site.node.out, tensor=tf.cast(site.size(dim), self.dtype))
        lengths: Data = site.run.lengths_for(x, dim)
        lengths = replace(lengths, dtype=self.dtype, tensor=tf.cast(lengths.tensor, self.dtype))
        if self.add_time_axis:
            one = site.node.dim("spatial", "time", 1)
            dims = (*lengths.dims, one)
            lengths = replace(lengths, dims=dims, tensor=lengths.tensor[:, None])
        return site.as_output(lengths)


@register("seq_len_mask")
@dataclass(frozen=True, kw_only=True)
class SeqLenMask(Layer):
    """The input, with mask_value where a sequence has no frame.

    seq_len_source: a layer with another time dim, whose lengths count. start: layer [batch], the
    first frame that counts. window_start, window_size: layers [batch] or numbers, the only frames
    that count.
    """

    refs = ("seq_len_source", "start", "window_start", "window_size")
    mask_value: float
    axis: Any = "T"
    seq_len_source: str | None = None
    start: str | None = None
    window_start: str | int | None = None
    window_size: str | int | None = None

    def infer(self, site: Site) -> Data:
        """Return the template of the input."""
        x = site.source
        if not site.axis_of(self.axis, x).dynamic:
            raise site.error(f"found axis {self.axis!r} of {x}, needed a dynamic one")
        if (self.window_start is None) != (self.window_size is None):
            raise site.error("found one of window_start and window_size, needed both or none")
        if self.seq_len_source is not None and site.ref("seq_len_source").time_dim is None:
            raise site.error(f"found {site.ref('seq_len_source')}, needed a time dim")
        for option in ("start", "window_start", "window_size"):
            if option in site.node.refs and site.axis_of(self.axis, x) in site.ref(option).dims:
                raise site.error(f"found {option} {site.ref(option)}, needed no axis {self.axis!r}")
        dims = common([x, *(site.ref(o).template() for o in self._given(site))])[0].dims
        if set(dims) != set(x.dims):
            raise site.error(f"found {x} and {dims} of the mask, needed no further dims")
        if self.seq_len_source is not None:
            site.node.resolved["lengths"] = site.ref("seq_len_source").time_dim
        return x

    def _given(self, site: Site) -> list[str]:
        return [o for o in ("start", "window_start", "window_size") if o in site.node.refs]

    def call(self, site: Site) -> Data:
        """Return the masked input."""
        x = site.source
        axis = site.axis_of(self.axis, x)
        found = common([x, *(site.ref(o) for o in self._given(site))])
        x, values = found[0], dict(zip(self._given(site), found[1:], strict=True))
        place = tf.range(tf.shape(x.tensor)[x.axis(axis)])
        place = tf.reshape(place, [-1 if d is axis else 1 for d in x.dims])
        lengths = site.run.lengths_of(site.node.resolved.get("lengths", axis), x.beam)
        mask = place < tf.reshape(lengths, [-1 if d is BATCH else 1 for d in x.dims])

        def value(option: str) -> Any:
            return values[option].tensor if option in values else getattr(self, option)

        if self.start is not None:
            mask = tf.logical_and(mask, place >= value("start"))
        if self.window_start is not None:
            first = value("window_start")
            inside = (place >= first) & (place < first + value("window_size"))
            mask = tf.logical_and(mask, inside)
        number = tf.cast(self.mask_value, x.tensor.dtype)
        return site.as_output(replace(x, tensor=tf.where(mask, x.tensor, number)))


@register("range")
@dataclass(frozen=True, kw_only=True)
class Range(Layer):
    """The numbers from start to before limit, every delta: [n].

    out_spatial_dim: a Dim by which others may name their dim.
    """

    default_from = ()
    limit: float
    start: float = 0
    delta: float = 1
    dtype: str | None = None
    sparse: bool = False
    out_spatial_dim: Dim | None = None

    def _number(self) -> int:
        return max(int(-(-(self.limit - self.start) // self.delta)), 0)

    def infer(self, site: Site) -> Data:
        """Return the template [n]."""
        if self.delta == 0 or self._number() < 1:
            found = (self.start, self.limit, self.delta)
            raise site.error(f"found start, limit and delta {found}, needed one number or more")
        whole = all(float(n) == int(n) for n in (self.start, self.limit, self.delta))
        dtype = self.dtype or ("int32" if whole else "float32")
        _need_whole(site, dtype, floats=not self.sparse)
        dim = self.out_spatial_dim
        if dim is None or dim.size != self._number():
            dim = site.node.dim("spatial", "range", self._number())
        out = Data(name=site.node.path, dims=(dim,), dtype=dtype)
        return replace(out, sparse_dim=dim if self.sparse else None)

    def call(self, site: Site) -> Data:
        """Return the numbers."""
        template = site.node.out
        assert template is not None
        steps = tf.cast(tf.range(self._number()), template.dtype)
        tensor = tf.cast(self.start, template.dtype) + steps * tf.cast(self.delta, template.dtype)
        return replace(template, tensor=tensor)


@register("range_in_axis")
@dataclass(frozen=True, kw_only=True)
class RangeInAxis(Layer):
    """The positions in a dim of the input, from 0: [n].

    axis: also "sparse_dim", or a Dim of a formula of a dim of the input. keepdims, unbroadcast:
    not, as in newer versions of RETURNN.
    """

    axis: Any
    dtype: str = "int32"
    sparse: bool = False
    keepdims: Any = False
    unbroadcast: Any = False

    def infer(self, site: Site) -> Data:
        """Return the template [n]."""
        _need_whole(site, self.dtype, floats=not self.sparse)
        if self.keepdims or self.unbroadcast:
            raise site.error("found keepdims or unbroadcast, needed neither, as in RETURNN")
        dim = _axis(site, self.axis, site.source)
        out = Data(name=site.node.path, dims=(dim,), dtype=self.dtype)
        time = dim if dim.dynamic else None
        return replace(out, time_dim=time, sparse_dim=dim if self.sparse else None)

    def call(self, site: Site) -> Data:
        """Return the positions."""
        template = site.node.out
        assert template is not None
        (dim,) = template.dims
        _ = site.sources  # which may be what says how long the dim is
        tensor = tf.cast(tf.range(site.size(dim)), self.dtype)
        return replace(template, tensor=tensor)


@register("range_from_length")
@dataclass(frozen=True, kw_only=True)
class RangeFromLength(Layer):
    """The positions in a dim, whose lengths are the input: [n], from lengths [batch] or a number.

    The dim is that of which a layer `length` gives the lengths, a dynamic one or the batch, else a
    new one. out_spatial_dim: a Dim by which others may name it.
    """

    dtype: str = "int32"
    sparse: bool = False
    out_spatial_dim: Dim | None = None

    def stays(self, node: Node) -> bool:
        """Return True: the lengths are those of one sequence for each of the batch."""
        return True

    def infer(self, site: Site) -> Data:
        """Return the template [n]."""
        _need_whole(site, self.dtype, floats=not self.sparse)
        x = site.source
        if x.dims not in ((), (BATCH,)) or not x.dtype.startswith("int"):
            raise site.error(
                f"found source {x}, needed lengths, whole numbers [batch], or a number"
            )
        dim, time = self._known(site), None
        if dim is None:
            dim = site.node.resolved["new"] = site.node.dim("spatial", "input_len")
        if dim is not BATCH:
            time = dim
        out = Data(name=site.node.path, dims=(dim,), dtype=self.dtype, time_dim=time)
        return replace(out, sparse_dim=dim if self.sparse else None)

    def _known(self, site: Site) -> Dim | None:
        """Return the dim that has these lengths already, where the input is a layer of lengths."""
        (source,) = site.node.sources
        if not isinstance(source.layer, Length):
            return None
        dim: Dim = source.resolved["dim"]
        return dim if dim.dynamic or dim is BATCH else None

    def call(self, site: Site) -> Data:
        """Return the positions, and set the lengths of a new dim."""
        x, template = site.source, site.node.out
        assert template is not None
        (dim,) = template.dims
        if "new" in site.node.resolved:
            lengths = tf.cast(x.tensor, tf.int32)
            if not x.dims:
                lengths = tf.fill([site.run.batch], lengths)
            site.run.set_lengths(dim, lengths, x.beam)
        return replace(template, tensor=tf.cast(tf.range(site.size(dim)), self.dtype))
