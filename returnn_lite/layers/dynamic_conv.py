"""Convolution with filters that other layers compute: another one for every sequence."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from returnn_lite.beam import latest
from returnn_lite.data import Data
from returnn_lite.dim import Dim
from returnn_lite.layers.base import Layer, register
from returnn_lite.lazy import tf
from returnn_lite.site import Site


@register("dynamic_depthwise_conv")
@dataclass(frozen=True, kw_only=True)
class DynamicDepthwiseConv(Layer):
    """y[..., t, ...] = sum over k of filters[..., k, ...] x[..., t + k - before, ...].

    A filter sees one channel, as in Battenberg et al. (2020, "Location-relative attention
    mechanisms for robust long-form speech synthesis"). filters: a layer with the dim filter_axis,
    of fixed size, and any others but axis. There is a filter for each entry of the dims that x has,
    too, such as the batch; those that x lacks are more outputs. So are the features: of equal size
    in both, or, where x has one or none, those of filters. in: float [..., axis, ...]; out: the
    dims of x, then those of filters. padding: "same", with (size - 1) // 2 frames before; "causal",
    with all of them before; "valid", without any. What lies behind an end is zero. RETURNN has no
    such layer.
    """

    refs = ("filters",)
    filters: str
    axis: Any = "T"
    filter_axis: Any = "spatial"
    padding: Literal["same", "causal", "valid"] = "same"

    def _inputs(self, site: Site) -> tuple[Data, Data]:
        """Return x and filters, whose channels are one dim."""
        x, filters = site.source, site.ref("filters")
        mine, own = x.feature_dim, filters.feature_dim
        if own is None or mine is None or own is site.node.resolved["size"] or mine is own:
            return x, filters
        if mine.size == own.size:
            return x, filters.renamed(own, mine)
        if mine.size != 1:
            raise site.error(f"found {x} and filters {filters}, needed as many features, or one")
        at = x.axis(mine)
        tensor = None if x.tensor is None else tf.squeeze(x.tensor, at)
        dims = (*x.dims[:at], *x.dims[at + 1 :])
        return replace(x, dims=dims, feature_dim=None, tensor=tensor), filters

    def infer(self, site: Site) -> Data:
        """Return the template with the dims of both."""
        x, filters = site.source, site.ref("filters")
        size = site.axis_of(self.filter_axis, filters, "filter_axis")
        axis = site.axis_of(self.axis, x)
        site.node.resolved["size"] = size
        if size.size is None or size.kind == "batch" or axis.kind == "batch":
            raise site.error(f"found filters {filters} over {size!r}, needed a fixed number")
        if axis in filters.dims:
            raise site.error(
                f"found filters {filters} for each frame of {axis!r}, needed the same for all; "
                "try the layers window and dot"
            )
        x, filters = self._inputs(site)
        if axis not in x.dims:
            raise site.error(f"found axis {axis!r}, needed one other than the features")
        more = [d for d in filters.dims if d not in x.dims and d is not size]
        feature = x.feature_dim if filters.feature_dim in (size, None) else filters.feature_dim
        rest = [d for d in (*x.dims, *more) if d is not feature]
        dims = (*rest, feature) if feature is not None else tuple(rest)
        return replace(x, dims=dims, feature_dim=feature, tensor=None).renamed(
            axis, self._frames(axis, size.size)
        )

    def _frames(self, axis: Dim, size: int) -> Dim:
        return axis.within(size) if self.padding == "valid" else axis

    def call(self, site: Site) -> Data:
        """Return the convolution."""
        axis: Dim = site.axis_of(self.axis, site.source)
        size: Dim = site.axis_of(self.filter_axis, site.ref("filters"), "filter_axis")
        x, filters = self._inputs(site)
        beam = latest([x.beam, filters.beam])
        x, filters = site.run.masked(x, axis).in_beam(beam), filters.in_beam(beam)
        each = [d for d in x.dims if d in filters.dims]
        alone = [d for d in x.dims if d not in each and d is not axis]
        more = [d for d in filters.dims if d not in each and d is not size]
        # All that has filters of its own is a channel: so are the sequences.
        x, filters = x.ordered([*alone, axis, *each]), filters.ordered([size, *each, *more])
        sizes, width = dict(zip(x.dims, x.sizes(), strict=True)), filters.sizes()
        sizes |= dict(zip(filters.dims, width, strict=True))
        channels = tf.reduce_prod(tf.stack([1, *(sizes[d] for d in each)]))
        frames = tf.reshape(x.tensor, [-1, 1, sizes[axis], channels])
        weights = tf.reshape(filters.tensor, [1, size.size, channels, -1])
        y = tf.nn.depthwise_conv2d(self._padded(frames, size.size or 1), weights, [1] * 4, "VALID")
        shape = [*(sizes[d] for d in alone), tf.shape(y)[2], *(sizes[d] for d in (*each, *more))]
        new = self._frames(axis, size.size or 1)
        tensor = tf.reshape(y, tf.stack(shape))
        out = replace(x, dims=(*alone, new, *each, *more), beam=beam, tensor=tensor)
        masked: Data = site.run.masked(out, new)
        return site.as_output(masked)

    def _padded(self, frames: Any, size: int) -> Any:
        before = {"same": (size - 1) // 2, "causal": size - 1, "valid": 0}[self.padding]
        after = size - 1 - before
        if self.padding == "valid":  # at least one window
            after = tf.maximum(size - tf.shape(frames)[2], 0)
        return tf.pad(frames, [[0, 0], [0, 0], [before, after], [0, 0]])
