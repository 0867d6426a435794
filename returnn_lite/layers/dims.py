"""Layers that add, remove or reorder dims, or say what they mean."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from returnn_lite.axes import batch_major, resolve
from returnn_lite.data import Data, next_feature, next_time
from returnn_lite.dim import BATCH, Dim
from returnn_lite.layers.base import Layer, register
from returnn_lite.lazy import tf
from returnn_lite.naming import let_mean
from returnn_lite.node import Node
from returnn_lite.site import Site


@register("squeeze")
@dataclass(frozen=True, kw_only=True)
class Squeeze(Layer):
    """The input without some dims of size 1; with axis "auto", without all of them.

    A dynamic dim may be one of those that axis says: all sequences have one entry then.
    allow_no_op: whether there may be none.
    """

    axis: Any
    allow_no_op: bool = False

    def infer(self, site: Site) -> Data:
        """Return the template without the dims."""
        x = site.source
        if self.axis == "auto":
            dims = [d for d in x.dims if d.size == 1]
            site.node.resolved["axis"] = dims
        elif self.allow_no_op and isinstance(self.axis, str):
            dims = site.axes_of(self.axis.rstrip("?") + "?", x)
        else:
            dims = site.axes_of(self.axis, x)
        if any(d.size != 1 and not d.dynamic for d in dims) or not (dims or self.allow_no_op):
            raise site.error(f"found {dims} for axis {self.axis!r} in {x}, needed dims of size 1")
        return x.with_dims([d for d in x.dims if d not in dims])

    def call(self, site: Site) -> Data:
        """Return the values with another shape."""
        x = site.source
        dims = site.axes_of(self.axis, x)
        if not dims:
            return x
        checks = [self._check(site, x, d) for d in dims if d.dynamic]
        with tf.control_dependencies([c for c in checks if c is not None]):
            tensor = tf.squeeze(x.tensor, [x.axis(d) for d in dims])
        kept = tuple(d for d in x.dims if d not in dims)
        return site.as_output(replace(x, dims=kept, tensor=tensor))

    def _check(self, site: Site, x: Data, dim: Dim) -> Any:
        """Return the check that a sequence has one entry of a dynamic dim."""
        text = f"found more than one entry of {dim.name}, needed one in each sequence"
        entries = tf.shape(x.tensor)[x.axis(dim)]
        return tf.debugging.assert_equal(entries, 1, message=f"{site.node}: {text}")


@register("expand_dims")
@dataclass(frozen=True, kw_only=True)
class ExpandDims(Layer):
    """The input with one dim more, along which it repeats.

    axis: "F" for a dim behind the features, "T" or "spatial" for one before the last dim (behind
    it, if the input is sparse), or a position, counted with the batch in front. dim: its size, or
    a Dim of that size by which others may name it.
    """

    axis: str | int
    dim: int | Dim = 1

    def infer(self, site: Site) -> Data:
        """Return the template with the new dim."""
        size = self.dim.size if isinstance(self.dim, Dim) else self.dim
        if size is None:
            raise site.error(
                f"found dim {self.dim}, whose size differs between sequences, needed a fixed size"
            )
        if size < 1:
            raise site.error(f"found dim {self.dim}, needed 1 or more")
        x = site.source
        word = self.axis.lower() if isinstance(self.axis, str) else None
        feature = (
            word == "f"
        )  # RETURNN's: "feature" adds a dim behind the features, but no feature.
        if word in ("f", "feature") and x.sparse_dim is None:
            place = len(x.dims) if x.feature_dim is None else x.axis(x.feature_dim) + 1
        elif word in ("t", "time", "spatial"):
            place = max(len(x.dims) - (x.sparse_dim is None), 0)
        elif isinstance(self.axis, int) and 0 <= self.axis <= len(x.dims):
            x, place = x.ordered(batch_major(x)), self.axis
            feature = x.feature_dim in x.dims[place : place + 1]
        else:
            raise site.error(f"found axis {self.axis!r} for {x}, needed 'F', 'T' or a position")
        new = site.node.dim("feature" if feature else "spatial", "expand_dims", size)
        if isinstance(self.dim, Dim):
            let_mean(site, self.dim, new)
        site.node.resolved["axis"] = new
        dims = (*x.dims[:place], new, *x.dims[place:])
        out = x.with_dims(dims)
        if word in ("t", "time", "spatial") and x.time_dim is None:
            out = replace(out, time_dim=next_time(dims) or new)
        if feature and x.feature_dim is None and x.sparse_dim is None:
            out = replace(out, feature_dim=next_feature(dims, out.time_dim))
        return out

    def call(self, site: Site) -> Data:
        """Return the values, repeated along the new dim."""
        x, new = site.source, site.node.resolved["axis"]
        tensor = tf.repeat(x.tensor[None], new.size, axis=0) if new.size > 1 else x.tensor[None]
        return site.as_output(replace(x, dims=(new, *x.dims), tensor=tensor))


@register("swap_axes")
@dataclass(frozen=True, kw_only=True)
class SwapAxes(Layer):
    """The input with two dims, axis1 and axis2, in each other's place.

    Where the features are the last fixed dim, they still are it afterwards, as in RETURNN.
    """

    axis1: Any
    axis2: Any

    def infer(self, site: Site) -> Data:
        """Return the template in the new order."""
        x = site.source
        if site.axis_of(self.axis1, x, "axis1") is site.axis_of(self.axis2, x, "axis2"):
            raise site.error(f"found axes {self.axis1!r} and {self.axis2!r}, needed different ones")
        return self._swapped(site)

    def _swapped(self, site: Site) -> Data:
        x = site.source
        a, b = site.axis_of(self.axis1, x, "axis1"), site.axis_of(self.axis2, x, "axis2")
        return x.with_dims([{a: b, b: a}.get(d, d) for d in x.dims])

    def call(self, site: Site) -> Data:
        """Return the values in the new order."""
        return site.as_output(site.source)


@register("name_axis")
@dataclass(frozen=True, kw_only=True)
class NameAxis(Layer):
    """The input with a dim of its own in place of one, of the same lengths.

    description: its name, by which "stag:" finds it. Layers that join the input with another one
    that has the old dim then have both.
    """

    axis: Any
    description: str

    def infer(self, site: Site) -> Data:
        """Return the template with the new dim."""
        x = site.source
        axis = site.axis_of(self.axis, x)
        if axis.kind == "batch" or not self.description:
            raise site.error(
                f"found axis {self.axis!r} of {x}, needed one of a sequence, and a name"
            )
        return x.renamed(axis, self._new(site, axis))

    def _new(self, site: Site, axis: Dim) -> Dim:
        return site.node.dim(axis.kind, self.description, axis.size)

    def call(self, site: Site) -> Data:
        """Return the values with the new dim."""
        x = site.source
        axis = site.axis_of(self.axis, x)
        new = self._new(site, axis)
        if axis.dynamic:
            site.run.lengths[new] = site.run.lengths[axis]
        return x.renamed(axis, new)


@register("transpose")
@dataclass(frozen=True, kw_only=True)
class Transpose(Layer):
    """The input in another order of its dims.

    perm: {axis: the axis whose place it goes to}, or a list of all axes in their order.
    """

    perm: Any

    def infer(self, site: Site) -> Data:
        """Return the template in the new order."""
        x = site.source
        where = str(site.node)
        if isinstance(self.perm, dict):
            pairs = [
                (resolve(a, x, where)[0], resolve(b, x, where)[0]) for a, b in self.perm.items()
            ]
            goes = {b: a for a, b in pairs}
            order = [goes.get(d, d) for d in x.dims]
        else:
            order = resolve(list(self.perm), x, where)
        if sorted(map(id, order)) != sorted(map(id, x.dims)):
            raise site.error(f"found perm {self.perm!r} for {x}, needed every dim once")
        return replace(x, dims=tuple(order), tensor=None)

    def call(self, site: Site) -> Data:
        """Return the values in the new order."""
        return site.as_output(site.source)


@register("reinterpret_data")
@dataclass(frozen=True, kw_only=True)
class ReinterpretData(Layer):
    """The same values with another meaning.

    set_axes: {"T" or "F": the axis that this means now, None for none}; switch_axes: two of these
    that exchange their meaning, such as "tf". set_sparse: whether whole numbers are class indices.
    set_sparse_dim, increase_sparse_dim: the number of classes, or a Dim; how many more there are.
    size_base: a layer whose dynamic dims those of the input are, in their order; it may be shorter.
    set_dim_tags: {axis: a Dim that it is from here on}, or such pairs; what made the Dim has the
    same lengths. For the batch, it has as many entries as there are sequences.
    enforce_batch_major, enforce_time_major: which dim is the first.
    """

    refs = ("size_base",)
    set_axes: dict[str, Any] | None = None
    switch_axes: str | tuple[str, ...] | None = None
    set_sparse: bool | None = None
    set_sparse_dim: int | Dim | None = None
    increase_sparse_dim: int | None = None
    size_base: str | None = None
    set_dim_tags: dict[Any, Dim] | tuple[tuple[Any, ...], ...] | None = None
    enforce_batch_major: bool = False
    enforce_time_major: bool = False

    def infer(self, site: Site) -> Data:
        """Return the template with the new meaning."""
        x = site.source
        if self.enforce_batch_major and self.enforce_time_major:
            raise site.error("found both of enforce_batch_major and enforce_time_major, needed one")
        x = self._first(site, x)
        time, feature = self._roles(site, x)
        x = replace(x, time_dim=time, feature_dim=feature)
        pairs = self._new_dims(site, x)
        site.node.resolved["pairs"] = pairs
        for old, new in pairs:
            x = _template_as(x, old, new)
        return self._sparse(site, x)

    def _first(self, site: Site, x: Data) -> Data:
        """Return x with the batch or the time in front."""
        if self.enforce_batch_major and x.has_batch:
            return x.first(BATCH)
        if self.enforce_time_major:
            if x.time_dim is None:
                raise site.error(f"found source {x}, needed a time dim for enforce_time_major")
            return x.first(x.time_dim)
        return x

    def _roles(self, site: Site, x: Data) -> tuple[Dim | None, Dim | None]:
        """Return the dims that "T" and "F" mean from here on."""
        roles: dict[str, Dim | None] = {"T": x.time_dim, "F": x.feature_dim}
        if self.switch_axes is not None:
            if sorted(s.upper() for s in self.switch_axes) != ["F", "T"]:
                raise site.error(f"found switch_axes {self.switch_axes!r}, needed 'tf'")
            roles = {"T": x.feature_dim, "F": x.time_dim}
        for key, word in sorted((self.set_axes or {}).items()):
            name = {"time_dim_axis": "T", "feature_dim_axis": "F"}.get(key, key.upper())
            if name == "B" and word is not None and resolve(word, x, str(site.node)) == [BATCH]:
                continue
            if name not in roles:
                raise site.error(f"found {key!r}: {word!r} in set_axes, needed 'T' or 'F'")
            now = replace(x, time_dim=roles["T"], feature_dim=roles["F"])
            roles[name] = None if word is None else site.axis_of(word, now, f"set_axes {name}")
        return roles["T"], roles["F"]

    def sees_padding(self, node: Node) -> bool:
        """Whether lengths may be others than before."""
        return self.size_base is not None or self.set_dim_tags is not None

    def _new_dims(self, site: Site, x: Data) -> list[tuple[Dim, Dim]]:
        """Return which dims are another dim from here on."""
        if self.set_dim_tags is not None:
            where = f"{site.node}: set_dim_tags"
            tags = dict(self.set_dim_tags)
            found = [(resolve(word, x, where), dim) for word, dim in tags.items()]
            return [(old, self._tagged(site, old, dim)) for dims, dim in found for old in dims]
        if self.size_base is None:
            return []
        base = site.ref("size_base")
        old, new = ([d for d in y.dims if d.dynamic] for y in (x, base))
        if not old or len(old) != len(new):
            raise site.error(f"found size_base {base} for {x}, needed as many dynamic dims")
        return list(zip(old, new, strict=True))

    def _tagged(self, site: Site, old: Dim, named: Dim) -> Dim:
        """Return the dim that a Dim of the config means, a new one where no layer made it yet."""
        means = site.node.scope.named.get(named, named)
        anew = means is named and not named.formula and named not in site.node.scope.stream_dims()
        fits = means.size == old.size or (anew and named.size is None)
        if not fits or (old.kind == "batch" and old is not BATCH):
            raise site.error(f"found {named} for {old} in set_dim_tags, needed one of its size")
        if named is BATCH:
            return BATCH
        if named.means(old):
            return old
        scope = site.node.scope
        if named.formula is not None and named.leaves() <= scope.stream_dims():
            return named
        if named not in scope.named:
            kind = named.kind if old is BATCH else old.kind
            let_mean(site, named, site.node.dim(kind, named.name, old.size))
        return scope.named[named]

    def _sparse(self, site: Site, x: Data) -> Data:
        """Return the template with the classes that the options say."""
        given = self.set_sparse_dim
        size = given.size if isinstance(given, Dim) else given
        if self.set_sparse is False:
            x = replace(x, sparse_dim=None, vocab=None)
            return replace(x, feature_dim=x.feature_dim or next_feature(x.dims, x.time_dim))
        if self.set_sparse and x.sparse_dim is None:
            size = size or (x.feature_dim.size if x.feature_dim is not None else None)
            if size is None:
                raise site.error(f"found source {x}, needed set_sparse_dim for set_sparse")
            x = replace(x, feature_dim=None)
        if size is None and self.increase_sparse_dim is None:
            return x
        if not x.dtype.startswith("int"):
            raise site.error(f"found source {x}, needed whole numbers for set_sparse_dim")
        if size is None and x.sparse_dim is None:
            raise site.error(f"found source {x}, needed sparse data for increase_sparse_dim")
        size = (size or x.sparse_dim.size or 0) + (self.increase_sparse_dim or 0)  # type: ignore[union-attr]
        if isinstance(given, Dim) and given.size == size:
            return replace(x, sparse_dim=given, vocab=None)
        if x.sparse_dim is not None and x.sparse_dim.size == size:
            return x
        return replace(x, sparse_dim=site.node.dim("feature", "classes", size), vocab=None)

    def call(self, site: Site) -> Data:
        """Return the input with the new meaning."""
        x = site.source
        for old, new in site.node.resolved["pairs"]:
            x = self._renamed(site, x, old, new)
        return site.as_output(x)

    def _renamed(self, site: Site, x: Data, old: Dim, new: Dim) -> Data:
        if old is BATCH and new.dynamic:
            rows = tf.shape(x.tensor)[x.axis(old)]
            site.run.set_lengths(new, tf.fill([site.run.batch], rows))
            x = replace(x, beam=None)
        if new is BATCH:
            text = f"{site.node}: found entries of {old.name}, needed as many as sequences"
            rows = tf.shape(x.tensor)[x.axis(old)]
            check = tf.debugging.assert_equal(rows, site.run.batch, message=text)
            with tf.control_dependencies([check] if check is not None else []):
                return replace(x.renamed(old, new), tensor=tf.identity(x.tensor))
        if old is new or not old.dynamic:
            return x.renamed(old, new)
        if new.formula is None and new not in site.run.lengths:  # a Dim that no other layer made
            site.run.lengths[new] = site.run.lengths[old]
        found, needed = site.run.lengths[old].tensor, site.run.lengths[new].tensor
        text = f"{site.node}: found lengths of {old.name}, needed at least those of {new.name}"
        check = tf.debugging.assert_less_equal(needed, found, message=text)
        with tf.control_dependencies([check] if check is not None else []):
            fitting: Data = site.run.fitting(x, old, new)
            return replace(fitting, tensor=tf.identity(fitting.tensor))


def _template_as(x: Data, old: Dim, new: Dim) -> Data:
    """Return a template with a dim in place of another; T is found anew where one is the batch."""
    x = x.renamed(old, new)
    return replace(x, time_dim=next_time(x.dims)) if BATCH in (old, new) else x
