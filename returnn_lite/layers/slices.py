"""Layers that cut or lengthen a dim: slice, pad, prefix, postfix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from returnn_lite.data import Data, common
from returnn_lite.dim import BATCH, Dim
from returnn_lite.layers.base import Layer, register
from returnn_lite.layers.gather import take
from returnn_lite.layers.out_type import typed
from returnn_lite.lazy import tf
from returnn_lite.node import Node
from returnn_lite.site import Site


@register("slice")
@dataclass(frozen=True, kw_only=True)
class Slice(Layer):
    """Some entries of a dim, as a slice of Python: from slice_start to before slice_end.

    slice_start: 0 or more. slice_end: below 0, from the end of each sequence; of a dynamic dim, 0
    or more gives a dim of fixed size, 0 behind the end of a sequence. slice_step: above 0; of a
    whole fixed dim also -1, backwards.
    """

    axis: Any
    slice_start: int | None = None
    slice_end: int | None = None
    slice_step: int | None = None

    def infer(self, site: Site) -> Data:
        """Return the template with another dim."""
        x = site.source
        axis = site.axis_of(self.axis, x)
        start, end = self.slice_start or 0, self.slice_end
        step = 1 if self.slice_step is None else self.slice_step
        back = step == -1 and axis.size is not None and start == 0 and end is None
        fits = axis.size is None or (start < axis.size and (end or 0) <= axis.size)
        if axis is BATCH or start < 0 or (step < 1 and not back) or not fits:
            raise site.error(
                f"found slice {self.slice_start}:{end}:{self.slice_step} of axis {self.axis!r} in "
                f"{x}, needed a start within it and a step above 0"
            )
        new = axis.padded(-start, min(end or 0, 0))
        if end is not None and end >= 0:
            new = site.node.dim(axis.kind, "slice-end", max(end - start, 0))
        new = site.node.resolved["new"] = new.strided(abs(step))
        if new.size == 0:
            raise site.error(f"found no entry in slice {start}:{end} of {x}, needed one")
        return x.renamed(axis, new)

    def call(self, site: Site) -> Data:
        """Return the entries."""
        x, new = site.source, site.node.resolved["new"]
        axis = site.axis_of(self.axis, x)
        if axis.dynamic and not new.dynamic:
            x = site.run.masked(x, axis)
        part = slice(self.slice_start, self.slice_end, self.slice_step)
        tensor = x.tensor[(*[slice(None)] * x.axis(axis), part)]
        x = replace(x, tensor=tensor)
        if axis.size is None:
            # Of a short sequence there may be fewer entries than the new dim has.
            x = site.run.fitting(x, axis, new)
        return site.as_output(x.renamed(axis, new))


_PLACES: dict[str, Callable[[Any, Any], Any]] = {
    "constant": lambda i, n: i,
    "replication": lambda i, n: tf.maximum(tf.minimum(i, n - 1), 0),
    "reflect": lambda i, n: n - 1 - abs(n - 1 - abs(i)),
    "symmetric": lambda i, n: _symmetric(i, n),
}


def _symmetric(i: Any, n: Any) -> Any:
    i = tf.where(i < 0, -1 - i, i)
    return tf.where(i >= n, 2 * n - 1 - i, i)


@register("pad")
@dataclass(frozen=True, kw_only=True)
class Pad(Layer):
    """Entries more at the ends of dims.

    axes: which. padding: how many at both ends, (left, right), or one such pair for each axis.
    mode: "constant" with value, "reflect", "symmetric" or "replication". Those on the right follow
    the end of each sequence; in RETURNN so they do with handle_dynamic_dims only. Where that is
    False, they follow the longest one, and shorter ones go on with their own padding. out_dims:
    Dims by which others may name the longer dims. out_type: see `typed`.
    """

    axes: Any
    padding: int | tuple[Any, ...]
    value: float = 0
    mode: str = "constant"
    handle_dynamic_dims: bool | None = None
    out_dims: tuple[Dim, ...] | None = None
    out_type: dict[str, Any] = field(default_factory=dict)

    def _pairs(self, site: Site, dims: list[Dim]) -> list[tuple[int, int]]:
        padding: Any = self.padding
        if isinstance(padding, int):
            padding = (padding, padding)
        if all(isinstance(n, int) for n in padding):
            padding = [padding] * len(dims)
        pairs = [tuple(p) for p in padding if isinstance(p, list | tuple)]
        flat = [n for p in pairs for n in p if isinstance(n, int) and n >= 0]
        if len(pairs) != len(dims) or len(flat) != 2 * len(dims):
            raise site.error(
                f"found padding {self.padding!r} for {dims}, needed (left, right) each"
            )
        return pairs

    def infer(self, site: Site) -> Data:
        """Return the template with longer dims."""
        if self.mode.lower() not in _PLACES:
            raise site.error(f"unknown mode {self.mode!r}; there are: {', '.join(_PLACES)}")
        x = site.source
        dims = site.axes_of(self.axes, x, "axes")
        if BATCH in dims:
            raise site.error(f"found axes {self.axes!r} in {x}, needed those of one sequence")
        for dim, (left, right) in zip(dims, self._pairs(site, dims), strict=True):
            x = x.renamed(dim, dim.padded(left, right))
        return typed(site, x, self.out_type)

    def sees_padding(self, node: Node) -> bool:
        """Whether there are frames between the end of a sequence and what is added."""
        return self.handle_dynamic_dims is False

    def call(self, site: Site) -> Data:
        """Return the longer sequences."""
        x = site.source
        dims = site.axes_of(self.axes, x, "axes")
        for dim, (left, right) in zip(dims, self._pairs(site, dims), strict=True):
            if left or right:
                x = self._padded(site, x, dim, left, right)
        return site.as_output(x)

    def _padded(self, site: Site, x: Data, dim: Dim, left: int, right: int) -> Data:
        new = dim.padded(left, right)
        if self.mode.lower() == "constant":
            own_ends = self.handle_dynamic_dims is not False
            return lengthened(site, x, dim, new, left, right, self.value, own_ends=own_ends)
        size: Any = site.size(dim)
        place = tf.range(site.run.entries(new)) - left
        index = Data(name="place", dims=(new,), dtype="int32", tensor=place)
        if dim.dynamic and self.handle_dynamic_dims is not False:
            size = site.run.lengths_of(dim, x.beam)[:, None]
            index = replace(index, dims=(BATCH, new), beam=x.beam)
        index = replace(index, tensor=_PLACES[self.mode.lower()](place, size))
        found = take(site, x, index, dim)
        order = [new if d is dim else d for d in x.dims]
        return replace(x.renamed(dim, new), dims=found.dims, tensor=found.tensor).ordered(order)


def lengthened(
    site: Site,
    x: Data,
    dim: Dim,
    new: Dim,
    left: int,
    right: int,
    value: Any,
    *,
    own_ends: bool = True,
) -> Data:
    """Return x with so many entries of a value at both ends of a dim.

    own_ends: whether those on the right follow the end of each sequence, or the longest one.
    """
    paddings: list[Any] = [[0, 0]] * len(x.dims)
    paddings[x.axis(dim)] = [left, right]
    number = tf.cast(value, x.tensor.dtype)
    x = site.run.masked(x, dim, value) if right and own_ends else x
    tensor = tf.pad(x.tensor, paddings, constant_values=number)
    return replace(x.renamed(dim, new), tensor=tensor)


@register("prefix_in_time")
@dataclass(frozen=True, kw_only=True)
class PrefixInTime(Layer):
    """Entries of the number `prefix` in front of a dim, by default of time.

    repeat: how many: a number, or a layer [batch]. size_base: a layer whose time dim the longer dim
    is; its lengths must be those.
    """

    refs = ("repeat", "size_base")
    prefix: float = 0.0
    repeat: int | str = 1
    size_base: str | None = None
    axis: Any = "T"

    def stays(self, node: Node) -> bool:
        """Return whether the number differs between sequences: once for each of them."""
        return isinstance(self.repeat, str)

    def infer(self, site: Site) -> Data:
        """Return the template with the longer dim."""
        x = site.source
        axis = site.axis_of(self.axis, x)
        if axis is BATCH or (isinstance(self.repeat, int) and self.repeat < 0):
            raise site.error(f"found repeat {self.repeat} for {x}, needed 0 or more")
        if isinstance(self.repeat, str):
            count = site.ref("repeat")
            if count.dims not in ((BATCH,), ()) or not count.dtype.startswith("int"):
                raise site.error(f"found repeat {count}, needed whole numbers [batch]")
            new = site.node.dim("spatial", "prefixed")
        else:
            new = axis.padded(self.repeat, 0)
        if self.size_base is not None:
            base = site.ref("size_base")
            if base.time_dim is None:
                raise site.error(f"found size_base {base}, needed a time dim")
            new = base.time_dim
        site.node.resolved["new"] = new
        return x.renamed(axis, new)

    def call(self, site: Site) -> Data:
        """Return the longer sequences."""
        x, new = site.source, site.node.resolved["new"]
        axis = site.axis_of(self.axis, x)
        if isinstance(self.repeat, int):
            longer = axis.padded(self.repeat, 0)
            y = lengthened(site, x, axis, longer, self.repeat, 0, self.prefix)
            if self.size_base is not None:
                y = site.run.with_dim(y, longer, new, str(site.node))
            return site.as_output(y)
        count = site.over(site.ref("repeat").in_beam(x.beam), BATCH)
        lengths = site.run.lengths_of(axis, x.beam) if axis.dynamic else axis.size
        lengths = tf.maximum(lengths + tf.cast(count.tensor, tf.int32), 0)
        if self.size_base is None:
            site.run.set_lengths(new, lengths, x.beam)
        place = tf.range(site.run.entries(new))[None, :] - tf.cast(count.tensor, tf.int32)[:, None]
        index = replace(count, dims=(BATCH, new), dtype="int32", tensor=place)
        y = take(site, x, index, axis)
        before = replace(index, dtype="bool", tensor=place < 0, sparse_dim=None)
        mask, y = common([before, replace(y, time_dim=None)])
        number = tf.cast(self.prefix, y.tensor.dtype)
        return site.as_output(replace(y, tensor=tf.where(mask.tensor, number, y.tensor)))


@register("postfix_in_time")
@dataclass(frozen=True, kw_only=True)
class PostfixInTime(Layer):
    """Entries behind the end of each sequence in a dim, by default of time.

    postfix: a number, or a layer without that dim. repeat: how many.
    """

    refs = ("postfix",)
    postfix: float | str = 0.0
    repeat: int = 1
    axis: Any = "T"

    def infer(self, site: Site) -> Data:
        """Return the template with the longer dim."""
        x = site.source
        axis = site.axis_of(self.axis, x)
        if self.repeat < 0 or axis is BATCH:
            raise site.error(f"found repeat {self.repeat} for {x}, needed 0 or more")
        if isinstance(self.postfix, str):
            postfix = site.ref("postfix")
            if axis in postfix.dims or postfix.dtype != x.dtype:
                raise site.error(f"found postfix {postfix}, needed {x.dtype} without dim {axis}")
        return x.renamed(axis, axis.padded(0, self.repeat))

    def call(self, site: Site) -> Data:
        """Return the longer sequences."""
        x = site.source
        axis = site.axis_of(self.axis, x)
        new = axis.padded(0, self.repeat)
        number = 0 if isinstance(self.postfix, str) else self.postfix
        y = lengthened(site, x, axis, new, 0, self.repeat, number)
        if isinstance(self.postfix, str):
            y = _ending(site, y, axis, new, site.ref("postfix"))
        return site.as_output(y)


def _ending(site: Site, y: Data, axis: Dim, new: Dim, postfix: Data) -> Data:
    """Return y, whose longer dim is a new one, with other data behind the ends of the old one."""
    postfix, y = common([postfix, y])
    behind = tf.range(tf.shape(y.tensor)[y.axis(new)])
    shape = [-1 if d is new else 1 for d in y.dims]
    end: Any = axis.size
    if axis.dynamic:
        end = site.run.lengths_of(axis, y.beam)
        end = tf.reshape(end, [-1 if d is BATCH else 1 for d in y.dims])
    tensor = tf.where(tf.reshape(behind, shape) >= end, postfix.tensor, y.tensor)
    return replace(y, tensor=tensor)


@register("addonehot")
@dataclass(frozen=True, kw_only=True)
class AddOneHot(Layer):
    """The vector of a class behind the end of each sequence: one at its position, zero elsewhere.

    in: float [batch, time, vocab_size], such as probabilities. repeat: how many of them. A layer of
    published configs; it is not in RETURNN.
    """

    vocab_size: int = 30000
    position: int = 0
    repeat: int = 1

    def infer(self, site: Site) -> Data:
        """Return the template with the longer time dim."""
        x = site.source
        axis = site.axis_of("T", x)
        if x.feature_dim is None or x.feature_size != self.vocab_size:
            raise site.error(f"found source {x}, needed vocab_size {self.vocab_size} features")
        if self.repeat < 0 or not 0 <= self.position < self.vocab_size:
            raise site.error(
                f"found position {self.position} and repeat {self.repeat}, needed one of "
                f"{self.vocab_size} classes, and 0 or more"
            )
        return x.renamed(axis, axis.padded(0, self.repeat))

    def call(self, site: Site) -> Data:
        """Return the longer sequences."""
        x = site.source
        axis = site.axis_of("T", x)
        new = axis.padded(0, self.repeat)
        y = lengthened(site, x, axis, new, 0, self.repeat, 0)
        vector = tf.one_hot(self.position, self.vocab_size, dtype=x.tensor.dtype)
        vector = Data(name="one", dims=(x.feature,), feature_dim=x.feature, tensor=vector)
        return site.as_output(_ending(site, y, axis, new, vector))
