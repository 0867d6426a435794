"""Layers of random numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

from returnn_lite.data import Data, next_feature, next_time
from returnn_lite.dim import Dim
from returnn_lite.layers.base import Layer, register
from returnn_lite.lazy import tf
from returnn_lite.naming import meant
from returnn_lite.node import Node
from returnn_lite.site import Site


@dataclass(frozen=True, kw_only=True)
class Drawn(Layer):
    """What layers of random numbers share.

    shape: numbers or Dims, BATCH among them. shape_deps, or from: layers that make some of the
    Dims. seed: another one gives other numbers. In a loop every step draws anew.
    """

    default_from = ()
    shape: tuple[Any, ...]
    shape_deps: tuple[str, ...] = ()
    seed: int | None = None

    def steps(self, node: Node) -> bool:
        """Return True: every step draws anew."""
        return True

    def template(self, site: Site, dtype: str) -> Data:
        """Return the template with the dims of `shape`, the last fixed one the features."""
        for option in site.node.refs:
            if option != "shape_deps" and site.ref(option).dims:
                raise site.error(f"found {option} {site.ref(option)}, needed one number")
        dims: list[Dim] = []
        for i, d in enumerate(self._shape(site)):
            if not isinstance(d, Dim) and (not isinstance(d, int) or d < 1):
                raise site.error(f"found {d!r} in shape, needed numbers from 1 on, or dims")
            dims.append(d if isinstance(d, Dim) else site.node.dim("spatial", f"dim{i}", d))
        time = next_time(dims)
        feature = next_feature(dims, time)
        name = site.node.path
        return Data(name=name, dims=tuple(dims), dtype=dtype, time_dim=time, feature_dim=feature)

    def _shape(self, site: Site) -> list[int | Dim]:
        for source in site.node.sources:
            site.data(source)
        return meant(site, self.shape, "shape_deps")

    def value(self, site: Site, option: str, default: Any = None) -> Any:
        """Return a number: that of the option, of the layer it names, or the default."""
        if option in site.node.refs:
            return tf.cast(site.ref(option).tensor, tf.float32)
        value = getattr(self, option)
        return default if value is None else float(value)

    def uniform(self, site: Site, *, static: bool = False, part: str = "") -> Data:
        """Return numbers in [0, 1), for a step or, out of a loop, for all of them.

        part: another one gives other numbers.
        """
        out = site.node.out
        assert out is not None
        self._shape(site)  # their lengths
        axis = site.axis if site.node.loop is not None else None
        dims = out.dims if axis is None else (axis, *out.dims)
        zeros = replace(out, dims=dims, tensor=tf.zeros([site.size(d) for d in dims]))
        noise = site.noise(zeros, f"random{self.seed or ''}{part}", static=static)
        return replace(zeros, tensor=tf.reshape(noise, tf.shape(zeros.tensor)))


@register("random")
@dataclass(frozen=True, kw_only=True)
class Random(Drawn):
    """Random numbers of a distribution: "uniform", "normal", or "truncated_normal".

    minval, maxval, bound: of a uniform one, from minval (0) to maxval or from -bound to bound.
    mean, stddev: of all three; a truncated one has no number further than two stddev from the
    mean. Each is a number, or a layer without dims. static: whether they are the same in every step
    of training. RETURNN keeps the state of a generator among its parameters; here numbers depend on
    seed, step and place alone.
    """

    refs = ("minval", "maxval", "bound", "mean", "stddev", "shape_deps")
    distribution: Literal["uniform", "normal", "truncated_normal"]
    minval: float | str | None = None
    maxval: float | str | None = None
    bound: float | str | None = None
    mean: float | str | None = None
    stddev: float | str | None = None
    dtype: str = "float32"
    static: bool = False

    def _given(self) -> set[str]:
        return {o for o in self.refs if o != "shape_deps" and getattr(self, o) is not None}

    def infer(self, site: Site) -> Data:
        """Return the template with the dims of `shape`."""
        given = self._given()
        allowed = [{"mean", "stddev"}]
        if self.distribution == "uniform":
            allowed = [{"minval", "maxval"}, {"bound"}, {"mean", "stddev"}]
            needed = bool(given & {"maxval", "bound", "stddev"})
        else:
            needed = True
        if not needed or not any(given <= options for options in allowed):
            raise site.error(
                f"found {sorted(given)} for distribution {self.distribution!r}, needed "
                + ", or ".join(" and ".join(sorted(options)) for options in allowed)
            )
        whole = self.dtype.startswith("int") and self.distribution == "uniform"
        if not self.dtype.startswith("float") and not (whole and "maxval" in given):
            raise site.error(f"found dtype {self.dtype!r}, needed floats, or int with a maxval")
        return self.template(site, self.dtype)

    def call(self, site: Site) -> Data:
        """Return the numbers."""
        u = self.uniform(site, static=self.static)
        if self.distribution == "uniform":
            low, high = self._range(site)
            x = low + u.tensor * (high - low)
            x = tf.floor(x) if self.dtype.startswith("int") else x
        else:
            x = self._normal(u.tensor) * self.value(site, "stddev", 1.0)
            x += self.value(site, "mean", 0.0)
        return replace(u, tensor=tf.cast(x, self.dtype))

    def _range(self, site: Site) -> tuple[Any, Any]:
        given = self._given()
        if "bound" in given:
            bound = self.value(site, "bound")
            return -bound, bound
        if "stddev" in given:
            half, mean = math.sqrt(3.0) * self.value(site, "stddev"), self.value(site, "mean", 0.0)
            return mean - half, mean + half
        return self.value(site, "minval", 0.0), self.value(site, "maxval")

    def _normal(self, u: Any) -> Any:
        """Return normally distributed numbers of uniform ones, by the inverse distribution."""
        cut = 0.5 * math.erfc(2.0 / math.sqrt(2.0)) if self.distribution != "normal" else 0.0
        # In the middle of the intervals that a float32 in [0, 1) has, so that neither end occurs.
        return tf.math.ndtri(cut + (1.0 - 2.0 * cut) * (u + 2.0**-24))


@register("rand_int")
@dataclass(frozen=True, kw_only=True)
class RandInt(Drawn):
    """Whole random numbers from minval to before maxval, each as likely: numbers, or layers."""

    refs = ("minval", "maxval", "shape_deps")
    maxval: int | str
    minval: int | str = 0
    dtype: str = "int32"

    def infer(self, site: Site) -> Data:
        """Return the template with the dims of `shape`."""
        if not self.dtype.startswith(("int", "float")):
            raise site.error(f"found dtype {self.dtype!r}, needed that of numbers")
        count = self._count()
        if count is not None and not 0 < count <= 2**46:
            raise site.error(
                f"found minval and maxval {self.minval, self.maxval}, needed 1 to 2^46 numbers"
            )
        return self.template(site, self.dtype)

    def _count(self) -> int | None:
        """Return of how many numbers one is drawn; None if a layer says so."""
        if isinstance(self.minval, int) and isinstance(self.maxval, int):
            return self.maxval - self.minval
        return None

    def call(self, site: Site) -> Data:
        """Return the numbers."""
        u = self.uniform(site)
        x = tf.cast(u.tensor, tf.float64)
        if (self._count() or 0) > 2**23:  # a float32 has no more digits than that
            x += tf.cast(self.uniform(site, part="fine").tensor, tf.float64) * 2.0**-23
        ends = (self.value(site, option) for option in ("minval", "maxval"))
        low, high = (e if isinstance(e, float) else tf.cast(e, tf.float64) for e in ends)
        x = tf.floor(low + x * (high - low))
        # Rounding may reach the end.
        return replace(u, tensor=tf.cast(tf.minimum(x, high - 1.0), self.dtype))
