"""Layers over windows of the time dim: pool and conv."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from returnn_lite.data import Data
from returnn_lite.dim import BATCH, Dim
from returnn_lite.layers.activations import activation
from returnn_lite.layers.base import Layer, register
from returnn_lite.layers.feedforward import activated
from returnn_lite.lazy import tf
from returnn_lite.node import Node
from returnn_lite.site import Site


@dataclass(frozen=True, kw_only=True)
class Windows(Layer):
    """What pool and conv share: windows over time, whose number does not depend on other sequences.

    padding "same": ceil(time / stride) windows; "valid": (time - size) // stride + 1. strides: from
    window to window, in frames.
    """

    padding: Literal["same", "valid"] = "valid"
    strides: int | tuple[int, ...] | None = None

    def stays(self, node: Node) -> bool:
        """Return True: the windows are those of one sequence for each of the batch."""
        return True

    def size(self) -> tuple[int, ...]:
        """Return the size of a window, in frames."""
        raise NotImplementedError

    def stride(self) -> int:
        """Return the step from window to window, in frames."""
        raise NotImplementedError

    def check(self, site: Site) -> Data:
        """Return the source; raises NetworkError where there are no windows over it."""
        x = site.source
        if min([*self.size(), self.stride()], default=0) < 1:
            raise site.error(
                f"found windows of {self.size()} every {self.stride()}, needed 1 or more"
            )
        if len(self.size()) != 1 or x.time_dim is None or x.feature_dim is None or len(x.dims) != 3:
            raise site.error(
                f"found {x} and windows of {tuple(self.size())}, "
                "needed [batch, time, feature] and one size"
            )
        return x

    def lengths(self, frames: Any) -> Any:
        """Return the number of windows: int32 [batch]."""
        if self.padding == "same":
            return -(-frames // self.stride())
        return tf.maximum(frames - self.size()[0], -self.stride()) // self.stride() + 1

    def dim(self, site: Site, time: Dim) -> Dim:
        """Return the dim of the windows: that of time, where there is one for every frame."""
        whole = self.padding == "same" and self.stride() == 1
        return time if whole else site.node.dim("spatial", "windows")

    def padded(self, x: Data, value: float) -> Any:
        """Return [batch, time, feature] with the frames that the windows need at both ends."""
        size, stride = self.size()[0], self.stride()
        time = tf.shape(x.tensor)[1]
        if self.padding == "valid":
            # At least one window, so that no layer ever sees an empty time axis.
            missing = [[0, 0], [0, tf.maximum(size - time, 0)], [0, 0]]
            return tf.pad(x.tensor, missing, constant_values=value)
        before = max(size - stride, 0) // 2
        after = (-(-time // stride) - 1) * stride + size - before - time
        paddings = [[0, 0], [before, tf.maximum(after, 0)], [0, 0]]
        return tf.pad(x.tensor, paddings, constant_values=value)

    def windowed(self, site: Site, x: Data, y: Any) -> Data:
        """Return y [batch, windows, ...] as data with the dim of the windows, zero behind it."""
        assert x.time_dim is not None
        dim = self.dim(site, x.time_dim)
        if dim is not x.time_dim:
            lengths = self.lengths(site.run.lengths_of(x.time_dim, x.beam))
            site.run.set_lengths(dim, lengths, x.beam)
        out = replace(x.renamed(x.time_dim, dim), tensor=y)
        return replace(out, tensor=tf.where(site.run.mask(dim, out), y, tf.zeros_like(y)))


@register("pool")
@dataclass(frozen=True, kw_only=True)
class Pool(Windows):
    """Maximum or mean of each window; frames behind the end of a sequence do not count.

    in: float [batch, time, feature]; out: float [batch, windows, feature]. strides: by default the
    windows do not overlap.
    """

    mode: Literal["max", "avg"]
    pool_size: tuple[int, ...]

    def size(self) -> tuple[int, ...]:
        """Return pool_size."""
        return self.pool_size

    def stride(self) -> int:
        """Return the stride, by default the size of a window."""
        if self.strides is None:
            return self.pool_size[0]
        return self.strides if isinstance(self.strides, int) else self.strides[0]

    def infer(self, site: Site) -> Data:
        """Return the template with the dim of the windows."""
        x = self.check(site)
        assert x.time_dim is not None
        return x.renamed(x.time_dim, self.dim(site, x.time_dim))

    def call(self, site: Site) -> Data:
        """Return the pooled input."""
        x = site.source
        assert x.time_dim is not None and x.feature_dim is not None
        x = x.ordered([BATCH, x.time_dim, x.feature_dim])
        mask = site.run.mask(x.time_dim, x)
        size, stride = self.pool_size[0], self.stride()
        if self.mode == "max":
            lowest = x.tensor.dtype.min
            frames = replace(x, tensor=tf.where(mask, x.tensor, lowest))
            y = tf.nn.max_pool1d(self.padded(frames, lowest), size, stride, "VALID")
        else:
            ones = replace(x, tensor=tf.cast(mask, x.tensor.dtype) + tf.zeros_like(x.tensor))
            frames = replace(x, tensor=x.tensor * ones.tensor)
            total = tf.nn.avg_pool1d(self.padded(frames, 0.0), size, stride, "VALID")
            count = tf.nn.avg_pool1d(self.padded(ones, 0.0), size, stride, "VALID")
            y = total / tf.maximum(count, 1e-6)
        return self.windowed(site, x, y)


@register("conv")
@dataclass(frozen=True, kw_only=True)
class Conv(Windows):
    """Convolution over time; frames behind the end of a sequence are zero.

    in: float [batch, time, in]; out: float [batch, windows, n_out]. filter_size: in frames.
    Parameters W [filter_size, in, n_out], bias [n_out].
    """

    n_out: int
    filter_size: tuple[int, ...]
    activation: str | None = None
    with_bias: bool = True
    forward_weights_init: Any = "glorot_uniform"
    bias_init: Any = 0.0

    def size(self) -> tuple[int, ...]:
        """Return filter_size."""
        return self.filter_size

    def stride(self) -> int:
        """Return the stride, by default 1."""
        if self.strides is None:
            return 1
        return self.strides if isinstance(self.strides, int) else self.strides[0]

    def infer(self, site: Site) -> Data:
        """Return the template with the layer's own time and feature dims."""
        activation(self.activation)
        x = self.check(site)
        assert x.time_dim is not None and x.feature_dim is not None
        shape = (*self.filter_size, x.feature_dim.size or 0, self.n_out)
        site.param("W", shape, self.forward_weights_init)
        if self.with_bias:
            site.param("bias", (self.n_out,), self.bias_init)
        out = x.renamed(x.time_dim, self.dim(site, x.time_dim))
        return out.with_feature(site.feature(self.n_out))

    def call(self, site: Site) -> Data:
        """Return the convolution."""
        x = site.source
        assert x.time_dim is not None and x.feature_dim is not None
        x = x.ordered([BATCH, x.time_dim, x.feature_dim])
        frames = replace(x, tensor=x.tensor * tf.cast(site.run.mask(x.time_dim, x), x.dtype))
        weights = site.param("W", (), None)
        y = tf.nn.conv1d(self.padded(frames, 0.0), weights, self.stride(), "VALID")
        if self.with_bias:
            y = y + site.param("bias", (), None)
        out = self.windowed(site, x.with_feature(site.feature(self.n_out)), y)
        return activated(site, out, self.activation)
