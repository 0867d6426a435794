"""Layers that change dims or what they mean: reduce_out, reinterpret_data, length, gather."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from returnn_lite.beam import latest
from returnn_lite.data import Data, next_time
from returnn_lite.dim import BATCH, Dim
from returnn_lite.errors import nearest
from returnn_lite.layers.base import Layer, register
from returnn_lite.lazy import tf
from returnn_lite.site import Site

_MODES: dict[str, Callable[..., Any]] = {
    "max": lambda x, axis: tf.reduce_max(x, axis=axis),
    "mean": lambda x, axis: tf.reduce_mean(x, axis=axis),
    "sum": lambda x, axis: tf.reduce_sum(x, axis=axis),
}


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
        if self.mode not in _MODES:
            raise site.error(f"unknown mode {self.mode!r}{nearest(self.mode, _MODES)}")
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
        return replace(
            x.with_feature(site.feature(size)), tensor=_MODES[self.mode](pieces, axis=-1)
        )


@register("reinterpret_data")
@dataclass(frozen=True, kw_only=True)
class ReinterpretData(Layer):
    """The same values with another meaning.

    set_sparse_dim: number of classes of sparse data. size_base: a layer whose time dim the input's
    time dim is said to be; the lengths must be equal.
    """

    refs = ("size_base",)
    set_sparse_dim: int | None = None
    size_base: str | None = None

    def infer(self, site: Site) -> Data:
        """Return the template with the new meaning."""
        x = self._as_sparse(site, site.source)
        if self.size_base is None:
            return x
        base = site.ref("size_base")
        if base.time_dim is None:
            raise site.error(f"found size_base {base}, needed a time dim")
        return x.renamed(site.axis_of("T", x), base.time_dim)

    def _as_sparse(self, site: Site, x: Data) -> Data:
        if self.set_sparse_dim is None:
            return x
        if not x.dtype.startswith("int"):
            raise site.error(f"found source {x}, needed whole numbers for set_sparse_dim")
        classes = site.node.dim("feature", "classes", self.set_sparse_dim)
        return replace(x, sparse_dim=classes, vocab=None)

    def call(self, site: Site) -> Data:
        """Return the input with the new meaning."""
        x = self._as_sparse(site, site.source)
        if self.size_base is None:
            return x
        base = site.ref("size_base")
        assert base.time_dim is not None
        same: Data = site.run.with_dim(x, site.axis_of("T", x), base.time_dim, str(site.node))
        return same


@register("length")
@dataclass(frozen=True, kw_only=True)
class Length(Layer):
    """The length of a dim of the input, by default of time: int32 [batch]."""

    axis: str | int = "T"

    def infer(self, site: Site) -> Data:
        """Return the template int32 [batch]."""
        if not site.axis_of(self.axis, site.source).dynamic:
            raise site.error(f"found axis {self.axis!r} of {site.source}, needed a dynamic one")
        return Data(name=site.node.path, dims=(BATCH,), dtype="int32")

    def call(self, site: Site) -> Data:
        """Return the lengths."""
        x = site.source
        lengths: Data = site.run.lengths[site.axis_of(self.axis, x)]
        return lengths.in_beam(x.beam)


@register("gather")
@dataclass(frozen=True, kw_only=True)
class Gather(Layer):
    """The entry of a dim of the input, by default of time; beyond either end, the first or last.

    position: an int32 layer [batch], or with further dims, which the output then has too.
    """

    refs = ("position",)
    position: str
    axis: str | int = "T"

    def infer(self, site: Site) -> Data:
        """Return the template: the dims of the position, and those of the input but time."""
        x, position = site.source, site.ref("position")
        if position.dtype != "int32" or not position.has_batch or not x.has_batch:
            raise site.error(f"found position {position} in {x}, needed int32 and a batch dim")
        return self._out(x, position, site.axis_of(self.axis, x))

    def _out(self, x: Data, position: Data, axis: Dim) -> Data:
        """Return the template of the output, with the dims of the position in front."""
        own = [d for d in x.dims if d is not axis and d not in position.dims]
        first = [BATCH, *(d for d in position.dims if d is not BATCH)]
        out = x.without(axis)
        return replace(out, dims=(*first, *own), time_dim=next_time([*first, *own]), tensor=None)

    def call(self, site: Site) -> Data:
        """Return the entries, for every position."""
        x, position = site.source, site.ref("position")
        beam = latest([x.beam, position.beam])
        x, position = x.in_beam(beam), position.in_beam(beam)
        axis = site.axis_of(self.axis, x)
        out = self._out(x, position, axis)
        # Dims of both, such as that of a loop that this was moved out of, go together.
        shared = [d for d in out.dims if d in x.dims and d in position.dims]
        last = [d for d in position.dims if d not in shared]
        x, position = x.first(*shared, axis), position.first(*shared)
        shape = [-1 if d is BATCH else 1 for d in position.dims]
        lengths: Any = site.run.lengths_of(axis, beam) if axis.dynamic else axis.size
        last_entry = tf.reshape(tf.maximum(lengths - 1, 0), shape if axis.dynamic else [])
        index = tf.clip_by_value(position.tensor, 0, last_entry)
        tensor = tf.gather(x.tensor, index, batch_dims=len(shared))
        found = replace(out, dims=(*shared, *last, *x.dims[len(shared) + 1 :]), tensor=tensor)
        return replace(found.ordered(out.dims), beam=beam)
