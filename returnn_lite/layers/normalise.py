"""Normalisation by mean and variance of the input itself, running means, and gates."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from returnn_lite import native
from returnn_lite.axes import resolve
from returnn_lite.data import Data
from returnn_lite.dim import BATCH, Dim
from returnn_lite.layers.activations import activation, is_identity
from returnn_lite.layers.base import Layer, register
from returnn_lite.layers.reduce import masked_mean
from returnn_lite.lazy import tf
from returnn_lite.site import Site


@register("layer_norm")
@dataclass(frozen=True, kw_only=True)
class LayerNorm(Layer):
    """(x - mean) / sqrt(variance + epsilon) * scale + bias, over the features of each frame.

    in, out: float [..., n]. Parameters scale [n], bias [n]. Ba et al. (2016).
    """

    epsilon: float = 1e-6

    def infer(self, site: Site) -> Data:
        """Return the template of the input."""
        x = site.source
        if x.feature_dim is None or x.feature_dim.size is None:
            raise site.error(f"found source {x}, needed a feature dim of fixed size")
        site.param("scale", (x.feature_size,), 1.0)
        site.param("bias", (x.feature_size,), 0.0)
        return x

    def call(self, site: Site) -> Data:
        """Return the normalised input."""
        source = site.source
        x = source.last(source.feature)
        scale, bias = (site.param(name, (), None) for name in ("scale", "bias"))
        y = native.layer_norm(x.tensor, scale, bias, self.epsilon)
        return replace(x, tensor=y).ordered(source.dims)


@register("norm")
@dataclass(frozen=True, kw_only=True)
class Norm(Layer):
    """(x - mean) / sqrt(variance + epsilon) * scale + bias, over the entries of some dims.

    in, out: float. axes, or axis: which dims, such as "T" for each feature of a sequence; padding
    does not count. param_shape: fixed dims that the parameters scale and bias have, by default the
    features. scale, bias: whether there are these. Ulyanov et al. (2016); Wu and He (2018).
    """

    axes: Any = None
    axis: Any = None
    param_shape: Any = "F"
    scale: bool = True
    bias: bool = True
    epsilon: float = 1e-6

    def _dims(self, site: Site, x: Data) -> list[Dim]:
        return site.axes_of(self.axes if self.axis is None else self.axis, x)

    def infer(self, site: Site) -> Data:
        """Return the template of the input."""
        x = site.source
        if (self.axes is None) == (self.axis is None):
            raise site.error("found both or none of axes and axis, needed one")
        if not self._dims(site, x) or not x.dtype.startswith("float"):
            raise site.error(f"found source {x}, needed floats with axes to normalise over")
        found = resolve(self.param_shape, x, str(site.node)) if self.scale or self.bias else []
        sizes = tuple(d.size for d in found if d.size is not None)
        if len(sizes) < len(found):
            raise site.error(f"found param_shape {found} in {x}, needed dims of fixed size")
        site.node.resolved["shape"] = found
        for name, first in (("scale", 1.0), ("bias", 0.0)):
            if getattr(self, name):
                site.param(name, sizes, first)
        return x

    def call(self, site: Site) -> Data:
        """Return the normalised input."""
        x = site.source
        dims = self._dims(site, x)
        axes = [x.axis(d) for d in dims]
        padded = [d for d in x.dims if d.dynamic and (d in dims or BATCH in dims)]
        padded = [d for d in padded if site.run.pads(x, d)]
        for dim in padded:
            x = site.run.with_lengths(x, dim)
        y = x.tensor - masked_mean(site, x, padded, axes, keepdims=True)
        squares = replace(x, tensor=tf.square(y))
        variance = masked_mean(site, squares, padded, axes, keepdims=True)
        y *= tf.math.rsqrt(variance + self.epsilon)
        if self.scale:
            y *= self._param(site, "scale", x)
        if self.bias:
            y += self._param(site, "bias", x)
        return replace(x, tensor=y)

    def _param(self, site: Site, name: str, x: Data) -> Any:
        """Return a parameter with an axis for each dim of x."""
        own = site.node.resolved["shape"]
        tensor = tf.convert_to_tensor(site.param(name, (), None))
        data = Data(name=name, dims=tuple(own), tensor=tensor)
        data = data.ordered([d for d in x.dims if d in own])
        return data.tensor[tuple(slice(None) if d in own else None for d in x.dims)]


@register("gating")
@dataclass(frozen=True, kw_only=True)
class Gating(Layer):
    """f(a) * g(b), where a and b are the two halves of the features, or two sources.

    in: float [..., 2 n]; out: float [..., n]. activation: f; gate_activation: g. Dauphin et al.
    (2017).
    """

    activation: str | None
    gate_activation: str | None = "sigmoid"
    n_out: int | None = None

    def infer(self, site: Site) -> Data:
        """Return the template with half of the features."""
        activation(self.activation)
        activation(self.gate_activation)
        x = site.source
        if x.feature_dim is None or x.feature_size % 2:
            raise site.error(f"found source {x}, needed an even number of features")
        if self.n_out not in (None, x.feature_size // 2):
            raise site.error(f"found n_out {self.n_out}, needed half of the features of {x}")
        return x.with_feature(site.feature(x.feature_size // 2))

    def call(self, site: Site) -> Data:
        """Return the gated half."""
        x = site.source
        x = x.last(x.feature)
        if is_identity(self.activation) and self.gate_activation == "sigmoid":
            y = native.glu(x.tensor)
        else:
            a, b = tf.split(x.tensor, 2, axis=-1)
            y = activation(self.activation)(a) * activation(self.gate_activation)(b)
        return replace(x.with_feature(site.feature(x.feature_size // 2)), tensor=y)


# In RETURNN an operation of the layer has the name "mean".
_MEAN = "mean_1"


@register("accumulate_mean")
@dataclass(frozen=True, kw_only=True)
class AccumulateMean(Layer):
    """A running mean of the features over all frames of all sequences that training has seen.

    in: float [batch, time, n]; out: the mean [n], as it is before this batch. exp_average: the
    share of this batch's mean in the new one. initial_value: by default 0 or, with
    is_prob_distribution, 1 / n. axes: "bt". Parameter mean [n].
    """

    exp_average: float
    axes: str = "bt"
    initial_value: float | None = None
    is_prob_distribution: bool = False

    def infer(self, site: Site) -> Data:
        """Return the template [n]."""
        x = site.source
        dims = [d for d in x.dims if d is not x.feature_dim]
        if site.node.loop is not None:
            raise site.error("found it in the unit of a rec layer, needed all frames; move it out")
        if self.axes != "bt" or x.feature_dim is None or x.time_dim is None or len(dims) != 2:
            raise site.error(f"found axes {self.axes!r} of {x}, needed 'bt' of [batch, time, n]")
        first = self.initial_value
        if first is None:
            first = 1.0 / x.feature_size if self.is_prob_distribution else 0.0
        site.param(_MEAN, (x.feature_size,), first, trainable=False)
        return self._out(x)

    def _out(self, x: Data) -> Data:
        return Data(name=x.name, dims=(x.feature,), feature_dim=x.feature_dim)

    def call(self, site: Site) -> Data:
        """Return the running mean, and update it in training."""
        mean = tf.convert_to_tensor(site.param(_MEAN, (), None))
        x = site.source
        x = x.last(x.feature)
        if site.run.mode.train:
            new, _ = masked_moments(site, x)
            site.update(_MEAN, mean + self.exp_average * (tf.stop_gradient(new) - mean))
        return replace(self._out(x), tensor=mean)


def masked_moments(site: Site, x: Data) -> tuple[Any, Any]:
    """Return mean and variance float [n] over all axes of x but the last, without padding."""
    axes = list(range(len(x.dims) - 1))
    if x.time_dim is None or not site.run.pads(x, x.time_dim):
        mean, variance = tf.nn.moments(x.tensor, axes=axes)
        return mean, variance
    weights = tf.cast(site.run.mask(x.time_dim, x), x.tensor.dtype)
    weights = tf.broadcast_to(weights, [*x.sizes()[:-1], 1])
    frames = tf.where(weights > 0, x.tensor, tf.zeros_like(x.tensor))
    count = tf.maximum(tf.reduce_sum(weights), 1.0)
    mean = tf.reduce_sum(frames, axis=axes) / count
    variance = tf.reduce_sum(weights * tf.square(frames - mean), axis=axes) / count
    return mean, variance
