"""Layers that combine their sources entry by entry: combine, and eval with any expression."""

from __future__ import annotations

import ast
import builtins
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, reduce
from typing import Any

from returnn_lite import losses
from returnn_lite.beam import latest
from returnn_lite.config import EvalSelf
from returnn_lite.data import Data, common, in_common_beam, with_hypotheses
from returnn_lite.dim import BATCH
from returnn_lite.entry_by_entry import entry_by_entry
from returnn_lite.errors import NetworkError, nearest
from returnn_lite.layers.activations import activation, safe_log
from returnn_lite.layers.base import Layer, register
from returnn_lite.layers.cross_entropy_over_size import softmax_cross_entropy_over_size
from returnn_lite.layers.elementwise import broadcast, check_one_dtype
from returnn_lite.layers.feedforward import activated
from returnn_lite.layers.out_type import typed, typed_by
from returnn_lite.lazy import tf
from returnn_lite.node import Node
from returnn_lite.seen import seen
from returnn_lite.site import Site
from returnn_lite.view import DataView

_KINDS: dict[str, Callable[[Any, Any], Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "truediv": operator.truediv,
    "floordiv": operator.floordiv,
    "mod": operator.mod,
    "pow": operator.pow,
    "average": operator.add,
    "maximum": lambda a, b: tf.maximum(a, b),
    "minimum": lambda a, b: tf.minimum(a, b),
    "logical_and": lambda a, b: tf.logical_and(a, b),
    "logical_or": lambda a, b: tf.logical_or(a, b),
    "logical_xor": lambda a, b: tf.math.logical_xor(a, b),
    "squared_difference": lambda a, b: tf.math.squared_difference(a, b),
    "logaddexp": lambda a, b: tf.maximum(a, b) + tf.math.softplus(-tf.abs(a - b)),
}
_SHOWN = ("log_sigmoid", "sigmoid", "tanh", "relu", "softmax")  # in the expressions of eval
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "safe_log": safe_log,
    "softmax_cross_entropy_over_size": softmax_cross_entropy_over_size,
    "where_bc": lambda condition, x, y: tf.where(condition, x, y),
}
_SYMBOLS = {
    "+": "add",
    "-": "sub",
    "subtract": "sub",
    "*": "mul",
    "multiply": "mul",
    "/": "truediv",
    "//": "floordiv",
}


def _aligned(datas: list[Data], out: Data) -> list[Data]:
    """Return the data with equal dims, in the order of out; what out_type adds has the size 1."""
    if not datas:
        return []
    aligned = common(datas)
    dims = aligned[0].dims
    if not set(dims) <= set(out.dims) or dims == out.dims:
        return aligned
    order = [dims.index(d) for d in out.dims if d in dims]
    size_one = tuple(slice(None) if d in dims else None for d in out.dims)
    return [
        replace(d, dims=out.dims, tensor=tf.transpose(d.tensor, order)[size_one]) for d in aligned
    ]


def _from_nothing(out_type: Mapping[str, Any]) -> dict[str, Any]:
    """Return an out_type that says all of a template: a shape means that there is a batch, too."""
    dtype = "int32" if out_type.get("sparse") else "float32"
    return {"dtype": dtype, "batch_dim_axis": 0, **out_type}


def _source_index(node: ast.AST) -> int | None:
    """Return the number in `source(number)`."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or not node.args:
        return None
    first = node.args[0]
    number = first.value if isinstance(first, ast.Constant) else None
    return number if node.func.id == "source" and isinstance(number, int) else None


def evaluated(site: Site, text: Any, names: dict[str, Any], datas: list[Data], out: Data) -> Any:
    """Return the tensor that an expression, or a function of `source` and `self`, gives."""
    together = cache(lambda: _aligned(datas, out))

    def source(
        i: int,
        auto_convert: bool = True,
        enforce_batch_major: bool = False,
        as_data: bool = False,
    ) -> Any:
        x = (together() if auto_convert else datas)[i]
        if enforce_batch_major and x.has_batch:
            x = x.first(BATCH)
        return DataView(x, site.run) if as_data else x.tensor

    views = [seen(site, node, x) for node, x in zip(site.node.sources, datas, strict=False)]
    view = EvalSelf(site.run.config, site.run.mode.train, site.run.step, views)
    names = {**names, "source": source, "self": view}
    if callable(text):
        return text(**names)
    shown = {**{k: activation(k) for k in _SHOWN}, **_FUNCTIONS, "tf": tf}
    return eval(text.strip(), {**shown, **names})  # noqa: S307 - networks are code, as the docs say


@dataclass(frozen=True, kw_only=True)
class _Combined(Layer):
    """What combine and eval share.

    n_out: size of the feature dim, for the reader and to begin recurrences with. activation: of the
    result. with_bias: adds b [n_out] before. eval, eval_locals, out_type: see `Eval`.
    allow_broadcast_all_sources: False raises an error where no source has all dims.
    """

    n_out: int | None = None
    activation: str | None = None
    with_bias: bool = False
    eval: Any = None
    eval_locals: dict[str, Any] = field(default_factory=dict)
    out_type: dict[str, Any] | Callable[..., Any] = field(default_factory=dict)
    allow_broadcast_all_sources: bool = True

    def infer(self, site: Site) -> Data:
        """Return the template with the dims of all sources, changed by out_type."""
        activation(self.activation)
        if self.eval is not None:
            self._check_expression(site)
        out = self._out(site, site.sources)
        size = out.classes.size if out.classes is not None else None
        if self.n_out not in (None, size) and not site.partial:
            raise site.error(f"found n_out {self.n_out}, needed that of {out}")
        if self.with_bias:
            if out.feature_dim is None:
                raise site.error(f"found with_bias for {out}, needed a feature dim")
            site.param("b", (out.feature_size,), 0.0)
        return out

    def sees_padding(self, node: Node) -> bool:
        """Whether its expression may do other things than one entry at a time."""
        if self.eval is None:
            return False
        return callable(self.eval) or not entry_by_entry(self.eval, self.eval_locals)

    def _check_expression(self, site: Site) -> None:
        if callable(self.eval):
            return
        try:
            tree = ast.parse(self.eval.strip(), mode="eval")
        except (SyntaxError, AttributeError) as error:
            text = getattr(error, "msg", error)
            raise site.error(f"found no expression in 'eval': {text}: {self.eval}") from None
        nodes = list(ast.walk(tree))
        own = {n.arg for n in nodes if isinstance(n, ast.arg)}
        own |= {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        known = [*_SHOWN, *_FUNCTIONS, "tf", "source", "self", *self.eval_locals, *own]
        for name in (n.id for n in nodes if isinstance(n, ast.Name)):
            if name not in known and not hasattr(builtins, name):
                raise site.error(f"found the name {name!r} in 'eval'{nearest(name, known)}")
        count = len(site.node.sources)
        for i in filter(None, map(_source_index, nodes)):
            if i >= count:
                raise site.error(f"found source({i}) in 'eval', needed one of {count} sources")

    def _out(self, site: Site, datas: list[Data]) -> Data:
        if callable(self.out_type):
            return typed_by(site, self.out_type)
        if not datas and self.eval is not None and "shape" in self.out_type:
            return typed(site, Data(name=site.node.path, dims=()), _from_nothing(self.out_type))
        try:
            out = broadcast(datas, any_dims=self.allow_broadcast_all_sources)
        except NetworkError:
            if self.eval is None or "shape" not in self.out_type:
                raise
            # Such as a loss of outputs and labels, which looks at both as they are.
            out = replace(datas[0].template(), beam=latest([d.beam for d in datas]))
        return typed(site, out, self.out_type)

    def combined(self, site: Site, datas: list[Data], out: Data) -> Any:
        """Return the tensor, with the dims of out."""
        try:
            tensor = evaluated(site, self.eval, self.eval_locals, datas, out)
        except Exception as error:
            raise site.error(f"found {error!s} in {self.eval!r}") from error
        if not tf.is_tensor(tensor):
            raise site.error(f"found {type(tensor)} from {self.eval!r}, needed a tensor")
        found, needed = (tensor.shape.rank, tensor.dtype.name), (len(out.dims), out.dtype)
        if found != needed:
            raise site.error(
                f"found {found[0]} axes of {found[1]} from {self.eval!r}, "
                f"needed {needed[0]} of {needed[1]}; try out_type"
            )
        if not tensor.shape.is_compatible_with([d.size for d in out.dims]):
            raise site.error(
                f"found values of shape {tensor.shape} from {self.eval!r}, needed {out}; "
                "out_type adds dims of size 1 to source(i)"
            )
        return tensor

    def call(self, site: Site) -> Data:
        """Return the result."""
        datas = site.sources
        out = self._out(site, datas)
        x = replace(out, tensor=self.combined(site, datas, out))
        if self.with_bias:
            x = x.last(x.feature)
            x = replace(x, tensor=x.tensor + site.param("b", (), None)).ordered(out.dims)
        return activated(site, x, self.activation).ordered(out.dims)


@register("combine")
@dataclass(frozen=True, kw_only=True)
class Combine(_Combined):
    """One operation on all sources, from the first to the last.

    kind: add, sub, mul, truediv, floordiv, mod, pow, average, maximum, minimum, logical_and,
    logical_or, logical_xor, squared_difference, logaddexp, or eval with an expression, see `Eval`.
    eval_for_output_loss: whether the sources, such as fast_bw, have losses, of which the expression
    makes that of this layer, for the loss via_layer.
    """

    kind: str
    eval_for_output_loss: bool = False

    @property
    def _name(self) -> str:
        return _SYMBOLS.get(self.kind, self.kind)

    def open(self, node: Any) -> None:
        """Check the kind."""
        if self._name != "eval" and self._name not in _KINDS:
            known = [*_KINDS, "eval"]
            raise Site(node).error(f"unknown kind {self.kind!r}{nearest(self.kind, known)}")
        if (self.kind == "eval") != (self.eval is not None):
            raise Site(node).error(
                f"found kind {self.kind!r}, needed 'eval' and an expression in 'eval', or neither"
            )

        if self.eval_for_output_loss:
            self._check_losses(node)

    def infer(self, site: Site) -> Data:
        """Return the template with the dims of all sources, changed by out_type."""
        if self.kind != "eval":
            self._check_dtypes(site)
        return super().infer(site)

    def _check_dtypes(self, site: Site) -> None:
        """Raise NetworkError where the sources are not what the operation is one of."""
        check_one_dtype(site, self.kind)
        logical = self._name.startswith("logical")
        for x in site.sources if len(site.sources) > 1 else []:
            if (x.dtype == "bool") != logical and (logical or self._name != "mul"):
                needed = "bool; try the layer 'compare'" if logical else "numbers; try 'cast'"
                raise site.error(f"found source {x} for the kind {self.kind!r}, needed {needed}")

    def _check_losses(self, node: Any) -> None:
        """Raise NetworkError where there are not the losses of all sources, and an expression."""
        if self.kind != "eval":
            raise Site(node).error(f"found eval_for_output_loss for kind {self.kind!r}, not 'eval'")
        for source in node.sources:
            if not losses.computes_loss(source):
                raise Site(node).error(
                    f"found eval_for_output_loss for {source}, which has no loss, needed fast_bw"
                )

    def call(self, site: Site) -> Data:
        """Return the result, and keep the loss where there is one."""
        if self.eval_for_output_loss:
            frame, sources = site.frame, site.node.sources
            assert frame is not None
            found = [frame.hidden(n, n, "loss") for n in sources]
            tensor = evaluated(site, self.eval, self.eval_locals, found, found[0])
            site.set_state("loss", replace(found[0], tensor=tensor))
        return super().call(site)

    def combined(self, site: Site, datas: list[Data], out: Data) -> Any:
        """Return the tensor, with the dims of out."""
        if self.kind == "eval":
            return super().combined(site, datas, out)
        datas, apart = in_common_beam(datas)
        if apart is not None:
            out = replace(out, dims=with_hypotheses(out.dims))
        tensor = reduce(_KINDS[self._name], [d.tensor for d in _aligned(datas, out)])
        tensor = tensor / len(datas) if self._name == "average" else tensor
        return tensor if apart is None else replace(out, tensor=tensor).together(apart).tensor


@register("eval")
@dataclass(frozen=True, kw_only=True)
class Eval(_Combined):
    """A Python expression of the sources, `source(0)`, `source(1)`, ... with TensorFlow as `tf`.

    eval: the expression, or a function of `source` and `self`; recipes and configs are code, and so
    is this. eval_locals: further names in it. out_type: what of the template differs, see `typed`,
    or a function, see `typed_by`; without a source its shape says all, and has a batch unless
    batch_dim_axis is None.
    source(i) has the dims of all sources and, of size 1, those that the shape in out_type adds;
    source(i, auto_convert=False) its own ones, which need not go together with the others' if
    out_type has a shape: then it says what differs from the first source. `self.network` has
    get_config(), cond_on_train(function, function), train_flag and global_train_step.
    """

    eval: Any
