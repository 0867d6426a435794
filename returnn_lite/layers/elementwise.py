"""Layers that compute every entry on its own: copy, compare, dropout; see also `combine`."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import reduce
from itertools import pairwise
from typing import Any

from returnn_lite.data import Data, common
from returnn_lite.errors import NetworkError, nearest
from returnn_lite.layers.base import Layer, register
from returnn_lite.lazy import tf
from returnn_lite.site import Site


def broadcast(datas: list[Data], *, any_dims: bool = True) -> Data:
    """Return the template of an elementwise result; the first dense data give its dtype.

    any_dims: False raises NetworkError where none of the data has all dims.
    """
    if not datas:
        raise NetworkError("found no source, needed one in 'from'")
    aligned = common([d.template() for d in datas])
    if not any_dims and all(len(d.dims) < len(aligned[0].dims) for d in datas):
        raise NetworkError(
            f"found {', '.join(map(str, datas))}, needed one that has all dims; "
            "try allow_broadcast_all_sources"
        )
    dense = next((d for d in aligned if d.sparse_dim is None), aligned[0])
    return replace(dense, tensor=None)


def check_one_dtype(site: Site, kind: str) -> None:
    """Raise NetworkError where the sources have several dtypes, which no operation takes."""
    found = dict.fromkeys(x.dtype for x in site.sources)
    if len(found) > 1:
        raise site.error(
            f"found sources of {' and '.join(found)} for the kind {kind!r}, needed one dtype; "
            "try the layer 'cast'"
        )


@register("copy")
@dataclass(frozen=True, kw_only=True)
class Copy(Layer):
    """The input itself; several sources are concatenated in the feature dim.

    extra_deps: layers that are computed whenever this one is. n_out: size of the feature dim, for
    the reader.
    """

    refs = ("extra_deps",)
    extra_deps: str | tuple[str, ...] = ()
    n_out: int | None = None

    def infer(self, site: Site) -> Data:
        """Return the template of the input."""
        x = site.source
        if self.n_out is not None and (x.classes is None or x.classes.size != self.n_out):
            raise site.error(f"found n_out {self.n_out}, needed that of {x}")
        return x

    def call(self, site: Site) -> Data:
        """Return the input."""
        for node in site.node.refs.get("extra_deps", []):
            site.data(node)
        return site.source


_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "equal": lambda a, b: tf.equal(a, b),
    "not_equal": lambda a, b: tf.not_equal(a, b),
    "less": operator.lt,
    "less_equal": operator.le,
    "greater": operator.gt,
    "greater_equal": operator.ge,
}


_SYMBOLS = {
    "==": "equal",
    "!=": "not_equal",
    "<>": "not_equal",
    "<": "less",
    "<=": "less_equal",
    ">": "greater",
    ">=": "greater_equal",
}


@register("compare")
@dataclass(frozen=True, kw_only=True)
class Compare(Layer):
    """Whether each source relates to the next one, and the last one to a value: bool, by entry.

    kind: equal, not_equal, less, less_equal, greater, greater_equal, or its symbol.
    allow_broadcast_all_sources: False raises an error where no source has all dims.
    """

    kind: str = "equal"
    value: float | int | bool | None = None
    allow_broadcast_all_sources: bool = True

    @property
    def _name(self) -> str:
        return _SYMBOLS.get(self.kind, self.kind)

    def infer(self, site: Site) -> Data:
        """Return the template with dtype bool."""
        if self._name not in _COMPARISONS:
            raise site.error(f"unknown kind {self.kind!r}{nearest(self.kind, _COMPARISONS)}")
        if len(site.node.sources) + (self.value is not None) < 2:
            raise site.error("needed two sources, or one and the option 'value'")
        check_one_dtype(site, self.kind)
        return self._out(site.sources)

    def _out(self, datas: list[Data]) -> Data:
        out = broadcast(datas, any_dims=self.allow_broadcast_all_sources)
        return replace(out, dtype="bool", sparse_dim=None, vocab=None)

    def call(self, site: Site) -> Data:
        """Return the comparisons, all of which have to hold."""
        datas = common(site.sources)
        values = [d.tensor for d in datas]
        if self.value is not None:
            values.append(tf.cast(self.value, values[-1].dtype))
        found = [_COMPARISONS[self._name](a, b) for a, b in pairwise(values)]
        return replace(self._out(datas), tensor=reduce(tf.logical_and, found))


@register("dropout")
@dataclass(frozen=True, kw_only=True)
class Dropout(Copy):
    """The input; in training, the share of it that the option `dropout` says is dropped."""
