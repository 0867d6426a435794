"""The dot product of two layers over named axes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from returnn_lite.axes import resolve
from returnn_lite.contract import contract, matched
from returnn_lite.data import Data, next_time
from returnn_lite.dim import BATCH, Dim
from returnn_lite.layers.base import Layer, register
from returnn_lite.lazy import tf
from returnn_lite.site import Site


@register("dot")
@dataclass(frozen=True, kw_only=True)
class Dot(Layer):
    """The sum over axes of the product of two sources; padding does not count in it.

    in: float [shared..., var1..., red1...] and [shared..., red2..., var2...], with the axes in any
    order; out: float [shared..., var1..., var2...]. reduce: axes of both that are summed over; or
    red1, red2: those of the first and of the second source, in turn. var1, var2: axes that only one
    of them has; by default, or as "auto", all that the other lacks: before version 14, also of that
    size. What is left are axes of both: the same ones, or of equal size. add_var2_if_empty: with
    axes in var1 and var2, whether there is an axis of size 1 where var2 finds none. debug: without
    effect; `describe` shows all dims. A Dim in reduce, red1 or red2 may be that of the classes of
    sparse data, which are then one-hot.

    An axis in both var1 and var2 is, for the second source, another axis of the same length.
    """

    newer: ClassVar[Mapping[str, tuple[int, Any]]] = {"add_var2_if_empty": (3, False)}
    reduce: Any = None
    red1: Any = None
    red2: Any = None
    var1: Any = "auto"
    var2: Any = "auto"
    add_var2_if_empty: bool = True
    debug: bool = False

    def infer(self, site: Site) -> Data:
        """Return the template, with the axes that are left."""
        if len(site.node.sources) != 2:
            raise site.error(f"found {len(site.node.sources)} sources, needed two")
        if (self.reduce is None) == (self.red1 is None or self.red2 is None):
            raise site.error("needed the option 'reduce', or both of 'red1' and 'red2'")
        a, b = (x.template() for x in self._inputs(site))
        red = [self._axes(site, word, x) for word, x in zip(self._reduced(), (a, b), strict=True)]
        pairs = matched(red[1], red[0])
        if pairs is None:
            pairs = self._by_length(site, red, a, b)
        var = self._var(site, a, b, red)
        taken = [{*v, *r} for v, r in zip(var, red, strict=True)]
        rest = [[d for d in x.dims if d not in t] for x, t in zip((a, b), taken, strict=True)]
        shared = matched(rest[1], rest[0])
        if shared is None:
            raise site.error(
                f"found axes {rest[0]} of {a} and {rest[1]} of {b} besides, needed the same ones; "
                "try var1 and var2"
            )
        names = {**pairs, **shared}
        for i, dim in enumerate(var[1]):
            if dim in a.dims:
                names[dim] = site.node.dim(dim.kind, f"var2:{i}", dim.size)
        dims = [*rest[0], *var[0], *(names.get(d, d) for d in var[1])]
        added = None
        if not var[1] and self.add_var2_if_empty and self.var2 != "auto":
            added = site.node.dim("feature", "var2", 1)
            dims.append(added)
        site.node.resolved["dot"] = names, red[0], added
        return _out(site, a, b, dims)

    def _inputs(self, site: Site) -> list[Data]:
        """Return the sources; of sparse data whose classes are summed over, one-hot vectors."""
        datas = [site.data(n) for n in site.node.sources]
        dtype = next((x.dtype for x in datas if x.sparse_dim is None), "float32")
        return [_one_hot(x, w, dtype) for x, w in zip(datas, self._reduced(), strict=True)]

    def _reduced(self) -> tuple[Any, Any]:
        return (self.red1, self.red2) if self.reduce is None else (self.reduce, self.reduce)

    def _axes(self, site: Site, word: Any, x: Data) -> list[Dim]:
        return resolve(word, x, str(site.node))

    def _by_length(self, site: Site, red: list[list[Dim]], a: Data, b: Data) -> dict[Dim, Dim]:
        """Return the pairs of axes that are summed over, where some are only of equal length."""
        sizes = [[d.size for d in dims] for dims in red]
        if sizes[0] != sizes[1]:
            raise site.error(
                f"found axes {red[0]} of {a} and {red[1]} of {b} to sum over, needed the same sizes"
            )
        return dict(zip(red[1], red[0], strict=True))

    def _var(self, site: Site, a: Data, b: Data, red: list[list[Dim]]) -> list[list[Dim]]:
        """Return the axes that only one of the sources has."""
        found = []
        for word, x, other, reduced in ((self.var1, a, b, red[0]), (self.var2, b, a, red[1])):
            if word != "auto":
                found.append(self._axes(site, word, x))
                continue
            free = [d for d in x.dims if d not in reduced]
            theirs = [d for d in other.dims if d not in red[0] and d not in red[1]]
            found.append([d for d in free if not any(_same(site, d, t) for t in theirs)])
        if any(set(v) & set(r) for v, r in zip(found, red, strict=True)):
            raise site.error(f"found axes {found} in var1 and var2, needed others than in red")
        return found

    def call(self, site: Site) -> Data:
        """Return the product."""
        a, b = self._inputs(site)
        names, over, added = site.node.resolved["dot"]
        for old, new in names.items():
            if new.dynamic and new not in a.dims:
                site.run.lengths[new] = site.run.lengths[old]
        out = site.node.out
        assert out is not None
        if added is None:
            return contract(site, a, b, names=names, over=over, out=out)
        x = contract(site, a, b, names=names, over=over, out=out.without(added))
        return replace(out, dims=(*x.dims, added), beam=x.beam, tensor=x.tensor[..., None])


def _same(site: Site, one: Dim, two: Dim) -> bool:
    """Whether an axis is that of another source, too.

    By size alone before version 14, then where a Dim of the config means both.
    """
    if site.node.scope.behavior_version < 14:
        return one is two or (one.size is not None and one.size == two.size)
    return one is two or any(d.means(one) and d.means(two) for d in site.node.scope.named)


def _one_hot(x: Data, word: Any, dtype: str) -> Data:
    """Return sparse data as vectors, where a Dim is that of their classes; other data as it is."""
    classes = x.sparse_dim
    if classes is None or not isinstance(word, Dim) or not word.means(classes):
        return x
    out = replace(x, dims=(*x.dims, classes), dtype=dtype, sparse_dim=None, vocab=None)
    if x.tensor is None:
        return out
    return replace(out, tensor=tf.one_hot(x.tensor, classes.size, dtype=dtype))


def _out(site: Site, a: Data, b: Data, dims: list[Dim]) -> Data:
    """Return the template with the given dims; its feature dim is the last one of fixed size."""
    time = next((x.time_dim for x in (a, b) if x.time_dim in dims), next_time(dims))
    fixed = [d for d in dims if d.size is not None and d is not time and d is not BATCH]
    return Data(
        name=site.node.path,
        dims=tuple(dims),
        dtype=a.dtype,
        time_dim=time,
        feature_dim=fixed[-1] if fixed else None,
    )
