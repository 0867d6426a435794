"""Affine layers, and activations on their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from returnn_lite.data import Data
from returnn_lite.layers.activations import activation
from returnn_lite.layers.base import Layer, register
from returnn_lite.layers.energies import additive_energies
from returnn_lite.layers.gradient import filtered
from returnn_lite.layers.out_type import typed
from returnn_lite.lazy import tf
from returnn_lite.rec.masked_rows import affine_of_rows
from returnn_lite.rec.products import product
from returnn_lite.site import Site


@register("linear")
@dataclass(frozen=True, kw_only=True)
class Linear(Layer):
    """f(x W + b) over the feature dim; sparse input is an embedding lookup.

    in: float [..., in] or sparse int32 [...]; out: float [..., n_out]. Parameters W [in, n_out], or
    [n_out, in] with use_transposed_weights, and b [n_out]. grad_filter: the gradient of a sequence
    before f is zero where the square of one of its numbers reaches this; None, 0 for no such bound.
    out_type: see `typed`.
    """

    sized_by_target = True
    n_out: int | None = None
    activation: str | None = None
    with_bias: bool = True
    forward_weights_init: Any = "glorot_uniform"
    bias_init: Any = 0.0
    use_transposed_weights: bool = False
    grad_filter: float | None = None
    out_type: dict[str, Any] = field(default_factory=dict)

    def size(self, site: Site) -> int:
        """Return the number of outputs."""
        size = self.n_out or self.out_type.get("dim")
        return site.size_by_target() if size is None else int(size)

    def infer(self, site: Site) -> Data:
        """Return the template [..., n_out]."""
        activation(self.activation)
        x = site.source
        if x.classes is None or x.classes.size is None:
            raise site.error(f"found source {x}, needed a feature dim of fixed size or sparse data")
        size = self.size(site)
        shape = (x.classes.size, size)
        stored = shape[::-1] if self.use_transposed_weights else shape
        site.param("W", stored, self.forward_weights_init)
        if self.with_bias:
            site.param("b", (size,), self.bias_init)
        return typed(site, x.with_feature(site.feature(size)), self.out_type)

    def _weights(self, site: Site) -> Any:
        w = site.param("W", (), None)
        return tf.transpose(w) if self.use_transposed_weights else w

    def _bias(self, site: Site) -> Any:
        return site.param("b", (), None) if self.with_bias else None

    def product_size(self, site: Site) -> int:
        """Return n_out."""
        return int(site.node.shapes["W"][0 if self.use_transposed_weights else 1])

    def vectors(self, site: Site) -> Any:
        """Return float [in, n_out]: the output for every label of sparse input."""
        w, bias = self._weights(site), self._bias(site)
        return activation(self.activation)(w if bias is None else w + bias)

    def call(self, site: Site) -> Data:
        """Return f(x W + b)."""
        bias, y = self._bias(site), None
        if self.product_size(site) == 1:
            y = additive_energies(site, lambda: self._weights(site))
        if y is None:
            y = product(site, lambda: self._weights(site))
        if y is None:
            x = site.source
            out = x.with_feature(site.feature(self.product_size(site)))
            y = replace(out, tensor=affine_of_rows(site, x, self._weights(site), bias))
        elif bias is not None:
            y = replace(y, tensor=y.tensor + bias)
        if self.grad_filter:
            y = filtered(site.run, y, self.grad_filter)
        out = activated(site, y, self.activation)
        return replace(typed(site, out, self.out_type), tensor=out.tensor)


@register("softmax")
@dataclass(frozen=True, kw_only=True)
class Softmax(Linear):
    """softmax(x W + b) over the feature dim."""

    activation: str | None = "softmax"


@register("activation")
@dataclass(frozen=True, kw_only=True)
class Activation(Layer):
    """f(x), elementwise or, for softmax and log_softmax, over the feature dim.

    activation: a name, or an expression such as "5.0 * sigmoid". opts: further arguments of the
    function, such as eps of safe_log. "abs" of complex data is float. out_type: see `typed`.
    """

    activation: str | None
    opts: dict[str, Any] | None = None
    n_out: int | None = None
    out_type: dict[str, Any] = field(default_factory=dict)

    def infer(self, site: Site) -> Data:
        """Return the template of the input."""
        activation(self.activation, self.opts)
        x = site.source
        if self.n_out is not None and (x.classes is None or x.classes.size != self.n_out):
            raise site.error(f"found n_out {self.n_out}, needed that of {x}")
        if x.dtype.startswith("complex") and "abs" in (self.activation or ""):
            x = replace(x, dtype="float32")
        over = "softmax" in (self.activation or "")
        x = x.last(x.feature_dim) if over and x.feature_dim is not None else x
        return typed(site, x, self.out_type)

    def call(self, site: Site) -> Data:
        """Return f(x)."""
        out = activated(site, site.source, self.activation, self.opts)
        return replace(typed(site, out, self.out_type), tensor=out.tensor)


def activated(site: Site, x: Data, name: str | None, opts: Mapping[str, Any] | None = None) -> Data:
    """Return f(x), and remember x, from which some losses are computed with less error."""
    if name is not None and "softmax" in name:
        if x.feature_dim is None:
            raise site.error(
                f"found activation {name!r} of {x}, needed a feature dim; try softmax_over_spatial"
            )
        x = x.last(x.feature_dim)
    if name is not None and site.frame is not None:
        site.frame.before_activation[site.node] = (name, x)
    tensor = activation(name, opts)(x.tensor)
    return replace(x, dtype=tensor.dtype.name, tensor=tensor)
