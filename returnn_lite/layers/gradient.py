"""Layers that change the gradient, and not the values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from returnn_lite.data import Data, common
from returnn_lite.dim import BATCH
from returnn_lite.layers.base import Layer, register
from returnn_lite.lazy import tf
from returnn_lite.site import Site


@register("scaled_grad")
@dataclass(frozen=True, kw_only=True)
class ScaledGrad(Layer):
    """The input itself; its gradient g becomes scale * g + shift.

    scale, shift: numbers, or layers with dims of the input; scale 0 stops the gradient, one below 0
    reverses it (Ganin and Lempitsky, 2015). scale_shift_by_sum_over_axis: an axis over which the
    sum of abs(g) multiplies the shift. clip_max_axis: an axis over which the greatest abs(g) is the
    bound of the result.
    """

    refs = ("scale", "shift")
    scale: float | str
    shift: float | str | None = None
    scale_shift_by_sum_over_axis: Any = None
    clip_max_axis: Any = None

    def infer(self, site: Site) -> Data:
        """Return the template of the input."""
        x = site.source
        for option in ("scale", "shift"):
            value = self._value(site, option)
            if isinstance(value, Data) and set(value.dims) - set(x.dims):
                raise site.error(f"found {option} {value} for {x}, needed dims of the input alone")
        for option in ("scale_shift_by_sum_over_axis", "clip_max_axis"):
            word = getattr(self, option)
            if word is not None and site.axis_of(word, x, option) is BATCH:
                raise site.error(f"found axis {word!r} in {x}, needed one of the sequences")
        return x

    def _value(self, site: Site, option: str) -> Any:
        return site.ref(option) if option in site.node.refs else getattr(self, option)

    def call(self, site: Site) -> Data:
        """Return the input."""
        x = site.source
        scale, shift = (self._tensor(site, option, x) for option in ("scale", "shift"))
        add = self.scale_shift_by_sum_over_axis is not None

        def gradient(g: Any) -> Any:
            new = g * scale
            if shift is not None:
                option = "scale_shift_by_sum_over_axis"
                new += shift * (self._over(site, option, x, g, tf.reduce_sum) if add else 1.0)
            if self.clip_max_axis is not None:
                most = self._over(site, "clip_max_axis", x, g, tf.reduce_max)
                new = tf.clip_by_value(new, -most, most)
            return tf.broadcast_to(new, tf.shape(g))

        @tf.custom_gradient  # type: ignore[untyped-decorator]
        def identity(values: Any) -> tuple[Any, Any]:
            return tf.identity(values), gradient

        return replace(x, tensor=identity(x.tensor))

    def _tensor(self, site: Site, option: str, x: Data) -> Any:
        """Return a number, or the values of a layer with the dims of x."""
        value = self._value(site, option)
        if not isinstance(value, Data):
            return value
        return tf.stop_gradient(common([x, value])[1].tensor)

    def _over(self, site: Site, option: str, x: Data, g: Any, reduce: Any) -> Any:
        """Return a reduction of abs(g) over the axis of an option."""
        axis = site.axis_of(getattr(self, option), x, option)
        sizes = site.run.masked(replace(x, tensor=abs(g)), axis)
        return reduce(sizes.tensor, axis=x.axis(axis), keepdims=True)


def filtered(run: Any, x: Data, bound: float) -> Data:
    """Return x, whose gradient is zero for sequences with one whose square is not below a bound."""
    axes = [i for i, dim in enumerate(x.dims) if dim is not BATCH]

    def gradient(g: Any) -> Any:
        squares = replace(x, tensor=g * g)
        for dim in x.dims:
            squares = run.masked(squares, dim)
        most = tf.reduce_max(squares.tensor, axis=axes, keepdims=True)
        return tf.where(most < bound, g, tf.zeros_like(g))

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def identity(values: Any) -> tuple[Any, Any]:
        return tf.identity(values), gradient

    return replace(x, tensor=identity(x.tensor))
