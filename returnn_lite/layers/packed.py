"""A dim and the batch as one, without padding, and back again."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from returnn_lite.data import Data, next_time
from returnn_lite.dim import BATCH, Dim, packed
from returnn_lite.layers.base import Layer, register
from returnn_lite.layers.gather import take
from returnn_lite.lazy import tf
from returnn_lite.node import Node
from returnn_lite.site import Site


def packed_template(x: Data, dim: Dim, *, batch_major: bool = True) -> Data:
    """Return the template of x with a dim and the batch as one, in front."""
    dims = (packed(dim, batch_major=batch_major), *(d for d in x.dims if d not in (BATCH, dim)))
    time = x.time_dim if x.time_dim in dims else next_time(dims)
    return replace(x, dims=dims, time_dim=time, tensor=None)


def pack(site: Site, x: Data, dim: Dim, *, batch_major: bool = True) -> Data:
    """Return x with a dim and the batch as one: the valid entries alone."""
    out = packed_template(x, dim, batch_major=batch_major)
    rows = x.ordered([*_order(dim, batch_major=batch_major), *out.dims[1:]]).tensor
    valid = _valid(site, x, dim, rows, batch_major=batch_major)
    tensor = tf.boolean_mask(rows, valid)
    site.run.rows[out.dims[0]] = tf.where(valid)[:, 0 if batch_major else 1]
    count = Data(name="count", dims=(), dtype="int32", tensor=tf.shape(tensor)[0])
    site.run.lengths[out.dims[0]] = count
    return replace(out, tensor=tensor)


def _order(dim: Dim, *, batch_major: bool) -> list[Dim]:
    return [BATCH, dim] if batch_major else [dim, BATCH]


def _valid(site: Site, x: Data, dim: Dim, rows: Any, *, batch_major: bool) -> Any:
    """Return bool [batch, entries], or the other way round: what is no padding."""
    order = _order(dim, batch_major=batch_major)
    shape = tf.shape(rows)[:2]
    if not dim.dynamic:
        return tf.fill(shape, True)
    like = Data(name="valid", dims=tuple(order), beam=x.beam, tensor=tf.zeros(shape))
    return site.run.mask(dim, like)


def unpack(site: Site, x: Data, at: Dim) -> Data:
    """Return x with the batch and the dim of which a packed dim is made; 0 behind the ends."""
    (dim,) = at.parts
    batch_major = at is packed(dim, batch_major=True)
    batch = site.run.batch * (x.beam.size if x.beam is not None else 1)
    sizes = [batch if d is BATCH else site.size(d) for d in _order(dim, batch_major=batch_major)]
    valid = _valid(site, x, dim, tf.zeros(sizes), batch_major=batch_major)
    rows = x.first(at).tensor
    shape = tf.concat([sizes, tf.shape(rows)[1:]], axis=0)
    tensor = tf.tensor_scatter_nd_update(tf.zeros(shape, rows.dtype), tf.where(valid), rows)
    dims = (*_order(dim, batch_major=batch_major), *(d for d in x.dims if d is not at))
    return replace(x, dims=dims, time_dim=dim, tensor=tensor)


@register("flatten_batch")
@dataclass(frozen=True, kw_only=True)
class FlattenBatch(Layer):
    """A dim and the batch as one dim, without the padding of shorter sequences.

    in: [batch, time, ...]; out: [frames, ...], the frames of all sequences. axis: the dim.
    batch_major: whether those of a sequence lie side by side, rather than those of a time.
    """

    axis: Any = "T"
    batch_major: bool = True

    def stays(self, node: Node) -> bool:
        """Return True: the batch is that of a step."""
        return True

    def infer(self, site: Site) -> Data:
        """Return the template with the packed dim."""
        x = site.source
        axis = site.axis_of(self.axis, x)
        if not x.has_batch or axis is BATCH:
            raise site.error(f"found axis {self.axis!r} of {x}, needed one beside the batch")
        return packed_template(x, axis, batch_major=self.batch_major)

    def call(self, site: Site) -> Data:
        """Return the entries that are no padding."""
        x = site.source
        return pack(site, x, site.axis_of(self.axis, x), batch_major=self.batch_major)


@register("unflatten_batch")
@dataclass(frozen=True, kw_only=True)
class UnflattenBatch(Layer):
    """The inverse of flatten_batch: [frames, ...] as [batch, time, ...], 0 behind the ends."""

    def stays(self, node: Node) -> bool:
        """Return True: the batch is that of a step."""
        return True

    def _packed(self, site: Site, x: Data) -> Dim:
        found = [d for d in x.dims if d.kind == "batch" and d.parts]
        if len(found) != 1:
            raise site.error(f"found source {x}, needed the output of a flatten_batch")
        return found[0]

    def infer(self, site: Site) -> Data:
        """Return the template with batch and time."""
        x = site.source
        at = self._packed(site, x)
        (dim,) = at.parts
        order = _order(dim, batch_major=at is packed(dim, batch_major=True))
        dims = (*order, *(d for d in x.dims if d is not at))
        return replace(x, dims=dims, time_dim=dim)

    def call(self, site: Site) -> Data:
        """Return the sequences."""
        x = site.source
        return unpack(site, x, self._packed(site, x))


@register("split_batch_time")
@dataclass(frozen=True, kw_only=True)
class SplitBatchTime(UnflattenBatch):
    """As unflatten_batch, of the frames of a layer base, as flatten_batch or merge_dims gives them.

    In RETURNN the frames behind the ends are among the input's.
    """

    refs = ("base",)
    base: str = "data"

    def infer(self, site: Site) -> Data:
        """Return the template with the batch and time of base."""
        out, base = super().infer(site), site.ref("base")
        if out.time_dim is not base.time_dim:
            raise site.error(f"found source {site.source}, needed the frames of {base}")
        return out


@register("unflatten_nd")
@dataclass(frozen=True, kw_only=True)
class UnflattenNd(Layer):
    """A dim as several, whose sizes differ between sequences: an image from its pixels in a row.

    in: [batch, entries, ...]; out: [batch, dims..., ...], the last of them running fastest. sizes:
    a layer, whole numbers [batch, num_axes]. in_dim: the dim. declare_same_sizes_as: by the number
    of the dim, a layer whose time dim it is.
    """

    refs = ("sizes",)
    sizes: str
    num_axes: int
    in_dim: Any = "T"
    declare_same_sizes_as: dict[int, str] = field(default_factory=dict)

    def stays(self, node: Node) -> bool:
        """Return True: the sizes are those of one sequence for each of the batch."""
        return True

    def open(self, node: Node) -> None:
        """Find the layers that have the dims."""
        for i, name in self.declare_same_sizes_as.items():
            if not 0 <= int(i) < self.num_axes:
                raise Site(node).error(f"found declare_same_sizes_as {i}, needed one of the axes")
            node.refs[f"same_as_{i}"] = [node.scope.get(name, str(node))]

    def _new(self, site: Site) -> list[Dim]:
        dims = []
        for i in range(self.num_axes):
            dim = site.node.dim("spatial", f"unflatten-nd:{i}")
            if f"same_as_{i}" in site.node.refs:
                same = site.ref(f"same_as_{i}")
                if same.time_dim is None:
                    raise site.error(f"found declare_same_sizes_as {same}, needed a time dim")
                dim = same.time_dim
            dims.append(dim)
        return dims

    def infer(self, site: Site) -> Data:
        """Return the template with the dims in place of the one."""
        x, sizes = site.source, site.ref("sizes")
        axis = site.axis_of(self.in_dim, x, "in_dim")
        rest = [d for d in sizes.dims if d is not BATCH]
        numbered = len(rest) == 1 and rest[0].size in (None, self.num_axes)
        if not numbered or not sizes.dtype.startswith("int"):
            raise site.error(f"found sizes {sizes}, needed whole numbers [batch, {self.num_axes}]")
        if not x.has_batch or axis is BATCH:
            raise site.error(f"found source {x}, needed a dim of each sequence")
        new = site.node.resolved["new"] = self._new(site)
        if any(d in x.dims for d in new) or len(set(new)) < len(new):
            raise site.error(f"found {new} in {x}, needed other dims")
        dims = (BATCH, *new, *(d for d in x.dims if d not in (BATCH, axis)))
        time = new[0] if x.time_dim in (axis, None) else x.time_dim
        return replace(x, dims=dims, time_dim=time, tensor=None)

    def _checked(self, site: Site, sizes: Any) -> Any:
        """Return int32 [batch, num_axes]; fails where there are not so many sizes."""
        text = f"{site.node}: found sizes of another number of dims, needed {self.num_axes}"
        check = tf.debugging.assert_equal(tf.shape(sizes)[1], self.num_axes, message=text)
        with tf.control_dependencies([check] if check is not None else []):
            return tf.identity(sizes)

    def call(self, site: Site) -> Data:
        """Return the entries, each in its place."""
        x, sizes, new = site.source, site.ref("sizes"), site.node.resolved["new"]
        axis, beam = site.axis_of(self.in_dim, x, "in_dim"), x.beam
        rest = next(d for d in sizes.dims if d is not BATCH)
        lengths = tf.cast(sizes.in_beam(beam).ordered([BATCH, rest]).tensor, tf.int32)
        lengths = self._checked(site, lengths)
        for i, dim in enumerate(new):
            if f"same_as_{i}" not in site.node.refs:
                site.run.set_lengths(dim, lengths[:, i], beam)
        ones = [1] * len(new)
        place, stride = tf.zeros([1, *ones], tf.int32), tf.ones_like(lengths[:, 0])
        for i in reversed(range(len(new))):
            steps = tf.range(site.run.entries(new[i]))
            steps = tf.reshape(steps, [1, *(-1 if j == i else 1 for j in range(len(new)))])
            place += tf.reshape(stride, [-1, *ones]) * steps
            stride *= lengths[:, i]
        index = Data(name="place", dims=(BATCH, *new), dtype="int32", beam=beam, tensor=place)
        found = take(site, x, index, axis)
        for dim in new:
            found = site.run.masked(found, dim)
        return site.as_output(found)
