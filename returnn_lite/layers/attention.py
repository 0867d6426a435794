"""Attention: a softmax over the frames of a sequence, and the mean of frames that it weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from returnn_lite.beam import latest
from returnn_lite.contract import contract
from returnn_lite.data import Data, common
from returnn_lite.dim import BATCH, Dim
from returnn_lite.frame import StepFrame
from returnn_lite.layers.base import Layer, register
from returnn_lite.lazy import tf
from returnn_lite.node import Node
from returnn_lite.site import Site


@register("softmax_over_spatial")
@dataclass(frozen=True, kw_only=True)
class SoftmaxOverSpatial(Layer):
    """softmax(energy_factor * x) over an axis, by default time; what lies outside of it is zero.

    in: float [..., axis, ...]; out: float [..., axis]. start: an int layer [batch], the first frame
    that takes part. window_start, window_size: frames from the one on, so many, as numbers or int
    layers. use_time_mask: False lets padding take part. log_space: logarithms, -inf outside.
    """

    refs = ("start", "window_start", "window_size")
    axis: Any = "T"
    energy_factor: float | None = None
    start: str | None = None
    window_start: str | int | None = None
    window_size: str | int | None = None
    use_time_mask: bool | None = None
    log_space: bool = False

    def infer(self, site: Site) -> Data:
        """Return the template with the axis at the end."""
        x = site.source
        axis = site.axis_of("T" if self.axis is None else self.axis, x)
        if not x.dtype.startswith("float"):
            raise site.error(f"found source {x}, needed floats")
        if (self.window_start is None) != (self.window_size is None):
            raise site.error("needed both of 'window_start' and 'window_size', or neither")
        if axis.dynamic and self.use_time_mask is not False and x.batch_dim is None:
            raise site.error(f"found source {x}, needed a batch dim")
        if self.use_time_mask and not axis.dynamic:
            raise site.error(f"found use_time_mask for axis {axis} of {x}, needed a dynamic one")
        # They may come from the weights of the step before.
        for name in (n for n in self.refs if n in site.node.refs):
            bound = site.known_ref(name)
            if bound is not None and not bound.dtype.startswith("int"):
                raise site.error(f"found {name} {bound}, needed whole numbers")
        return x.last(axis)

    def sees_padding(self, node: Node) -> bool:
        """Whether padding takes part."""
        return self.use_time_mask is False

    def call(self, site: Site) -> Data:
        """Return the weights."""
        x = site.source
        bounds = [site.ref(n) for n in self.refs if n in site.node.refs]
        x = x.in_beam(latest([x.beam, *(b.beam for b in bounds)]))
        axis = site.axis_of(self.axis, x)
        if axis.dynamic and self.use_time_mask is not False:
            x = site.run.with_lengths(x, axis)
        x = x.last(axis)
        energy = x.tensor if self.energy_factor is None else x.tensor * self.energy_factor
        mask = self._mask(site, x, axis)
        if mask is not None:
            # A sequence without any frame gets zeros, rather than no numbers.
            energy = tf.where(mask, energy, energy.dtype.min)
        if self.log_space:
            y, outside = tf.nn.log_softmax(energy), float("-inf")
        else:
            y, outside = tf.nn.softmax(energy), 0.0
        return replace(x, tensor=y if mask is None else tf.where(mask, y, outside))

    def _mask(self, site: Site, x: Data, axis: Dim) -> Any:
        """Return bool, to broadcast against x: which frames take part; None for all."""
        masks = []
        if axis.dynamic and self.use_time_mask is not False:
            masks.append(site.run.mask(axis, x))
        shape = [-1 if d is axis else 1 for d in x.dims]
        place = tf.reshape(tf.range(tf.shape(x.tensor)[x.axis(axis)]), shape)
        if self.start is not None:
            masks.append(place >= self._bound(site, "start", x))
        if self.window_start is not None:
            first = self._bound(site, "window_start", x)
            masks.append(place >= first)
            masks.append(place < first + self._bound(site, "window_size", x))
        if not masks:
            return None
        result = masks[0]
        for mask in masks[1:]:
            result = tf.logical_and(result, mask)
        return result

    def _bound(self, site: Site, name: str, x: Data) -> Any:
        """Return a number, or int32 to broadcast against x."""
        if name not in site.node.refs:
            return getattr(self, name)
        bound = site.ref(name)
        aligned, _ = common([replace(bound, feature_dim=None, sparse_dim=None), x])
        return tf.cast(aligned.tensor, tf.int32)


@register("generic_attention")
@dataclass(frozen=True, kw_only=True)
class GenericAttention(Layer):
    """The sum over time of base, weighted.

    weights: float [batch, time, ...]; base: float [batch, time, shared..., n]; out: float [batch,
    ..., n]. Axes of base such as heads are found in weights by their size, from the last one on.
    auto_squeeze: other axes of size 1 of the weights are dropped.
    """

    default_from: ClassVar[Any] = ()
    refs = ("weights", "base")
    weights: str
    base: str
    auto_squeeze: bool = True

    def infer(self, site: Site) -> Data:
        """Return the template [batch, ..., n]."""
        weights, base = site.ref("weights"), site.ref("base")
        if base.time_dim is None or base.feature_dim is None or not base.has_batch:
            raise site.error(f"found base {base}, needed batch, time and feature dims")
        time = base.time_dim if base.time_dim in weights.dims else weights.time_dim
        if time is None or time.size != base.time_dim.size:
            raise site.error(f"found weights {weights} for base {base}, needed the same time dim")
        rest = [d for d in weights.dims if d not in (BATCH, time)]
        names, squeezed = {base.time_dim: time}, []
        shared = [d for d in base.dims if d not in (BATCH, base.time_dim, base.feature_dim)]
        for dim in reversed(rest):
            if shared and dim.size == shared[-1].size:
                names[shared.pop()] = dim
            elif self.auto_squeeze and dim.size == 1:
                squeezed.append(dim)
        if shared:
            raise site.error(f"found weights {weights} for base {base}, needed its axes {shared}")
        rest = [d for d in rest if d not in squeezed]
        feature = base.feature_dim
        if feature in rest:
            feature = names[feature] = site.feature(base.feature_size)
        site.node.resolved["attention"] = names, time, squeezed
        dims = (BATCH, *rest, feature)
        return replace(
            base.template(),
            dims=dims,
            feature_dim=feature,
            time_dim=next((d for d in rest if d.dynamic), None),
        )

    def call(self, site: Site) -> Data:
        """Return the weighted sum."""
        base = site.ref("base")
        if isinstance(site.frame, StepFrame):
            whole = site.frame.known(site.node.refs["base"][0])
            if whole is base:  # the same in every step, and the product needs it in this order
                base = site.frame.before.once((site.node, "base"), lambda: base.first(BATCH))
        return attended(site, site.ref("weights"), base)


def attended(site: Site, weights: Data, base: Data) -> Data:
    """Return the weighted sum of a `generic_attention`, for its base or one of other features."""
    names, time, squeezed = site.node.resolved["attention"]
    if squeezed:
        axes = [weights.axis(d) for d in squeezed]
        dims = tuple(d for d in weights.dims if d not in squeezed)
        weights = replace(weights, dims=dims, tensor=tf.squeeze(weights.tensor, axis=axes))
    out = site.node.out
    assert out is not None
    if names.get(base.feature, base.feature) is not out.feature_dim:
        out = out.with_feature(base.feature)
    return contract(site, weights, base, names=names, over=[time], out=out)


@register("dot_attention")
@dataclass(frozen=True, kw_only=True)
class DotAttention(Layer):
    """The mean of base over time, weighted by softmax(energy_factor * <base_ctx, source>).

    in: float [batch, inner]; base_ctx: float [batch, time, inner]; base: float [batch, time, n];
    out: float [batch, n]. n_out: for the reader.
    """

    refs = ("base", "base_ctx")
    base: str
    base_ctx: str
    energy_factor: float | None = None
    n_out: int | None = None

    def infer(self, site: Site) -> Data:
        """Return the template [batch, n]."""
        x, base, keys = site.source, site.ref("base"), site.ref("base_ctx")
        time = base.time_dim
        fits = time is not None and keys.time_dim is not None and base.feature_dim is not None
        if not fits or len(base.dims) != 3 or len(keys.dims) != 3 or len(x.dims) != 2:
            raise site.error(
                f"found source {x}, base {base}, base_ctx {keys}, "
                "needed [batch, n], [batch, time, ...] and [batch, time, n]"
            )
        if x.feature_dim is None or keys.feature_dim is None or x.feature_size != keys.feature_size:
            raise site.error(f"found source {x} and base_ctx {keys}, needed equal feature dims")
        if self.n_out not in (None, base.feature_size):
            raise site.error(f"found n_out {self.n_out}, needed that of base {base}")
        # In a loop that they are moved out of, "time" means the steps.
        site.node.resolved["attention"] = keys.time_dim, base.time_dim
        dims = (BATCH, base.feature)
        return replace(base.template(), dims=dims, time_dim=None)

    def call(self, site: Site) -> Data:
        """Return the weighted mean."""
        x, base, keys = site.source, site.ref("base"), site.ref("base_ctx")
        time, base_time = site.node.resolved["attention"]
        assert site.node.out is not None
        energies = replace(keys.template(), dims=(BATCH, time), feature_dim=None)
        energy = contract(
            site, x, keys, names={keys.feature: x.feature}, over=[x.feature], out=energies
        )
        scaled = energy.tensor * (1.0 if self.energy_factor is None else self.energy_factor)
        if time.dynamic:
            scaled = tf.where(site.run.mask(time, energy), scaled, scaled.dtype.min)
        weights = replace(energy, tensor=tf.nn.softmax(scaled, axis=energy.axis(time)))
        names = {base_time: time}
        return contract(site, weights, base, names=names, over=[time], out=site.node.out)


@register("gauss_weighting")
@dataclass(frozen=True, kw_only=True)
class GaussWeighting(Layer):
    """exp(-(t - p)^2 / (2 std^2)) of window_size frames t, around a position p.

    They are the frames that slice_nd has of that size, with the start max(p - window_size // 2, 0)
    (Luong et al., 2015, equation 10). in: float [..., 1], the position; out: float [...,
    window_size, 1]. n_out: 1, for the reader. A layer of published configs; it is not in RETURNN.
    """

    window_size: int
    std: float
    n_out: int = 1

    def infer(self, site: Site) -> Data:
        """Return the template with the window."""
        x = site.source
        if x.feature_dim is None or x.feature_size != 1 or self.n_out != 1:
            raise site.error(f"found source {x} and n_out {self.n_out}, needed one feature, and 1")
        if self.window_size < 1 or self.std <= 0:
            raise site.error(
                f"found window_size {self.window_size} and std {self.std}, needed 1 or more, and "
                "more than 0"
            )
        return self._out(site, x)

    def _out(self, site: Site, x: Data) -> Data:
        window = site.node.dim("spatial", "window", self.window_size)
        rest = [d for d in x.dims if d is not x.feature_dim]
        return replace(x, dims=(*rest, window, x.feature), time_dim=window, tensor=None)

    def call(self, site: Site) -> Data:
        """Return the weights."""
        x = site.source
        x = x.last(x.feature)
        start = tf.floor(tf.maximum(x.tensor - float(self.window_size // 2), 0.0))
        frames = start + tf.range(self.window_size, dtype=x.tensor.dtype)
        tensor = tf.exp(tf.square(frames - x.tensor) / (-2.0 * self.std**2))
        return site.as_output(replace(self._out(site, x), tensor=tensor[..., None]))
