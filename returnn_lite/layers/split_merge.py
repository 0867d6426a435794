"""Layers that split a dim into several, or merge several into one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, ClassVar

from returnn_lite.axes import batch_major, resolve
from returnn_lite.data import Data, next_feature, next_time
from returnn_lite.dim import BATCH, Dim, Kind, product
from returnn_lite.layers.base import Layer, register
from returnn_lite.layers.packed import pack, packed_template, unpack
from returnn_lite.lazy import tf
from returnn_lite.naming import meant
from returnn_lite.node import Node
from returnn_lite.site import Site


@register("split_dims")
@dataclass(frozen=True, kw_only=True)
class SplitDims(Layer):
    """One dim as several, the last of them running fastest.

    in: [..., n, ...]; out: [..., *dims, ...]. dims: their sizes, or Dims; -1, or a Dim without a
    size, for the rest. A dynamic dim has that first, and is filled up with pad_value behind the end
    of each sequence; so is a fixed one with pad_to_multiples. RETURNN fills up behind the longest
    sequence only. With the batch among several Dims without a size, it is a reshape; a batch that
    has another dim merged into it is split into these two.
    """

    axis: Any
    dims: tuple[int | Dim, ...]
    pad_value: float = 0
    pad_to_multiples: bool | None = None

    def stays(self, node: Node) -> bool:
        """Return whether it makes a batch, which is that of a step."""
        return BATCH in self.dims

    def sees_padding(self, node: Node) -> bool:
        """Whether padding may come to lie within sequences: of a batch that it makes."""
        return BATCH in self.dims

    def _sizes(self) -> tuple[int, ...]:
        return tuple((n.size or -1) if isinstance(n, Dim) else n for n in self.dims)

    def infer(self, site: Site) -> Data:
        """Return the template with the new dims in place of the old one."""
        x = site.source
        dim = site.axis_of(self.axis, x)
        fixed = prod(n for n in self._sizes() if n > 0)
        rest = [n for n in self._sizes() if n < 1]
        if BATCH in self.dims and (len(rest) > 1 or _is_packed(dim)):
            site.node.resolved["dims"] = _known(site, x, self.dims)
            if _is_packed(dim) and set(site.node.resolved["dims"]) != {BATCH, *dim.parts}:
                raise site.error(f"found dims {list(self.dims)}, needed {[BATCH, *dim.parts]}")
            return self._out(site, x, dim)
        if not self.dims or rest not in ([], [-1]) or (dim.kind == "batch" and fixed > 1):
            raise site.error(
                f"found dims {tuple(self.dims)} for {dim} of {x}, needed sizes, one -1"
            )
        if dim.size is None and (not rest or (fixed > 1 and self._sizes()[0] != -1)):
            raise site.error(f"found dims {tuple(self.dims)} for {dim!r}, needed -1 first")
        if dim.size is not None and not self._fits(dim.size, fixed, bool(rest)):
            raise site.error(f"found dims {tuple(self.dims)} for {dim} of {x}, needed its size")
        site.node.resolved["dims"] = self._new(site, dim, fixed)
        return self._out(site, x, dim)

    def _fits(self, size: int, fixed: int, rest: bool) -> bool:
        padded = -(-size // fixed) * fixed if self.pad_to_multiples else size
        return padded % fixed == 0 if rest else padded == fixed

    def _new(self, site: Site, dim: Dim, fixed: int) -> list[Dim]:
        """Return the new dims; what is the whole of the old one stays the same dim."""
        rest = dim.strided(fixed)
        if fixed > 1 and rest.size is not None:
            rest = site.node.dim(dim.kind, "rest", rest.size)
        kind: Kind = "spatial" if dim.kind == "batch" else dim.kind
        found = []
        for i, (n, size) in enumerate(zip(self.dims, self._sizes(), strict=True)):
            if isinstance(n, Dim) and size < 0 and n is not rest:
                n.let_mean(rest)
            own = n if isinstance(n, Dim) else site.node.dim(kind, f"split_dims{i}", size)
            found.append(own if size > 0 else rest)
        return found

    def _out(self, site: Site, x: Data, dim: Dim) -> Data:
        new: list[Dim] = site.node.resolved["dims"]
        at = x.axis(dim)
        out = replace(x, dims=(*x.dims[:at], *new, *x.dims[at + 1 :]), tensor=None)
        if dim is x.time_dim:
            rest = [
                d for d, n in zip(new, self._sizes(), strict=True) if n == -1 and d is not BATCH
            ]
            out = replace(out, time_dim=(rest or new)[0])
        if dim is x.feature_dim:
            out = replace(out, feature_dim=([d for d in new if d.kind == "feature"] or new)[-1])
        elif x.feature_dim is None and x.sparse_dim is None:
            out = replace(out, feature_dim=next_feature(out.dims, out.time_dim))
        return out

    def call(self, site: Site) -> Data:
        """Return the values with another shape."""
        x, new = site.source, site.node.resolved["dims"]
        dim = site.axis_of(self.axis, x)
        if _is_packed(dim) and BATCH in new:
            return site.as_output(unpack(site, x, dim))
        if BATCH in new and dim is not BATCH:
            return site.as_output(_reshaped(site, x, [dim], new))
        fixed, axis = prod(n for n in self._sizes() if n > 0), x.axis(dim)
        if (dim.dynamic or self.pad_to_multiples) and fixed > 1:
            x = site.run.masked(x, dim, self.pad_value)
            paddings: list[Any] = [[0, 0]] * len(x.dims)
            paddings[axis] = [0, -tf.shape(x.tensor)[axis] % fixed]
            value = tf.cast(self.pad_value, x.tensor.dtype)
            x = replace(x, tensor=tf.pad(x.tensor, paddings, constant_values=value))
        shape, out = x.sizes(), self._out(site, x, dim)
        shape[axis : axis + 1] = [d.size or -1 for d in new]
        return site.as_output(replace(out, beam=x.beam, tensor=tf.reshape(x.tensor, shape)))


def _is_packed(dim: Dim) -> bool:
    return dim.kind == "batch" and dim is not BATCH


def _known(site: Site, x: Data, dims: Sequence[Any], *deps: str) -> list[Dim]:
    """Return the dims of x, or others whose sizes are known, that words and Dims mean."""
    found: list[Dim] = []
    for word in meant(site, dims, *deps):
        if not isinstance(word, Dim):
            found += resolve(word, x, str(site.node))
            continue
        dim = next((d for d in x.dims if d is word or d in word.made), word)
        if dim not in x.dims and not site.sized(dim, x):
            raise site.error(f"found {word!r} for {x}, needed a Dim whose size is known")
        found.append(dim)
    return found


def _reshaped(site: Site, x: Data, old: Sequence[Dim], new: Sequence[Dim]) -> Data:
    """Return x with some dims as others, which have as many entries, in place of the first."""
    place = min(map(x.axis, old))
    kept = [d for d in x.dims if d not in old]
    x = x.ordered([*kept[:place], *old, *kept[place:]])
    sizes = dict(zip(x.dims, x.sizes(), strict=True))
    dims = (*kept[:place], *new, *kept[place:])
    shape = [sizes[d] if d in sizes else site.size(d) for d in dims]
    found, needed = tf.shape(x.tensor), tf.stack(shape)
    names = [", ".join(d.name for d in dims) for dims in (old, new)]
    text = f"{site.node}: found {names[0]} for {names[1]}, needed as many entries"
    check = tf.debugging.assert_equal(tf.reduce_prod(found), tf.reduce_prod(needed), message=text)
    with tf.control_dependencies([check] if check is not None else []):
        return replace(x, dims=dims, tensor=tf.reshape(x.tensor, shape))


@register("reshape")
@dataclass(frozen=True, kw_only=True)
class Reshape(Layer):
    """Some dims as others with as many entries, padding included, in place of the first of them.

    in_dims: dims of the input, the last of them running fastest. out_dims: likewise, or Dims whose
    sizes are known. extra_deps: layers that make some of these.
    """

    refs = ("extra_deps",)
    source_dims = ("out_dims",)
    in_dims: tuple[Any, ...]
    out_dims: tuple[Any, ...]
    extra_deps: str | tuple[str, ...] = ()

    def stays(self, node: Node) -> bool:
        """Return whether it makes a batch, which is that of a step."""
        return BATCH in self.out_dims

    def sees_padding(self, node: Node) -> bool:
        """Padding may come to lie within sequences."""
        return True

    def infer(self, site: Site) -> Data:
        """Return the template with the new dims in place of the old ones."""
        x = site.source
        old = site.axes_of(self.in_dims, x, "in_dims")
        new = site.node.resolved["new"] = _known(site, x, self.out_dims, "extra_deps")
        sizes = [prod(d.size or 0 for d in dims) for dims in (old, new)]
        kept = [d for d in x.dims if d not in old]
        if not old or any(d in kept for d in new) or (0 not in sizes and sizes[0] != sizes[1]):
            raise site.error(f"found {new} for {old} of {x}, needed other dims of as many entries")
        place = min(map(x.axis, old))
        dims = (*kept[:place], *new, *kept[place:])
        time = next_time(dims)
        feature = None if x.sparse_dim is not None else next_feature(dims, time)
        return replace(x, dims=dims, time_dim=time, feature_dim=feature, tensor=None)

    def call(self, site: Site) -> Data:
        """Return the values with another shape."""
        x, new = site.source, site.node.resolved["new"]
        old = site.axes_of(self.in_dims, x, "in_dims")
        return site.as_output(_reshaped(site, x, old, new))


@register("merge_dims")
@dataclass(frozen=True, kw_only=True)
class MergeDims(Layer):
    """Several dims as one, the last of them running fastest.

    axes: which; merged in the order of the input's dims, or, with keep_order, in that of the list.
    n_out: the size, where it is fixed. Of dynamic dims the entries of a sequence lie side by side,
    its padding behind them; RETURNN leaves padding between them. Merged with the batch, a dynamic
    dim has no padding at all, as by flatten_batch.
    """

    newer: ClassVar[Mapping[str, tuple[int, Any]]] = {"keep_order": (6, True)}
    axes: Any
    keep_order: bool = False
    n_out: int | None = None

    def stays(self, node: Node) -> bool:
        """Return whether it merges the batch, which is that of a step."""
        return BATCH in node.resolved.get("axes", []) and len(node.resolved["axes"]) > 1

    def infer(self, site: Site) -> Data:
        """Return the template with the merged dim in place of the feature dim, or the first one."""
        x = site.source
        if self.keep_order and not isinstance(self.axes, list | tuple):
            raise site.error(f"found axes {self.axes!r} with keep_order, needed a list")
        merged = site.axes_of(self.axes, x, "axes")
        if not self.keep_order:
            merged = site.node.resolved["axes"] = [d for d in batch_major(x) if d in merged]
        if BATCH in merged and len(merged) > 2:
            raise site.error(f"found axes {self.axes!r} in {x}, needed the batch and one more")
        out = self._out(x, merged)
        # An out_dim, of which n_out is else the size, may be another one than that of the features.
        site.check_size(out, self.n_out if site.node.common.out_dim is None else None)
        return out

    def _out(self, x: Data, merged: list[Dim]) -> Data:
        if len(merged) < 2:
            return x.template()
        if BATCH in merged:
            (dim,) = (d for d in merged if d is not BATCH)
            return packed_template(x, dim, batch_major=merged[0] is BATCH)
        new = product(merged)
        kept = [d for d in x.dims if d not in merged]
        place = x.axis(x.feature_dim if x.feature_dim in merged else min(merged, key=x.axis))
        place -= sum(x.axis(d) < place for d in merged)
        feature = new if x.feature_dim in merged else x.feature_dim
        time = new if x.time_dim in merged else x.time_dim
        if time is new is feature:
            time = next_time(kept) if x.time_dim is x.feature_dim else None
        dims = (*kept[:place], new, *kept[place:])
        return replace(x, dims=dims, time_dim=time, feature_dim=feature, tensor=None)

    def call(self, site: Site) -> Data:
        """Return the values with another shape."""
        x = site.source
        merged = site.axes_of(self.axes, x, "axes")
        if len(merged) < 2:
            return x
        if BATCH in merged:
            (dim,) = (d for d in merged if d is not BATCH)
            return pack(site, x, dim, batch_major=merged[0] is BATCH)
        new = product(merged)
        kept = [d for d in x.dims if d not in merged]
        x = x.ordered([*kept, *merged])
        sizes = x.sizes()
        count = -1 if new.size is None else new.size
        tensor = tf.reshape(x.tensor, [*sizes[: len(kept)], count])
        flat = replace(x, dims=(*kept, new), tensor=tensor)
        first = next((i for i, d in enumerate(merged) if d.size != 1), 0)
        if any(d.dynamic for d in merged[first + 1 :]):
            flat = self._side_by_side(site, flat, merged, sizes[len(kept) :])
        return site.as_output(flat)

    def _side_by_side(self, site: Site, x: Data, merged: list[Dim], sizes: list[Any]) -> Data:
        """Return x [..., merged] with the entries of each sequence in front of its padding."""
        x = x.first(BATCH).last(x.dims[-1])
        place = tf.range(tf.shape(x.tensor)[-1])[None, :]
        index, stride = tf.zeros_like(place), 1
        for dim, size in zip(reversed(merged), reversed(sizes), strict=True):
            own = site.run.lengths_of(dim, x.beam)[:, None] if dim.dynamic else dim.size
            own = tf.maximum(own, 1)
            index, place, stride = index + place % own * stride, place // own, stride * size
        shape = tf.shape(x.tensor)
        rows = tf.reshape(x.tensor, [shape[0], -1, shape[-1]])
        # The places behind the end lie outside of the entries of some.
        index = tf.clip_by_value(index, 0, shape[-1] - 1)
        rows = tf.gather(rows, tf.broadcast_to(index, [shape[0], shape[-1]]), axis=2, batch_dims=1)
        return replace(x, tensor=tf.reshape(rows, shape))


@register("combine_dims")
@dataclass(frozen=True, kw_only=True)
class CombineDims(MergeDims):
    """The older name of merge_dims with keep_order."""

    keep_order: bool = True
