"""Layers that reduce dims: reduce, reduce_out, and the greatest entries of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from returnn_lite.data import Data
from returnn_lite.dim import BATCH, Dim
from returnn_lite.errors import nearest
from returnn_lite.layers.base import Layer, Recomputed, register
from returnn_lite.lazy import tf
from returnn_lite.node import Node
from returnn_lite.site import Site

_MODES: dict[str, Callable[..., Any]] = {
    "max": lambda x, axis: tf.reduce_max(x, axis=axis),
    "min": lambda x, axis: tf.reduce_min(x, axis=axis),
    "sum": lambda x, axis: tf.reduce_sum(x, axis=axis),
    "mean": lambda x, axis: tf.reduce_mean(x, axis=axis),
    "avg": lambda x, axis: tf.reduce_mean(x, axis=axis),
    "logsumexp": lambda x, axis: tf.reduce_logsumexp(x, axis=axis),
    "any": lambda x, axis: tf.reduce_any(x, axis=axis),
    "all": lambda x, axis: tf.reduce_all(x, axis=axis),
    "argmax": lambda x, axis: tf.argmax(x, axis=axis[0], output_type=tf.int32),
    "argmin": lambda x, axis: tf.argmin(x, axis=axis[0], output_type=tf.int32),
}
_OUT_MODES = ("max", "mean", "sum")


def _neutral(mode: str, dtype: Any) -> Any:
    """Return what padding is set to, so that it does not count."""
    if mode in ("max", "argmax", "logsumexp"):
        return dtype.min
    if mode in ("min", "argmin"):
        return dtype.max
    return mode == "all"


@register("reduce")
@dataclass(frozen=True, kw_only=True)
class Reduce(Layer):
    """Sum, mean (avg), max, min, logsumexp, any, all, argmax or argmin over dims.

    mode: which of these. axes, or axis: which dims. keep_dims: whether a dim of size 1 is left of
    each. use_time_mask: whether padding does not count, by default it does not. in: dense; out:
    without the dims; of argmax and argmin, whose axis is one, int32 indices.
    """

    mode: str
    axes: Any = None
    axis: Any = None
    keep_dims: bool = False
    use_time_mask: bool = True
    n_out: int | None = None

    def _dims(self, site: Site, x: Data) -> list[Dim]:
        return site.axes_of(self.axes if self.axis is None else self.axis, x)

    def infer(self, site: Site) -> Data:
        """Return the template without the dims, or with dims of size 1 in their place."""
        mode, x = self.mode.lower(), site.source
        if mode not in _MODES:
            raise site.error(f"unknown mode {self.mode!r}{nearest(mode, _MODES)}")
        if (self.axes is None) == (self.axis is None):
            raise site.error("found both or none of axes and axis, needed one")
        if x.sparse_dim is not None or (mode in ("any", "all")) != (x.dtype == "bool"):
            kind = "bool" if mode in ("any", "all") else "dense numbers"
            raise site.error(f"found source {x}, needed {kind} for mode {mode!r}")
        dims = self._dims(site, x)
        arg = mode.startswith("arg")
        if not dims or (arg and len(dims) > 1) or (self.keep_dims and BATCH in dims):
            needed = "one axis" if arg else "an axis, with keep_dims not the batch"
            raise site.error(f"found {dims} of {x} for mode {mode!r}, needed {needed}")
        out = x.with_dims([d for d in x.dims if d not in dims])
        if self.keep_dims:
            out = x.template()
            for dim in dims:
                out = out.renamed(dim, self._kept(site, x, dim))
        if arg:
            out = replace(out, dtype="int32", sparse_dim=dims[0], feature_dim=None, vocab=None)
        site.check_size(out, self.n_out)
        return out

    def _kept(self, site: Site, x: Data, dim: Dim) -> Dim:
        kind = "feature" if dim is x.feature_dim else "spatial"
        return site.node.dim(kind, f"keep-dim:{dim.name}", 1)  # type: ignore[arg-type]

    def sees_padding(self, node: Node) -> bool:
        """Whether padding counts."""
        return not self.use_time_mask

    def call(self, site: Site) -> Data:
        """Return the reduced values; padding does not count."""
        mode, x = self.mode.lower(), site.source
        dims = self._dims(site, x)
        axes = [x.axis(d) for d in dims]
        # Over the batch, what is padding in some sequences only is left out, too.
        padded = [d for d in x.dims if d.dynamic and (d in dims or BATCH in dims)]
        if self.use_time_mask:
            padded = [d for d in padded if site.run.pads(x, d)]
        if mode in ("mean", "avg") and padded and self.use_time_mask:
            for dim in padded:
                x = site.run.with_lengths(x, dim)
            tensor = masked_mean(site, x, padded, axes)
        else:
            if self.use_time_mask:
                for dim in padded:
                    x = site.run.masked(x, dim, _neutral(mode, x.tensor.dtype))
            tensor = _MODES[mode](x.tensor, axis=axes)
        kept = tuple(d for d in x.dims if d not in dims)
        if self.keep_dims:
            new = tuple(self._kept(site, x, d) for d in dims)
            kept, tensor = (*new, *kept), tensor[(None,) * len(new)]
        return site.as_output(replace(x, dims=kept, tensor=tensor))


def masked_mean(
    site: Site, x: Data, padded: Sequence[Dim], axes: Sequence[int], *, keepdims: bool = False
) -> Any:
    """Return the mean over axes of x of the entries that are no padding, 0 where there are none.

    padded: the dims of x that have padding.
    """
    valid = tf.ones([1] * len(x.dims), tf.bool)
    for dim in padded:
        valid = tf.logical_and(valid, site.run.mask(dim, x))
    weight = tf.cast(valid, x.tensor.dtype)
    # What the mask has no axis for, it counts once for every entry.
    sizes = zip(x.sizes(), tf.unstack(tf.shape(weight)), strict=True)
    counted = [tf.where(n == 1, m, 1) for i, (m, n) in enumerate(sizes) if i in axes]
    count = tf.reduce_sum(weight, axis=axes, keepdims=keepdims)
    count *= tf.cast(tf.reduce_prod(counted), weight.dtype)
    total = tf.reduce_sum(tf.where(valid, x.tensor, 0), axis=axes, keepdims=keepdims)
    return total / tf.maximum(count, 1)


@register("reduce_out")
@dataclass(frozen=True, kw_only=True)
class ReduceOut(Layer):
    """Neighbouring features reduced to one: with mode "max", maxout (Goodfellow et al., 2013).

    in: float [..., n]; out: float [..., n / num_pieces].
    """

    mode: str
    num_pieces: int

    def infer(self, site: Site) -> Data:
        """Return the template with fewer features."""
        if self.mode not in _OUT_MODES:
            raise site.error(f"unknown mode {self.mode!r}{nearest(self.mode, _OUT_MODES)}")
        x = site.source
        if x.feature_dim is None or self.num_pieces < 1 or x.feature_size % self.num_pieces:
            raise site.error(f"found {x}, needed a feature dim that {self.num_pieces} divides")
        return x.with_feature(site.feature(x.feature_size // self.num_pieces))

    def call(self, site: Site) -> Data:
        """Return the reduced features."""
        x = site.source
        x = x.last(x.feature)
        size = x.feature_size // self.num_pieces
        pieces = tf.reshape(x.tensor, [*x.sizes()[:-1], size, self.num_pieces])
        out = x.with_feature(site.feature(size))
        return replace(out, tensor=_MODES[self.mode](pieces, axis=-1))


@register("top_k")
@dataclass(frozen=True, kw_only=True)
class TopK(Layer):
    """The k greatest entries over one dim, or over several at once, in descending order.

    in: [..., n]; out: [..., k]. axis: a dim, or a list of dims. k: a number, or a layer: int32 [],
    for all sequences. The layer's parts `indices` or, for
    a list, `indices0`, `indices1`, ... are the places of the entries in these dims.
    sorted: False allows any order. k_dim: a Dim by which others may name that of the k.
    """

    refs = ("k",)
    axis: Any
    k: int | str
    sorted: bool = True
    k_dim: Dim | None = None

    def parts(self, node: Node) -> Mapping[str, Layer]:
        """Return the layers of the indices."""
        if not isinstance(self.axis, list | tuple):
            return {"indices": TopKIndices(of=node, index=0)}
        return {f"indices{i}": TopKIndices(of=node, index=i) for i in range(len(self.axis))}

    def infer(self, site: Site) -> Data:
        """Return the template with k entries in place of the dims."""
        x = site.source
        dims = self._dims(site, x)
        size = [d.size for d in dims]
        if BATCH in dims or not dims or (len(dims) > 1 and None in size[1:]):
            raise site.error(
                f"found axis {self.axis!r} in {x}, needed dims, behind the first fixed"
            )
        if isinstance(self.k, str):
            number = site.ref("k")
            if number.dims or not number.dtype.startswith("int"):
                raise site.error(f"found k {number}, needed one whole number")
        elif self.k < 1 or (None not in size and self.k > _number(dims)):
            raise site.error(f"found k {self.k} for {x}, needed 1 to the number of entries")
        return self._out(site, x, dims)

    def _dims(self, site: Site, x: Data) -> list[Dim]:
        return site.axes_of(self.axis, x)

    def _out(self, site: Site, x: Data, dims: list[Dim]) -> Data:
        out = x.with_dims([*(d for d in x.dims if d not in dims), self._new(site)])
        return replace(out, feature_dim=None)

    def _new(self, site: Site) -> Dim:
        """Return the dim of the k."""
        return site.node.dim("spatial", "topk", None if isinstance(self.k, str) else self.k)

    def _count(self, site: Site) -> Any:
        """Return k; one of a layer is the length of the dim in every sequence."""
        if not isinstance(self.k, str):
            return self.k
        k = tf.cast(site.ref("k").tensor, tf.int32)
        site.run.set_lengths(self._new(site), tf.fill([site.run.batch], k))
        return k

    def found(self, site: Site) -> tuple[Data, Any]:
        """Return the entries, and their places in the dims taken for one: int32 [..., k]."""
        x = site.source
        dims = self._dims(site, x)
        for dim in dims:
            x = site.run.masked(x, dim, x.tensor.dtype.min)
        x = x.ordered([*(d for d in x.dims if d not in dims), *dims])
        count = len(x.dims) - len(dims)
        number = _number(dims) if dims[0].size is not None else -1
        flat = tf.reshape(x.tensor, [*x.sizes()[:count], number])
        # A dynamic dim may have fewer entries.
        k = self._count(site)
        missing = [[0, 0]] * count + [[0, tf.maximum(k - tf.shape(flat)[-1], 0)]]
        flat = tf.pad(flat, missing, constant_values=flat.dtype.min)
        values, indices = tf.math.top_k(flat, k, sorted=self.sorted)
        return replace(x, dims=(*x.dims[:count], self._new(site)), tensor=values), indices

    def call(self, site: Site) -> Data:
        """Return the entries."""
        return site.as_output(self.found(site)[0])


@dataclass(frozen=True, kw_only=True)
class TopKIndices(Recomputed):
    """The places of the entries that a top_k layer finds in one of its dims: int32 [..., k]."""

    layer_class = "top_k_indices"
    index: int

    def infer(self, site: Site) -> Data:
        """Return the template int32 [..., k]."""
        out = site.sources[0]
        dim = self.of.resolved["axis"][self.index]
        return replace(out.template(), dtype="int32", sparse_dim=dim, feature_dim=None, vocab=None)

    def call(self, site: Site) -> Data:
        """Return the places."""
        layer: Any = self.of.layer
        values, indices = layer.found(site.of(self.of))
        behind = self.of.resolved["axis"][self.index + 1 :]
        indices = indices // _number(behind)
        if self.index > 0:
            indices %= self.of.resolved["axis"][self.index].size
        return site.as_output(replace(values, tensor=indices))


def _number(dims: list[Dim]) -> int:
    number = 1
    for dim in dims:
        number *= dim.size or 1
    return number
