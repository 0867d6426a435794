"""Layers that split a dim into several, or merge several into one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any, ClassVar

from returnn_lite.axes import batch_major
from returnn_lite.data import Data, next_time
from returnn_lite.dim import BATCH, Dim, product
from returnn_lite.layers.base import Layer, register
from returnn_lite.layers.packed import pack, packed_template
from returnn_lite.lazy import tf
from returnn_lite.node import Node
from returnn_lite.site import Site


@register("split_dims")
@dataclass(frozen=True, kw_only=True)
class SplitDims(Layer):
    """One dim as several, the last of them running fastest.

    in: [..., n, ...]; out: [..., *dims, ...]. dims: their sizes, or Dims; -1, or a Dim without a
    size, for the rest. A dynamic dim has that first, and is filled up with pad_value behind the end
    of each sequence; so is a fixed one with pad_to_multiples. RETURNN fills up behind the longest
    sequence only.
    """

    axis: Any
    dims: tuple[int | Dim, ...]
    pad_value: float = 0
    pad_to_multiples: bool | None = None

    def _sizes(self) -> tuple[int, ...]:
        return tuple((n.size or -1) if isinstance(n, Dim) else n for n in self.dims)

    def infer(self, site: Site) -> Data:
        """Return the template with the new dims in place of the old one."""
        x = site.source
        dim = site.axis_of(self.axis, x)
        fixed = prod(n for n in self._sizes() if n > 0)
        rest = [n for n in self._sizes() if n < 1]
        if dim is BATCH or not self.dims or rest not in ([], [-1]):
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
        found = []
        for i, (n, size) in enumerate(zip(self.dims, self._sizes(), strict=True)):
            if isinstance(n, Dim) and size < 0:
                n.made.add(rest)
            own = n if isinstance(n, Dim) else site.node.dim(dim.kind, f"split_dims{i}", size)
            found.append(own if size > 0 else rest)
        return found

    def _out(self, site: Site, x: Data, dim: Dim) -> Data:
        new: list[Dim] = site.node.resolved["dims"]
        at = x.axis(dim)
        out = replace(x, dims=(*x.dims[:at], *new, *x.dims[at + 1 :]), tensor=None)
        if dim is x.time_dim:
            rest = [d for d, n in zip(new, self._sizes(), strict=True) if n == -1]
            out = replace(out, time_dim=(rest or new)[0])
        if dim is x.feature_dim:
            out = replace(out, feature_dim=dim if dim in new else new[-1])
        return out

    def call(self, site: Site) -> Data:
        """Return the values with another shape."""
        x = site.source
        dim = site.axis_of(self.axis, x)
        fixed, axis = prod(n for n in self._sizes() if n > 0), x.axis(dim)
        if (dim.dynamic or self.pad_to_multiples) and fixed > 1:
            x = site.run.masked(x, dim, self.pad_value)
            paddings: list[Any] = [[0, 0]] * len(x.dims)
            paddings[axis] = [0, -tf.shape(x.tensor)[axis] % fixed]
            value = tf.cast(self.pad_value, x.tensor.dtype)
            x = replace(x, tensor=tf.pad(x.tensor, paddings, constant_values=value))
        shape, out = x.sizes(), self._out(site, x, dim)
        shape[axis : axis + 1] = [d.size or -1 for d in site.node.resolved["dims"]]
        return site.as_output(replace(out, beam=x.beam, tensor=tf.reshape(x.tensor, shape)))


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
        site.check_size(out, self.n_out)
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
