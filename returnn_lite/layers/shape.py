"""Layers that change dims or what they mean: reduce_out, reinterpret_data, length, gather."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from returnn_lite.beam import latest
from returnn_lite.data import Data
from returnn_lite.dim import BATCH
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
        if x.feature_dim is None or (x.feature_dim.size or 0) % self.num_pieces:
            raise site.error(f"found {x}, needed a feature dim that {self.num_pieces} divides")
        return x.with_feature(site.feature((x.feature_dim.size or 0) // self.num_pieces))

    def call(self, site: Site) -> Data:
        """Return the reduced features."""
        x = site.source
        assert x.feature_dim is not None and x.feature_dim.size is not None
        x = x.last(x.feature_dim)
        size = x.feature_dim.size // self.num_pieces
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
        x = site.source
        if self.set_sparse_dim is not None:
            x = replace(x, sparse_dim=site.node.dim("feature", "classes", self.set_sparse_dim))
        if self.size_base is not None:
            base = site.ref("size_base")
            if x.time_dim is None or base.time_dim is None:
                raise site.error(f"found {x} and {base}, needed a time dim in both")
            x = x.renamed(x.time_dim, base.time_dim)
        return replace(x, vocab=None)

    def call(self, site: Site) -> Data:
        """Return the input with the new meaning."""
        return self.infer(site)


@register("length")
@dataclass(frozen=True, kw_only=True)
class Length(Layer):
    """The length of the input's time dim: int32 [batch]."""

    def infer(self, site: Site) -> Data:
        """Return the template int32 [batch]."""
        x = site.source
        if x.time_dim is None:
            raise site.error(f"found source {x}, needed a time dim")
        return Data(name=site.node.path, dims=(BATCH,), dtype="int32")

    def call(self, site: Site) -> Data:
        """Return the lengths."""
        x = site.source
        assert x.time_dim is not None
        lengths: Data = site.run.lengths[x.time_dim]
        return lengths.in_beam(x.beam)


@register("gather")
@dataclass(frozen=True, kw_only=True)
class Gather(Layer):
    """The entry of the input's time dim at a position; beyond either end, the first or last.

    position: an int32 layer [batch].
    """

    refs = ("position",)
    position: str

    def infer(self, site: Site) -> Data:
        """Return the template without the time dim."""
        x = site.source
        if x.time_dim is None:
            raise site.error(f"found source {x}, needed a time dim")
        return x.without(x.time_dim)

    def call(self, site: Site) -> Data:
        """Return the entries, for every position."""
        x, position = site.source, site.ref("position")
        beam = latest([x.beam, position.beam])
        x, position = x.in_beam(beam), position.in_beam(beam)
        assert x.time_dim is not None
        x = x.first(BATCH, x.time_dim)
        out = replace(x.without(x.time_dim), dims=(*position.dims, *x.dims[2:]), beam=beam)
        order = [BATCH, *(d for d in position.dims if d is not BATCH)]
        index = tf.clip_by_value(position.ordered(order).tensor, 0, tf.shape(x.tensor)[1] - 1)
        tensor = tf.gather(x.tensor, index, batch_dims=1)
        return replace(out, dims=(*order, *x.dims[2:]), tensor=tensor).ordered(out.dims)
