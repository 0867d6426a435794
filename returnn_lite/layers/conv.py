"""Convolution, and its transpose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Literal

from returnn_lite import native
from returnn_lite.data import Data
from returnn_lite.dim import Dim, derived
from returnn_lite.layers.activations import activation
from returnn_lite.layers.base import register
from returnn_lite.layers.feedforward import activated
from returnn_lite.layers.windows import Spatial, Windows
from returnn_lite.lazy import tf
from returnn_lite.site import Site


@register("conv")
@dataclass(frozen=True, kw_only=True)
class Conv(Windows):
    """Convolution; frames behind the end of a sequence are zero.

    in: float [batch, spatial dims, in]; out: float [batch, windows, n_out]. filter_size: frames in
    each spatial dim. groups: of features, each with filters of its own. input_expand_dims: so many
    spatial dims of size 1 are put before the feature dim. input_add_feature_dim: the feature dim
    becomes a spatial one, and the new one has size 1. input_split_feature_dim: likewise, the new
    one has this size. auto_use_channel_first: a layout, which is chosen by the device here and
    changes no result. filter: a layer in the place of W, without batch, its dims in the same order.
    Parameters W [filter_size, in / groups, n_out], bias [n_out].
    """

    refs = ("filter",)
    newer: ClassVar[Mapping[str, tuple[int, Any]]] = {"with_bias": (10, True)}
    n_out: int
    filter_size: tuple[int, ...]
    groups: int = 1
    input_expand_dims: int = 0
    input_add_feature_dim: bool = False
    input_split_feature_dim: int | None = None
    auto_use_channel_first: bool = False
    activation: str | None = None
    with_bias: bool = False
    forward_weights_init: Any = "glorot_uniform"
    bias_init: Any = 0.0
    filter: str | None = None

    def size(self) -> tuple[int, ...]:
        """Return filter_size."""
        return tuple(self.filter_size)

    def input(self, site: Site) -> Data:
        """Return the source, with the spatial dims that the options add."""
        x = site.source
        if x.feature_dim is None:
            return x
        for i in range(self.input_expand_dims):
            x = _before_feature(x, site.node.dim("spatial", f"expand{i}", 1))
        split = 1 if self.input_add_feature_dim else self.input_split_feature_dim
        if split is None:
            return x
        if split < 1 or x.feature_size % split:
            raise site.error(f"found {x}, needed a feature dim that {split} divides")
        spatial = site.node.dim("spatial", "features", x.feature_size // split)
        return _split_feature(x, spatial, site.node.dim("feature", "split", split))

    def infer(self, site: Site) -> Data:
        """Return the template with the layer's own dims."""
        activation(self.activation)
        x = self.input(site)
        spatial = self.check(site, x)
        size = x.feature_size
        if self.groups < 1 or size % self.groups or self.n_out % self.groups:
            raise site.error(
                f"found {self.groups} groups, {size} inputs and n_out {self.n_out}, "
                "needed a number that divides both"
            )
        shape = (*self.filter_size, size // self.groups, self.n_out)
        if self.filter is None:
            site.param("W", shape, self.forward_weights_init)
        elif tuple(d.size for d in site.ref("filter").dims) != shape:
            raise site.error(f"found filter {site.ref('filter')}, needed {list(shape)}")
        if self.with_bias:
            site.param("bias", (self.n_out,), self.bias_init)
        out = x
        for old, new in zip(spatial, self.new_dims(spatial), strict=True):
            out = out.renamed(old, new)
        return out.with_feature(site.feature(self.n_out))

    def call(self, site: Site) -> Data:
        """Return the convolution."""
        spatial: list[Dim] = site.node.resolved["spatial"]
        x, _ = self.flat(self.input(site), spatial)
        weights = site.param("W", (), None) if self.filter is None else site.ref("filter").tensor
        bias = site.param("bias", (), None) if self.with_bias else None
        fixed = all(dim.size is not None for dim in spatial[1:])
        if self._is_depthwise_over_time(x):
            y = self._depthwise_over_time(site, x, spatial, weights, bias)
        elif self.groups == 1 and len(spatial) <= 2 and fixed and native.convolves(x.tensor):
            y = self._by_kernel(site, x, spatial, weights, bias)
        else:
            y = self._by_tensorflow(site, x, spatial, weights)
            y = y if bias is None else y + bias
        x = replace(x.with_feature(site.feature(self.n_out)), tensor=x.tensor)
        # What lies behind the ends is finite: no reason to set it to zero, as `finished` does.
        out = self.shaped(site, x, y, self.new_dims(spatial))
        return activated(site, out, self.activation)

    def _by_kernel(self, site: Site, x: Data, spatial: list[Dim], weights: Any, bias: Any) -> Any:
        """Return [-1, windows, n_out]; one dim is that of rows of one pixel."""
        x, lengths = self.ragged(site, x, spatial, 0.0)
        _, images = self.flat(x, spatial)
        (top, rows), (left, columns) = [*self.places(site, x, spatial), (0, 1)][:2]
        strides, rates = ((*n, 1)[:2] for n in (self.stride(), self.each(self.dilation_rate)))
        moves = native.Moves((rows, columns), (top, left), strides, rates)
        if len(spatial) > 1:
            return native.conv2d(images, weights, bias, lengths, moves)
        images, weights = tf.expand_dims(images, 2), tf.expand_dims(weights, 1)
        return tf.squeeze(native.conv2d(images, weights, bias, lengths, moves), 2)

    def _by_tensorflow(self, site: Site, x: Data, spatial: list[Dim], weights: Any) -> Any:
        """Return [-1, windows, n_out], without bias."""
        masked = self.masked(site, x, 0.0)
        if self._padded_by_tensorflow(spatial):
            return self._convolved(self.flat(masked, spatial)[1], weights, "SAME")
        return self._convolved(self.padded(site, masked, spatial, 0.0), weights, "VALID")

    def _is_depthwise_over_time(self, x: Data) -> bool:
        """Return whether each feature has one filter, which moves by single frames."""
        alone = 1 < self.groups == self.n_out == x.feature_size
        return alone and self.stride() == (1,)

    def _depthwise_over_time(
        self, site: Site, x: Data, spatial: list[Dim], weights: Any, bias: Any
    ) -> Any:
        """Return [-1, windows, n_out]."""
        x, lengths = self.ragged(site, x, spatial, 0.0)
        _, frames = self.flat(x, spatial)
        ((before, windows),) = self.places(site, x, spatial)
        size = None if self.plainly_same(spatial) else windows
        filters = tf.reshape(weights, [*self.filter_size, self.n_out])
        options = {"before": before, "size": size, "dilation": self.each(self.dilation_rate)[0]}
        return native.depthwise_convolution(frames, filters, bias, lengths, **options)

    def _padded_by_tensorflow(self, spatial: list[Dim]) -> bool:
        """Return whether the operation can put the frames at both ends: a copy less."""
        apart, dilated = max(self.stride()) > 1, max(self.each(self.dilation_rate)) > 1
        return self.plainly_same(spatial) and not (apart and (dilated or self.groups > 1))

    def _convolved(self, frames: Any, weights: Any, padding: str) -> Any:
        strides, rates = self.stride(), self.each(self.dilation_rate)
        if self.groups > 1 and self.groups == frames.shape[-1] and len(strides) <= 2:
            return _depthwise(frames, weights, strides, rates, padding)
        # TensorFlow has no windows that are both dilated and apart.
        both = max(strides) > 1 and max(rates) > 1
        steps = (1,) * len(strides) if both else strides
        parts = [
            tf.nn.convolution(x, w, strides=steps, padding=padding, dilations=rates)
            for x, w in zip(
                tf.split(frames, self.groups, axis=-1),
                tf.split(weights, self.groups, axis=-1),
                strict=True,
            )
        ]
        y = parts[0] if len(parts) == 1 else tf.concat(parts, axis=-1)
        return y[(slice(None), *(slice(None, None, s) for s in strides))] if both else y


def _depthwise(
    frames: Any, weights: Any, strides: tuple[int, ...], rates: tuple[int, ...], padding: str
) -> Any:
    """Return a convolution in which each feature has filters of its own, over 1 or 2 dims."""
    inputs = frames.shape[-1]
    weights = tf.reshape(weights, [*weights.shape[:-2], inputs, weights.shape[-1] // inputs])
    if len(strides) == 1:  # windows that are high are faster than wide ones
        frames, weights = frames[:, :, None], weights[:, None]
    step = strides[0]
    even = len(set(strides)) == 1 and (step == 1 or max(rates) == 1)
    rates2 = (*rates, 1)[:2]
    steps = [1, step, step, 1] if even else [1, 1, 1, 1]
    y = tf.nn.depthwise_conv2d(frames, weights, steps, padding, dilations=rates2)
    apart = (*strides, 1)[:2]
    y = y if even else y[:, :: apart[0], :: apart[1]]
    return y[:, :, 0] if len(strides) == 1 else y


def _before_feature(x: Data, dim: Dim) -> Data:
    """Return x with a dim of size 1 before the feature dim."""
    x = x.last(x.feature)
    dims = (*x.dims[:-1], dim, x.feature)
    return replace(x, dims=dims, tensor=None if x.tensor is None else x.tensor[..., None, :])


def _split_feature(x: Data, spatial: Dim, feature: Dim) -> Data:
    """Return x with its feature dim in two parts."""
    x = x.last(x.feature)
    out = replace(x, dims=(*x.dims[:-1], spatial, feature), feature_dim=feature)
    if x.tensor is None:
        return out
    return replace(out, tensor=tf.reshape(x.tensor, [*x.sizes()[:-1], spatial.size, feature.size]))


@register("transposed_conv")
@dataclass(frozen=True, kw_only=True)
class TransposedConv(Spatial):
    """Transposed convolution over one or two dims: what a convolution's gradient does.

    in: float [batch, spatial dims, in]; out: float [batch, longer dims, n_out]. strides: how many
    times as long the dims become, by default filter_size. padding "same": frames * stride, "valid":
    all that the filters reach. output_padding: frames that are added behind; None: as above.
    remove_padding: frames that are taken off at both ends. out_spatial_dims: of a Dim of a data
    stream, the output has the lengths: it is cut, or filled up with zeros.
    Parameters W_native_transposed_conv [filter_size, n_out, in], where there is one dim
    [filter_size, 1, n_out, in]; bias [n_out].
    """

    n_out: int
    filter_size: tuple[int, ...]
    strides: tuple[int, ...] | None = None
    padding: Literal["same", "valid", "SAME", "VALID"] = "same"
    remove_padding: int | tuple[int, ...] = 0
    output_padding: int | tuple[int | None, ...] | None = None
    activation: str | None = None
    with_bias: bool = True
    forward_weights_init: Any = "glorot_uniform"
    bias_init: Any = 0.0

    def _each(self, value: Any) -> tuple[Any, ...]:
        return tuple(value) if isinstance(value, list | tuple) else (value,) * len(self.filter_size)

    def _stride(self) -> tuple[int, ...]:
        return tuple(self.filter_size if self.strides is None else self.strides)

    def _full(self, i: int, frames: Any) -> Any:
        """Return the length that dim i gets, before remove_padding."""
        size, stride, more = self.filter_size[i], self._stride()[i], self._each(self.output_padding)
        same = self.padding.lower() == "same"
        if more[i] is None:
            return frames * stride + (0 if same else max(size - stride, 0))
        return (frames - 1) * stride + size - 2 * (size // 2 if same else 0) + more[i]

    def _check_output_padding(self, site: Site) -> None:
        """Raise NetworkError where a convolution would not have made the input of the output."""
        for i, more in enumerate(self._each(self.output_padding)):
            size, stride = self.filter_size[i], self._stride()[i]
            # Of one frame, whose output is at most the stride, or the filter, and what it lacks.
            one = self._full(i, 1)
            least, most = 1, stride
            if self.padding.lower() == "valid":
                least, most = size, size + stride - 1
            if more is not None and not least <= one <= most:
                raise site.error(
                    f"found output_padding {more} for filter_size {size} and stride {stride}, "
                    f"needed {more + least - one} to {more + most - one}"
                )

    def count(self, i: int, frames: Any) -> Any:
        """Return the length that dim i gets."""
        most = max if isinstance(frames, int) else tf.maximum
        return most(self._full(i, frames) - 2 * self._each(self.remove_padding)[i], 0)

    def _new_dims(self, spatial: list[Dim]) -> list[Dim]:
        options = (self.padding.lower(), self._each(self.remove_padding))
        keys = zip(self.filter_size, self._stride(), self._each(self.output_padding), strict=True)
        return [
            derived(
                ("transposed", *key, *options),
                f"{old.name}*{key[1]}",
                [old],
                partial(self.count, i),
            )
            for i, (old, key) in enumerate(zip(spatial, keys, strict=True))
        ]

    def infer(self, site: Site) -> Data:
        """Return the template with the layer's own dims."""
        activation(self.activation)
        number = len(self.filter_size)
        options = (self._stride(), self._each(self.remove_padding), self._each(self.output_padding))
        if number not in (1, 2) or any(len(o) != number for o in options):
            raise site.error(
                f"found filter_size {self.filter_size} and strides {self._stride()}, "
                "needed one or two dims, and as many numbers in every option"
            )
        self._check_output_padding(site)
        x = self.input(site)
        spatial = self.find_spatial(site, x, number)
        sizes = (*self.filter_size, 1)[:2]
        shape = (*sizes, self.n_out, x.feature_size)
        site.param("W_native_transposed_conv", shape, self.forward_weights_init)
        if self.with_bias:
            site.param("bias", (self.n_out,), self.bias_init)
        out = x
        for old, new in zip(spatial, self._named(site, self._new_dims(spatial)), strict=True):
            out = out.renamed(old, new)
        return out.with_feature(site.feature(self.n_out))

    def _named(self, site: Site, new: list[Dim]) -> list[Dim]:
        """Return the new dims, or those of data streams that out_spatial_dims has for them."""
        named = self.out_spatial_dims
        if named is None or len(named) != len(new):
            return new
        known = site.node.scope.stream_dims()
        return [n if n in known else d for n, d in zip(named, new, strict=True)]

    def call(self, site: Site) -> Data:
        """Return the transposed convolution."""
        spatial: list[Dim] = site.node.resolved["spatial"]
        x, _ = self.flat(self.input(site), spatial)
        frames = self.flat(self.masked(site, x, 0.0), spatial)[1]
        y = self._spread(frames, site.param("W_native_transposed_conv", (), None))
        x = replace(x.with_feature(site.feature(self.n_out)), tensor=x.tensor)
        made = self._new_dims(spatial)
        out = self.shaped(site, x, y, made)
        for old, new in zip(made, self._named(site, made), strict=True):
            out = out if new is old else site.run.fitting(out, old, new)
        if self.with_bias:
            out = replace(out, tensor=out.tensor + site.param("bias", (), None))
        return activated(site, self.masked(site, out, 0.0), self.activation)

    def _spread(self, frames: Any, weights: Any) -> Any:
        shape, strides = tf.shape(frames), list(self._stride())
        lengths = [self._full(i, shape[i + 1]) for i in range(len(strides))]
        if len(strides) == 1:  # TensorFlow has it for two dims
            frames = frames[:, :, None]
            strides, lengths = [*strides, 1], [*lengths, 1]
        size = tf.stack([shape[0], *lengths, self.n_out])
        y = tf.nn.conv2d_transpose(frames, weights, size, strides, self.padding.upper())
        y = y[:, :, 0] if len(self.filter_size) == 1 else y
        for i, off in enumerate(self._each(self.remove_padding)):
            # At least one frame, so that no layer ever sees an empty axis.
            end = tf.maximum(tf.shape(y)[i + 1] - off, off + 1)
            y = y[(*[slice(None)] * (i + 1), slice(off, end))] if off else y
        return y
