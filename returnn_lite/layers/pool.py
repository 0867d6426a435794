"""Pooling."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from returnn_lite import native
from returnn_lite.data import Data
from returnn_lite.dim import Dim
from returnn_lite.layers.base import register
from returnn_lite.layers.windows import Windows
from returnn_lite.lazy import tf
from returnn_lite.site import Site


@register("pool")
@dataclass(frozen=True, kw_only=True)
class Pool(Windows):
    """Maximum or mean of each window; frames behind the end of a sequence do not count.

    mode: "max" or "avg"; of no frame at all, both are 0. in: float [batch, spatial dims, feature];
    out: the same with the windows' dims. pool_size: in each of them. strides: by default the
    windows do not overlap. use_channel_first: a layout, which is chosen by the device here and
    changes no result.
    """

    mode: Literal["max", "avg"]
    pool_size: tuple[int, ...]
    use_channel_first: bool = False

    def size(self) -> tuple[int, ...]:
        """Return pool_size."""
        return tuple(self.pool_size)

    def stride(self) -> tuple[int, ...]:
        """Return the strides, by default the size of a window."""
        return self.size() if self.strides is None else self.each(self.strides)

    def infer(self, site: Site) -> Data:
        """Return the template with the dims of the windows."""
        out = x = self.input(site)
        spatial = self.check(site, x)
        for old, new in zip(spatial, self.new_dims(spatial), strict=True):
            out = out.renamed(old, new)
        return out

    def call(self, site: Site) -> Data:
        """Return the pooled input."""
        spatial: list[Dim] = site.node.resolved["spatial"]
        x, tensor = self.flat(self.input(site), spatial)
        of, new = self._pooling(), self.new_dims(spatial)
        fixed = all(d.size is not None for d in x.dims if d not in (x.batch_dim, spatial[0]))
        if fixed and native.pools(tensor, of):
            lengths = self.ragged(site, x, spatial, 0.0)[1]
            y = native.pool(tensor, lengths, self.places(site, x, spatial), of)
            # What lies behind the ends is finite, as in `conv`.
            return self.shaped(site, x, y, new)
        return self.finished(site, x, self._by_tensorflow(site, x, spatial, of), new)

    def _pooling(self) -> native.Pooling:
        # Frames that padding by a number adds count as zeros, as in RETURNN.
        mean: Any = "mean" if isinstance(self.padding, str) else "mean_of_all"
        return native.Pooling(
            mode="max" if self.mode == "max" else mean,
            window=self.size(),
            strides=self.stride(),
            dilation=self.each(self.dilation_rate),
        )

    def _by_tensorflow(self, site: Site, x: Data, spatial: list[Dim], of: native.Pooling) -> Any:
        if of.mode == "max":
            least = x.tensor.dtype.min
            y = self._pool(site, self.masked(site, x, least), spatial, "MAX")
            return tf.where(tf.equal(y, least), tf.zeros_like(y), y)  # of no frame
        y = self._pool(site, self.masked(site, x, 0.0), spatial, "AVG")
        if of.mode == "mean_of_all":
            return y
        ones = self.masked(site, replace(x, tensor=tf.ones_like(x.tensor)), 0.0)
        return y / tf.maximum(self._pool(site, ones, spatial, "AVG"), 1e-6)

    def _pool(self, site: Site, x: Data, spatial: list[Dim], kind: str) -> Any:
        value = x.tensor.dtype.min if kind == "MAX" else 0.0
        frames, strides = self.padded(site, x, spatial, value), self.stride()
        rates = self.each(self.dilation_rate)
        if max(rates) == 1:
            pool = tf.nn.max_pool if kind == "MAX" else tf.nn.avg_pool
            return pool(frames, self.size(), strides, "VALID")
        # TensorFlow has no windows that are both dilated and apart.
        y = tf.nn.pool(frames, self.size(), kind, padding="VALID", dilations=rates)
        return y[(slice(None), *(slice(None, None, s) for s in strides))]
