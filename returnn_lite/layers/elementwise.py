"""Layers that compute every entry on its own: copy, combine, eval, compare, dropout."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

from returnn_lite.config import EvalSelf
from returnn_lite.data import Data, common
from returnn_lite.errors import NetworkError, nearest
from returnn_lite.layers.activations import activation, safe_log
from returnn_lite.layers.base import Layer, register
from returnn_lite.lazy import tf
from returnn_lite.site import Site


def broadcast(datas: list[Data]) -> Data:
    """Return the template of an elementwise result; the first dense data give its dtype."""
    if not datas:
        raise NetworkError("found no source, needed one in 'from'")
    aligned = common([d.template() for d in datas])
    dense = next((d for d in aligned if d.sparse_dim is None), aligned[0])
    return replace(dense, tensor=None)


@register("copy")
@dataclass(frozen=True, kw_only=True)
class Copy(Layer):
    """The input itself; several sources are concatenated in the feature dim."""

    def infer(self, site: Site) -> Data:
        """Return the template of the input."""
        return site.source

    def call(self, site: Site) -> Data:
        """Return the input."""
        return site.source


_KINDS: dict[str, Callable[[Any, Any], Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "truediv": operator.truediv,
    "maximum": lambda a, b: tf.maximum(a, b),
    "minimum": lambda a, b: tf.minimum(a, b),
    "logical_and": lambda a, b: tf.logical_and(a, b),
    "logical_or": lambda a, b: tf.logical_or(a, b),
}


@register("combine")
@dataclass(frozen=True, kw_only=True)
class Combine(Layer):
    """One operation on all sources: add, sub, mul, truediv, maximum, minimum, logical_and, _or.

    n_out: size of the feature dim, for the reader and to begin recurrences with.
    """

    kind: str
    n_out: int | None = None
    activation: str | None = None

    def infer(self, site: Site) -> Data:
        """Return the template with the dims of all sources."""
        if self.kind not in _KINDS:
            raise site.error(f"unknown kind {self.kind!r}{nearest(self.kind, _KINDS)}")
        activation(self.activation)
        out = broadcast(site.sources)
        size = out.feature_dim.size if out.feature_dim is not None else None
        if self.n_out not in (None, size) and not site.partial:
            raise site.error(f"found n_out {self.n_out}, needed that of {out}")
        return out

    def call(self, site: Site) -> Data:
        """Return the combination."""
        datas = common(site.sources)
        tensor = reduce(_KINDS[self.kind], [d.tensor for d in datas])
        return replace(broadcast(datas), tensor=activation(self.activation)(tensor))


@register("eval")
@dataclass(frozen=True, kw_only=True)
class Eval(Layer):
    """A Python expression of the sources, `source(0)`, `source(1)`, ... with TensorFlow as `tf`.

    eval: the expression; recipes and configs are code, and so is this. eval_locals: further names
    in it. out_type: what of the template differs: "dtype", "dim".
    """

    eval: str
    eval_locals: dict[str, Any] = field(default_factory=dict)
    out_type: dict[str, Any] = field(default_factory=dict)

    def infer(self, site: Site) -> Data:
        """Return the template with the dims of all sources, changed by out_type."""
        try:
            compile(self.eval, str(site.node), "eval")
        except SyntaxError as error:
            raise site.error(f"found no expression in 'eval': {error.msg}: {self.eval}") from None
        unknown = set(self.out_type) - {"dtype", "dim"}
        if unknown:
            raise site.error(f"unknown out_type {unknown.pop()!r}; there are: dim, dtype")
        return self._out(site, broadcast(site.sources))

    def _out(self, site: Site, out: Data) -> Data:
        if "dtype" in self.out_type:
            out = replace(out, dtype=self.out_type["dtype"])
        if "dim" in self.out_type and out.feature_dim is not None:
            new = site.feature(self.out_type["dim"])
            out = out.renamed(out.feature_dim, new)
        return out

    def call(self, site: Site) -> Data:
        """Return the value of the expression."""
        datas = common(site.sources)
        names = {
            **{k: activation(k) for k in ("log_sigmoid", "sigmoid", "tanh", "relu", "softmax")},
            "safe_log": safe_log,
            "tf": tf,
            **self.eval_locals,
            "source": lambda i: datas[i].tensor,
            "self": EvalSelf(site.run.config),
        }
        try:
            tensor = eval(self.eval, names)  # noqa: S307 - networks are code, as the docs say
        except Exception as error:
            raise site.error(f"found {error!s} in {self.eval!r}") from error
        out = self._out(site, broadcast(datas))
        found, needed = (tensor.shape.rank, tensor.dtype.name), (len(out.dims), out.dtype)
        if found != needed:
            raise site.error(
                f"found {found[0]} axes of {found[1]} from {self.eval!r}, "
                f"needed {needed[0]} of {needed[1]}; try out_type"
            )
        return replace(out, tensor=tensor)


_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "equal": lambda a, b: tf.equal(a, b),
    "not_equal": lambda a, b: tf.not_equal(a, b),
    "less": operator.lt,
    "less_equal": operator.le,
    "greater": operator.gt,
    "greater_equal": operator.ge,
}


@register("compare")
@dataclass(frozen=True, kw_only=True)
class Compare(Layer):
    """Whether the source relates to a value, or to the next source, entry by entry: bool."""

    kind: str = "equal"
    value: float | int | None = None

    def infer(self, site: Site) -> Data:
        """Return the template with dtype bool."""
        if self.kind not in _COMPARISONS:
            raise site.error(f"unknown kind {self.kind!r}{nearest(self.kind, _COMPARISONS)}")
        if len(site.node.sources) + (self.value is not None) != 2:
            raise site.error("needed two sources, or one and the option 'value'")
        return replace(broadcast(site.sources), dtype="bool", sparse_dim=None, vocab=None)

    def call(self, site: Site) -> Data:
        """Return the comparison."""
        datas = common(site.sources)
        values = [d.tensor for d in datas]
        if self.value is not None:
            values.append(tf.constant(self.value, dtype=values[0].dtype))
        tensor = _COMPARISONS[self.kind](*values)
        out = broadcast(datas)
        return replace(out, dtype="bool", sparse_dim=None, vocab=None, tensor=tensor)


@register("dropout")
@dataclass(frozen=True, kw_only=True)
class Dropout(Copy):
    """The input; in training, the share of it that the option `dropout` says is dropped."""
