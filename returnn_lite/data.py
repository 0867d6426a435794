"""Data: a tensor whose axes have meaning, or the template of one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from returnn_lite.beam import Beam, latest
from returnn_lite.dim import BATCH, HYPOTHESES, Dim
from returnn_lite.errors import NetworkError
from returnn_lite.lazy import tf


@dataclass(frozen=True, eq=False, kw_only=True)
class Data:
    """A tensor with named dims, or its template (tensor None).

    dims: one per axis, in the order of the tensor's axes; a dim occurs once. dtype: "float32",
    "int32", ... sparse_dim: where the values are class indices, the dim of the classes.
    feature_dim, time_dim: the axes that "F" and "T" mean. beam: the hypotheses hidden in the batch
    dim. available_for_inference: whether the data exist when a model is used. vocab: the names of
    the classes.
    """

    name: str
    dims: tuple[Dim, ...]
    dtype: str = "float32"
    sparse_dim: Dim | None = None
    feature_dim: Dim | None = None
    time_dim: Dim | None = None
    beam: Beam | None = None
    available_for_inference: bool = True
    vocab: tuple[str, ...] | None = None
    tensor: Any = None

    def __repr__(self) -> str:
        parts = [self._describe(d) for d in self.dims]
        text = f"[{','.join(parts)}]"
        if self.dtype != "float32":
            text += f", {self.dtype}"
        if self.sparse_dim is not None:
            text += f", dim {self.sparse_dim.size}"
        return text + (f", {self.beam}" if self.beam else "")

    def _describe(self, dim: Dim) -> str:
        if dim is self.feature_dim:
            return f"F|{dim.size}"
        if dim is self.time_dim:
            return f"T|{dim.size or repr(dim.name)}"
        return str(dim.size) if dim.size is not None else repr(dim)

    @property
    def feature(self) -> Dim:
        """The feature dim of data that have one."""
        assert self.feature_dim is not None
        return self.feature_dim

    @property
    def feature_size(self) -> int:
        """The size of the feature dim of data that have one."""
        assert self.feature.size is not None
        return self.feature.size

    @property
    def classes(self) -> Dim | None:
        """The dim that a layer's input size is: the feature dim, or the classes of sparse data."""
        return self.sparse_dim or self.feature_dim

    @property
    def has_batch(self) -> bool:
        """Whether a batch axis is among the dims."""
        return BATCH in self.dims

    @property
    def batch_dim(self) -> Dim | None:
        """The batch, or else the first dim that takes its place, such as that of chunks."""
        return BATCH if self.has_batch else next((d for d in self.dims if d.kind == "batch"), None)

    def template(self) -> Data:
        """Return the same without a tensor."""
        return replace(self, tensor=None)

    def axis(self, dim: Dim) -> int:
        """Return the position of a dim."""
        return self.dims.index(dim)

    def sizes(self) -> list[Any]:
        """Return the size of every axis, an int where it is fixed, else a scalar tensor."""
        if all(d.size is not None for d in self.dims):
            return [d.size for d in self.dims]
        shape = tf.unstack(tf.shape(self.tensor), len(self.dims))
        return [n if d.size is None else d.size for n, d in zip(shape, self.dims, strict=True)]

    def ordered(self, dims: Sequence[Dim]) -> Data:
        """Return the data with its axes in the given order."""
        dims = tuple(dims)
        if dims == self.dims:
            return self
        if self.tensor is None:
            return replace(self, dims=dims)
        permutation = [self.axis(d) for d in dims]
        return replace(self, dims=dims, tensor=tf.transpose(self.tensor, permutation))

    def last(self, dim: Dim) -> Data:
        """Return the data with one dim moved to the end."""
        return self.ordered([*(d for d in self.dims if d is not dim), dim])

    def first(self, *dims: Dim) -> Data:
        """Return the data with some dims moved to the front."""
        return self.ordered([*dims, *(d for d in self.dims if d not in dims)])

    def renamed(self, old: Dim, new: Dim) -> Data:
        """Return the data with another dim in the place of one of its dims."""
        if old is new:
            return self
        return replace(
            self,
            dims=tuple(new if d is old else d for d in self.dims),
            time_dim=new if self.time_dim is old else self.time_dim,
            feature_dim=new if self.feature_dim is old else self.feature_dim,
        )

    def with_feature(self, dim: Dim) -> Data:
        """Return a dense float template or data with another feature dim, as its last axis."""
        dims = (*(d for d in self.dims if d is not self.feature_dim), dim)
        dtype = self.dtype if self.dtype.startswith(("float", "bfloat")) else "float32"
        return replace(
            self, dims=dims, feature_dim=dim, sparse_dim=None, vocab=None, dtype=dtype, tensor=None
        )

    def without(self, dim: Dim) -> Data:
        """Return the template without one dim."""
        return self.with_dims([d for d in self.dims if d is not dim])

    def with_dims(self, dims: Sequence[Dim]) -> Data:
        """Return the template with other dims; a time dim that is gone is the first dynamic one.

        As in RETURNN, features that are the last fixed dim are so afterwards, whichever that is.
        """
        time, feature = self.time_dim, self.feature_dim
        if time is not None and time not in dims:
            time = next_time(dims)
        by_default = feature is next_feature(self.dims, self.time_dim)
        if feature is not None and (by_default or feature not in dims):
            feature = next_feature(dims, time)
        return replace(self, dims=tuple(dims), time_dim=time, feature_dim=feature, tensor=None)

    def in_beam(self, beam: Beam | None) -> Data:
        """Return the data for each hypothesis of a beam that descends from the data's own beam."""
        if beam is None or self.beam is beam or not self.has_batch:
            return self
        if self.tensor is None:
            return replace(self, beam=beam)
        axis = self.axis(BATCH)
        batch = tf.shape(self.tensor)[axis]
        if self.beam is None:
            index = tf.repeat(tf.range(batch), beam.size)
        else:
            rows = tf.range(batch // self.beam.size)[:, None] * self.beam.size
            index = tf.reshape(rows + beam.source_in(self.beam), [-1])
        return replace(self, beam=beam, tensor=tf.gather(self.tensor, index, axis=axis))

    def apart(self) -> Data:
        """Return the data with the hypotheses of each sequence as an axis behind that of the batch.

        So they meet data without a beam, which need not be repeated for each of them.
        """
        assert self.beam is not None
        axis, sizes = self.axis(BATCH), self.sizes()
        dims = (*self.dims[: axis + 1], HYPOTHESES, *self.dims[axis + 1 :])
        sizes[axis : axis + 1] = [sizes[axis] // self.beam.size, self.beam.size]
        return replace(self, dims=dims, beam=None, tensor=tf.reshape(self.tensor, sizes))

    def together(self, beam: Beam) -> Data:
        """Return the data with the hypotheses in the batch dim again: what `apart` undoes."""
        x = self.ordered(with_hypotheses(d for d in self.dims if d is not HYPOTHESES))
        axis, sizes = x.axis(BATCH), x.sizes()
        sizes[axis : axis + 2] = [sizes[axis] * beam.size]
        dims = tuple(d for d in x.dims if d is not HYPOTHESES)
        return replace(x, dims=dims, beam=beam, tensor=tf.reshape(x.tensor, sizes))


def with_hypotheses(dims: Iterable[Dim]) -> tuple[Dim, ...]:
    """Return dims with that of hypotheses behind the batch."""
    return tuple(x for d in dims for x in ((d, HYPOTHESES) if d is BATCH else (d,)))


def in_common_beam(datas: Sequence[Data]) -> tuple[list[Data], Beam | None]:
    """Return data for the same hypotheses, those apart where other data have none of their own.

    With the latter comes the beam, for `Data.together` of what is made of them; else None.
    """
    beam = latest([d.beam for d in datas])
    datas = [d if d.beam is None else d.in_beam(beam) for d in datas]
    if beam is None or not any(d.beam is None and d.has_batch for d in datas):
        return datas, None
    return [d if d.beam is None else d.apart() for d in datas], beam


def next_time(dims: Sequence[Dim]) -> Dim | None:
    """Return which dim "T" means by default: the first dynamic one."""
    return next((d for d in dims if d.dynamic), None)


def next_feature(dims: Sequence[Dim], time: Dim | None) -> Dim | None:
    """Return which dim "F" means by default: the last fixed one that is not time."""
    fixed = [d for d in dims if d.kind != "batch" and d.size is not None and d is not time]
    return fixed[-1] if fixed else None


def same_template(a: Data | None, b: Data | None) -> bool:
    """Whether two templates agree in everything but the tensor."""
    if a is None or b is None:
        return a is b
    keys = ("dims", "dtype", "sparse_dim", "feature_dim", "time_dim")
    return all(getattr(a, k) == getattr(b, k) for k in keys)


def common(datas: Sequence[Data]) -> list[Data]:
    """Return the data with equal dims, in one order, with size 1 where one of them lacks a dim.

    The dims are those of the one with the most, and what the others have besides. Feature dims of
    equal size, or of size 1, are taken for the same, and so are fixed dims of equal size, unless
    they are different Dims of a config; features of another size may be such a dim of the one with
    the most.
    Raises NetworkError for feature dims of different size.
    """
    beam = latest([d.beam for d in datas])
    datas = [d.in_beam(beam) for d in datas]
    base = max(datas, key=lambda d: len(d.dims))
    features = [d.feature_dim for d in datas if d.feature_dim is not None]
    fixed = [d.size for d in base.dims if d is not base.feature_dim]
    own = base.feature_dim
    others = [f for f in features if own is None or not f.differs(own)]
    fitting = [f for f in others if f is own or f.size not in fixed]
    feature = max(fitting or others, key=lambda f: f.size or 0) if others else None
    dims = [feature if d is base.feature_dim and feature else d for d in base.dims]
    maps = [_match(d, dims, feature) for d in datas]
    if feature and dims[-1].differs(feature) and dims[-1] in features:
        feature = dims[-1]  # as "F" means the last one
    time = next((m[d.time_dim] for d, m in zip(datas, maps, strict=True) if d.time_dim), None)
    result = []
    for data, mapping in zip(datas, maps, strict=True):
        tensor = None if data.tensor is None else _expanded(data, mapping, dims)
        aligned = replace(data, dims=tuple(dims), feature_dim=feature, time_dim=time, tensor=tensor)
        # One without batch is the same for all hypotheses.
        result.append(replace(aligned, beam=beam if aligned.has_batch else None))
    return result


def _expanded(data: Data, mapping: dict[Dim, Dim], dims: list[Dim]) -> Any:
    """Return the tensor with its axes in the order of dims, and size 1 for what it lacks."""
    places = [dims.index(mapping[d]) for d in data.dims]
    order = sorted(range(len(places)), key=places.__getitem__)
    tensor = data.tensor
    if order != list(range(len(order))):
        tensor = tf.transpose(tensor, order)
    if len(places) < len(dims):
        tensor = tensor[tuple(slice(None) if i in places else None for i in range(len(dims)))]
    return tensor


def _match(data: Data, dims: list[Dim], feature: Dim | None) -> dict[Dim, Dim]:
    """Map the dims of data to those in dims; add to dims what is not among them."""
    mapping = {d: d for d in data.dims if d in dims}
    # A dim of size 1, such as what a reduction kept, goes with what is left in the end.
    for dim in sorted(data.dims, key=lambda d: d.size == 1):
        if dim in mapping:
            continue
        taken = mapping.values()
        open_ = [d for d in dims if d not in taken and d.kind != "batch" and not d.differs(dim)]
        free = [d for d in open_ if d.size is not None]
        same = [d for d in free if d.size == dim.size]
        apart = feature is not None and feature.differs(dim)
        fits = feature is not None and dim.size in (1, feature.size)
        if dim is data.feature_dim and feature is not None and not apart and (fits or not same):
            if not fits:
                raise NetworkError(
                    f"found feature dims {dim.size} and {feature.size}, needed equal ones or 1"
                )
            if feature not in dims:
                dims.append(feature)
            mapping[dim] = feature
        elif dim.size is not None and same:
            mapping[dim] = same[0]
        elif dim.size == 1 and (spatial := [d for d in open_ if d is not feature]):
            mapping[dim] = next((d for d in spatial if d.dynamic), spatial[0])
        else:
            dims.insert(len(dims) - (bool(dims) and dims[-1] is feature and not apart), dim)
            mapping[dim] = dim
    return mapping


def fitted(x: Data, like: Data) -> Data:
    """Return x with the dims of another template, in their order; size 1 where it lacks one.

    Raises NetworkError where x has further dims, other sizes, or another dtype.
    """
    dims = list(like.dims)
    mapping = _match(x, dims, like.feature_dim)
    if len(dims) != len(like.dims) or x.dtype != like.dtype:
        raise NetworkError(f"found {x}, needed the dims and dtype of {like}")
    tensor = None if x.tensor is None else _expanded(x, mapping, dims)
    return replace(like, beam=x.beam, tensor=tensor)


def join_features(datas: Sequence[Data], dim: Dim) -> Data:
    """Return the data concatenated in the feature dim; `dim` has the sum of their sizes.

    The other dims are those of the one with the most, and what the others have besides.
    """
    beam = latest([d.beam for d in datas])
    datas = [d.in_beam(beam) for d in datas]
    base = max(datas, key=lambda d: len(d.dims))
    others = [x for d in datas for x in d.dims if x is not d.feature_dim]
    order = list(dict.fromkeys([x for x in base.dims if x is not base.feature_dim] + others))
    out = replace(base.with_feature(dim), dims=(*order, dim), beam=beam)
    if any(d.tensor is None for d in datas):
        return out
    sizes = {x: n for d in datas for x, n in zip(d.dims, d.sizes(), strict=True)}
    tensors = []
    for data in datas:
        feature = data.feature_dim
        assert feature is not None
        x = data.ordered([*(x for x in order if x in data.dims), feature]).tensor
        if len(data.dims) < len(out.dims):
            x = x[tuple(slice(None) if o in data.dims else None for o in order)]
            x = tf.broadcast_to(x, [*(sizes[o] for o in order), feature.size])
        tensors.append(x)
    return replace(out, tensor=tf.concat(tensors, axis=-1))
