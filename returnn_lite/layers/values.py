"""Layers of values as such: constant, cast, switch, the mode of the run, and print."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from returnn_lite.data import Data, common, next_feature, next_time
from returnn_lite.dim import BATCH, Dim
from returnn_lite.errors import nearest
from returnn_lite.infer import Unknown
from returnn_lite.layers.base import Layer, register
from returnn_lite.lazy import tf
from returnn_lite.naming import meant
from returnn_lite.site import Site

_DTYPES = ("float32", "float64", "float16", "bfloat16", "int32", "int64", "bool")


def _check_dtype(site: Site, dtype: str) -> None:
    if dtype not in _DTYPES:
        raise site.error(f"unknown dtype {dtype!r}{nearest(dtype, _DTYPES)}")


@register("constant")
@dataclass(frozen=True, kw_only=True)
class Constant(Layer):
    """The number `value`, without dims, or repeated over the dims of `shape`.

    shape: sizes or Dims, the last features. dtype: by default that of the number: bool, int32 or
    float32. with_batch_dim: for each sequence. sparse_dim: the classes of a whole number, a Dim or
    how many. shape_deps: layers that make Dims of `shape`.
    """

    default_from = ()
    refs = ("shape_deps",)
    value: bool | int | float = 0.0
    shape: tuple[int | Dim, ...] = ()
    dtype: str | None = None
    with_batch_dim: bool = False
    sparse_dim: Dim | int | None = None
    shape_deps: tuple[str, ...] = ()

    def infer(self, site: Site) -> Data:
        """Return the template with the dims of `shape`."""
        if site.node.sources:
            raise site.error("found sources in 'from', needed none")
        kinds: dict[type, str] = {bool: "bool", int: "int32", float: "float32"}
        dtype = self.dtype or kinds[type(self.value)]
        _check_dtype(site, dtype)
        last = len(self.shape) - 1
        made = tuple(
            n
            if isinstance(n, Dim)
            else site.node.dim("feature" if i == last else "spatial", f"static:{i}", n)
            for i, n in enumerate(meant(site, self.shape, "shape_deps"))
        )
        dims = made if BATCH in made or not self.with_batch_dim else (BATCH, *made)
        time = next_time(dims)
        out = Data(name=site.node.path, dims=dims, dtype=dtype, time_dim=time)
        if self.sparse_dim is None:
            return replace(out, feature_dim=next_feature(dims, time))
        if not dtype.startswith("int"):
            raise site.error(f"found sparse_dim for {dtype}, needed whole numbers")
        classes = self.sparse_dim
        if not isinstance(classes, Dim):
            classes = site.node.dim("feature", "classes", classes)
        return replace(out, sparse_dim=classes)

    def call(self, site: Site) -> Data:
        """Return the number in every place."""
        out = site.node.out
        assert out is not None
        meant(site, self.shape, "shape_deps")  # their lengths
        number = tf.constant(bool(self.value) if out.dtype == "bool" else self.value, out.dtype)
        return replace(out, tensor=tf.fill([site.size(d) for d in out.dims], number))


@register("cast")
@dataclass(frozen=True, kw_only=True)
class Cast(Layer):
    """The input as another dtype; numbers that are not whole are no classes."""

    dtype: str

    def infer(self, site: Site) -> Data:
        """Return the template with the dtype."""
        _check_dtype(site, self.dtype)
        x = replace(site.source, dtype=self.dtype, tensor=None)
        return x if self.dtype.startswith("int") else replace(x, sparse_dim=None, vocab=None)

    def call(self, site: Site) -> Data:
        """Return the cast values."""
        x = site.source
        return site.as_output(replace(x, tensor=tf.cast(x.tensor, self.dtype)))


@register("switch")
@dataclass(frozen=True, kw_only=True)
class Switch(Layer):
    """Of true_from and false_from, layers or numbers, the one that a bool layer says, by entry.

    condition: the layer, or True or False for one of them as a whole. out_type: for the reader, as
    in RETURNN: what comes out has the type of the choices.
    """

    default_from = ()
    refs = ("condition", "true_from", "false_from")
    condition: str | bool
    true_from: str | float | None
    false_from: str | float | None
    out_type: dict[str, Any] = field(default_factory=dict)

    def _parts(self, site: Site) -> tuple[Data, Data, Data]:
        """Return condition and both choices, a number with the dtype of the other one."""
        chosen = {}
        known = [site.ref(o) for o in ("true_from", "false_from") if o in site.node.refs]
        for option in ("true_from", "false_from"):
            if option in site.node.refs:
                chosen[option] = site.ref(option)
                continue
            number = getattr(self, option)
            kinds: dict[type, str] = {bool: "bool", int: "int32", float: "float32"}
            dtype = known[0].dtype if known else kinds.get(type(number), "float32")
            tensor = None if site.frame is None or number is None else tf.cast(number, dtype)
            chosen[option] = Data(name=option, dims=(), dtype=dtype, tensor=tensor)
        condition = chosen["true_from"]
        if isinstance(self.condition, str):
            condition = site.ref("condition")
        return condition, chosen["true_from"], chosen["false_from"]

    def infer(self, site: Site) -> Data:
        """Return the template with the dims of all three."""
        try:
            condition, yes, no = self._parts(site)
        except Unknown:
            return self._known(site)
        if isinstance(self.condition, bool):
            if (self.true_from if self.condition else self.false_from) is None:
                raise site.error(f"found None for condition {self.condition}, needed a choice")
            return yes.template() if self.condition else no.template()
        if None in (self.true_from, self.false_from) or condition.dtype != "bool":
            raise site.error(f"found condition {condition}, needed bool, and both choices")
        if yes.dtype != no.dtype:
            raise site.error(f"found {yes} and {no}, needed the same dtype; try 'cast'")
        return self._out(yes, common([yes.template(), no.template(), condition.template()])[0])

    def _known(self, site: Site) -> Data:
        """Return the template of the choice that is known, in a loop where the other is not yet."""
        for option in ("true_from", "false_from"):
            for node in site.node.refs.get(option, []):
                try:
                    x = site.data(node).template()
                except Unknown:
                    continue
                site.partial = True
                return x
        raise Unknown(site.node)

    def _out(self, yes: Data, joined: Data) -> Data:
        out = replace(joined, dtype=yes.dtype, sparse_dim=yes.sparse_dim, vocab=yes.vocab)
        return replace(out, tensor=None)

    def call(self, site: Site) -> Data:
        """Return the chosen entries."""
        condition, yes, no = self._parts(site)
        if isinstance(self.condition, bool):
            return yes if self.condition else no
        true, false, mask = common([yes, no, condition])
        out = self._out(yes, true)
        shapes = [tf.shape(d.tensor) for d in (true, false, mask)]
        shape = tf.broadcast_dynamic_shape(
            tf.broadcast_dynamic_shape(shapes[0], shapes[1]), shapes[2]
        )
        tensor = tf.broadcast_to(tf.where(mask.tensor, true.tensor, false.tensor), shape)
        return replace(out, beam=true.beam, tensor=tensor)


@register("train_flag")
@dataclass(frozen=True, kw_only=True)
class TrainFlag(Layer):
    """Whether the network is run in training: bool, without dims."""

    default_from = ()

    def infer(self, site: Site) -> Data:
        """Return the template bool."""
        return Data(name=site.node.path, dims=(), dtype="bool")

    def call(self, site: Site) -> Data:
        """Return the flag."""
        return Data(
            name=site.node.path, dims=(), dtype="bool", tensor=tf.constant(site.run.mode.train)
        )


@register("print")
@dataclass(frozen=True, kw_only=True)
class Print(Layer):
    """The input itself, which is printed to stderr whenever it is computed.

    summarize: how many entries of each dim are printed at both ends; None for all.
    extra_print_args: what is printed besides.
    """

    summarize: int | None = 99
    extra_print_args: tuple[Any, ...] = ()

    def infer(self, site: Site) -> Data:
        """Return the template of the input."""
        return site.source

    def call(self, site: Site) -> Data:
        """Return the input."""
        x = site.source
        summarize = -1 if self.summarize is None else self.summarize
        shown = tf.print(site.node.path, x.tensor, *self.extra_print_args, summarize=summarize)
        with tf.control_dependencies([shown] if shown is not None else []):
            return replace(x, tensor=tf.identity(x.tensor))
