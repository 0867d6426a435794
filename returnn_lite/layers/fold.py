"""Windows put together again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from returnn_lite.data import Data
from returnn_lite.dim import BATCH, Dim, derived
from returnn_lite.layers.base import Layer, register
from returnn_lite.layers.signal import overlapped
from returnn_lite.lazy import tf
from returnn_lite.site import Site


@register("fold")
@dataclass(frozen=True, kw_only=True)
class Fold(Layer):
    """Overlap-add: the sum, or the mean (mode), of what the windows have for each frame.

    The inverse of the layer window, whose options window_left, window_right, stride and padding
    these are. in: float [..., in_spatial_dim, window_dim, ...]; out: without window_dim. size_base:
    an own addition, a layer whose time dim that of the output is, such as the source of the
    windows; else there are `stride` frames for each window and, for "valid", those of the last
    window besides. Windows behind the end of a sequence do not count.
    """

    refs = ("size_base",)
    source_dims = ("window_dim",)
    mode: Literal["sum", "mean"]
    in_spatial_dim: Any
    window_dim: Any
    padding: Literal["same", "valid"] = "same"
    window_left: int | None = None
    window_right: int | None = None
    stride: int = 1
    size_base: str | None = None

    def infer(self, site: Site) -> Data:
        """Return the template without the dim of the windows' frames."""
        x = site.source
        axis = site.axis_of(self.in_spatial_dim, x, "in_spatial_dim")
        window = site.axis_of(self.window_dim, x, "window_dim")
        if window.size is None or axis is window or BATCH in (axis, window):
            raise site.error(f"found windows {window!r} along {axis!r}, needed a fixed size")
        if not 1 <= self.stride <= window.size:
            raise site.error(f"found stride {self.stride}, needed 1 to the size {window.size}")
        left, right = self._left(window.size), self.window_right
        if not 0 <= left < window.size or right not in (None, window.size - left - 1):
            raise site.error(
                f"found window_left {self.window_left}, window_right {right}, "
                f"needed window_left + 1 + window_right {window.size}"
            )
        new = self._frames(site, axis, window.size)
        out = x.with_dims([d for d in x.dims if d is not window])
        return replace(out.renamed(axis, new), time_dim=new if x.time_dim is axis else out.time_dim)

    def _left(self, size: int) -> int:
        """Return how many frames of the first window are before the sequence."""
        if self.window_left is not None:
            return self.window_left
        return (size - 1) // 2 if self.window_right is None else size - 1 - self.window_right

    def _frames(self, site: Site, axis: Dim, size: int) -> Dim:
        """Return the dim of the frames."""
        if self.size_base is not None:
            time = site.ref("size_base").time_dim
            if time is None:
                raise site.error(f"found size_base {site.ref('size_base')}, needed a time dim")
            return time
        if self.stride == 1:
            return axis.padded(0, size - 1) if self.padding == "valid" else axis
        if self.padding == "valid":
            count = partial(overlapped, size, self.stride)
            return derived(
                ("overlapped", size, self.stride), f"{axis.name}*{self.stride}", [axis], count
            )
        return axis * self.stride

    def call(self, site: Site) -> Data:
        """Return the sums or means."""
        x = site.source
        axis = site.axis_of(self.in_spatial_dim, x, "in_spatial_dim")
        window = site.axis_of(self.window_dim, x, "window_dim")
        assert window.size is not None
        y = self._added(site.run.masked(x, axis), axis, window)
        if self.mode == "mean":
            # One number for each frame of each sequence is enough.
            named = [d for d in (BATCH, axis, window) if d in x.dims]
            sizes = dict(zip(x.dims, x.sizes(), strict=True))
            ones = replace(x, dims=tuple(named), tensor=tf.ones([sizes[d] for d in named]))
            counts = tf.maximum(self._added(site.run.masked(ones, axis), axis, window).tensor, 1.0)
            shape = [sizes[d] if d in named else 1 for d in y.dims[:-1]]
            y = replace(y, tensor=y.tensor / tf.reshape(counts, [*shape, tf.shape(counts)[-1]]))
        left = self._left(window.size) if self.padding == "same" else 0
        y = replace(y, tensor=y.tensor[..., left:])
        out: Data = site.run.fitting(y, axis, self._frames(site, axis, window.size))
        return site.as_output(out)

    def _added(self, x: Data, axis: Dim, window: Dim) -> Data:
        """Return x with the frames of the windows added up, as the last axis."""
        x = x.last(axis).last(window)
        return replace(x, dims=x.dims[:-1], tensor=tf.signal.overlap_and_add(x.tensor, self.stride))
