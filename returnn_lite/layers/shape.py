"""Layers that change dims: reduce, merge, reinterpret, pool."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

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


@register("pool")
@dataclass(frozen=True, kw_only=True)
class Pool(Layer):
    """Max or average over windows of the time dim; what is behind the end of a sequence is left out.

    in: float [batch, time, feature]; out: [batch, ceil(time / stride), feature] for padding "same", and
    [batch, (time - pool_size) // stride + 1, feature] for "valid".
    """

    mode: Literal["max", "avg"]
    pool_size: tuple[int, ...]
    padding: Literal["same", "valid"] = "valid"
    strides: int | tuple[int, ...] | None = None

    def stride(self) -> int:
        """Return the step from window to window, in frames."""
        if self.strides is None:
            return self.pool_size[0]
        return self.strides if isinstance(self.strides, int) else self.strides[0]

    def infer(self, site: Site) -> Data:
        """Return the template with the layer's own time dim."""
        x = site.source
        if self.mode not in ("max", "avg"):
            raise site.error(f"unknown mode {self.mode!r}{nearest(self.mode, ['max', 'avg'])}")
        if self.padding not in ("same", "valid"):
            raise site.error(f"found padding {self.padding!r}, needed 'same' or 'valid'")
        if len(self.pool_size) != 1 or x.time_dim is None or len(x.dims) != 3:
            raise site.error(
                f"found {x} and pool_size {self.pool_size}, "
                "needed [batch, time, feature] and one size"
            )
        return x.renamed(x.time_dim, site.node.dim("spatial", "pooled"))

    def lengths(self, frames: Any) -> Any:
        """Return the lengths after pooling: int32 [batch]."""
        if self.padding == "same":
            return -(-frames // self.stride())
        return tf.maximum(frames - self.pool_size[0], -self.stride()) // self.stride() + 1

    def _whole_windows(self, x: Data) -> Data:
        """Pad at the end, so that no window depends on how long other sequences are."""
        if self.padding == "valid":
            return x
        short = -tf.shape(x.tensor)[1] % self.stride()
        return replace(x, tensor=tf.pad(x.tensor, [[0, 0], [0, short], [0, 0]]))

    def call(self, site: Site) -> Data:
        """Return the pooled input."""
        x = site.source
        time, feature = x.time_dim, x.feature_dim
        assert time is not None and feature is not None
        x = self._whole_windows(x.ordered([BATCH, time, feature]))
        lengths = site.run.lengths_of(time, x.beam)
        mask = site.run.mask(time, x)
        size, stride, padding = self.pool_size[0], self.stride(), self.padding.upper()
        if self.mode == "max":
            lowest = tf.where(mask, x.tensor, x.tensor.dtype.min)
            y = tf.nn.max_pool1d(lowest, size, stride, padding)
        else:
            ones = tf.cast(mask, x.tensor.dtype) + tf.zeros_like(x.tensor)
            total = tf.nn.avg_pool1d(x.tensor * ones, size, stride, padding)
            y = total / tf.maximum(tf.nn.avg_pool1d(ones, size, stride, padding), 1e-6)
        dim = site.node.dim("spatial", "pooled")
        site.run.set_lengths(dim, self.lengths(lengths), x.beam)
        out = replace(x.renamed(time, dim), tensor=y)
        valid = site.run.mask(dim, out)
        return replace(out, tensor=tf.where(valid, y, tf.zeros_like(y)))
