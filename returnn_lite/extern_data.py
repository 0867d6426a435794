"""The data streams that a network reads: their templates, and their values in a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from returnn_lite import options
from returnn_lite.axes import resolve
from returnn_lite.data import Data, next_feature, next_time
from returnn_lite.dim import BATCH, Dim
from returnn_lite.errors import NetworkError, nearest
from returnn_lite.lazy import tf
from returnn_lite.run import Run

_DTYPES = ("float32", "float64", "float16", "int32", "int64", "int16", "int8", "uint8", "bool")
_KEYS = {
    "dim": int | None,
    "shape": tuple[int | Dim | None, ...],
    "dim_tags": tuple[Dim, ...],
    "dims": tuple[Dim, ...],
    "feature_dim": Dim,
    "sparse": bool,
    "sparse_dim": Dim,
    "dtype": str,
    "batch_dim_axis": int | None,
    "time_dim_axis": int | None,
    "feature_dim_axis": int | None,
    "same_dim_tags_as": dict[str, Any],
    "vocab": tuple[str, ...] | None,
    "available_for_inference": bool,
}


def templates(extern_data: Mapping[str, Any]) -> dict[str, Data]:
    """Return the template of every stream.

    A stream is a dict, or (dim, 2) for dense and (dim, 1) for sparse data. Its axes are batch and
    time, and for dense data `dim` features; or `shape`, the sizes without the batch, None for what
    differs between sequences; or `dim_tags`, also called `dims`, a Dim for every axis;
    feature_dim: which of the Dims has the features. batch_dim_axis, time_dim_axis,
    feature_dim_axis: where those are, counted with the batch, or None; by default the first axis,
    the first dynamic one, and the last fixed one. sparse, sparse_dim: of labels, of which there are
    `dim`, or of bool, with dim 2. same_dim_tags_as: {axis: Dim or stream} of axes that are the same
    as others. vocab: the names of the labels. available_for_inference: whether the data exist when
    a model is used.
    Raises NetworkError for an unknown key or stream, and for what does not fit together.
    """
    found: dict[str, Data] = {}
    for key, opts in extern_data.items():
        if isinstance(opts, list | tuple) and len(opts) == 2:
            opts = {"dim": opts[0], "sparse": opts[1] == 1}
        if not isinstance(opts, Mapping):
            raise NetworkError(
                f"extern_data {key!r}: found {opts!r}, needed a dict such as {{'dim': 40}}"
            )
        try:
            found[key] = _template(key, opts, found)
        except NetworkError as error:
            raise NetworkError(f"extern_data {key!r}: {error}") from None
    return found


def _template(key: str, opts: Mapping[str, Any], before: Mapping[str, Data]) -> Data:
    _check_options(opts)
    sparse = bool(opts.get("sparse", "sparse_dim" in opts))
    x = Data(
        name=key,
        dims=(),
        dtype=_dtype(opts, sparse=sparse),
        sparse_dim=_classes(key, opts) if sparse else None,
        available_for_inference=opts.get("available_for_inference", True),
        vocab=_vocab(opts),
    )
    tags = [name for name in ("dim_tags", "dims") if name in opts]
    x = _with_dim_tags(x, opts, tags) if tags else _with_axes(x, opts)
    if "feature_dim" in opts:
        x = replace(x, feature_dim=opts["feature_dim"])
        if x.feature_dim not in x.dims:
            raise NetworkError(f"found feature_dim {x.feature_dim}, needed one of {list(x.dims)}")
    size = opts.get("dim")
    if size is not None and x.classes is not None and x.classes.size != size:
        raise NetworkError(f"found dim {size}, needed that of {x}")
    if x.dtype == "bool" and x.sparse_dim is not None:
        if x.sparse_dim.size != 2:
            raise NetworkError(f"found {x}, needed dim 2 for bool")
        # False and true are no labels: nothing has a row for each of them.
        x = replace(x, sparse_dim=None)
    if x.vocab is not None and x.classes is not None and len(x.vocab) != x.classes.size:
        raise NetworkError(f"found {len(x.vocab)} names in vocab, needed {x.classes.size}")
    return _same_dims(x, opts.get("same_dim_tags_as", {}), before)


def _check_options(opts: Mapping[str, Any]) -> None:
    for name, value in opts.items():
        if name not in _KEYS:
            raise NetworkError(f"unknown key {name!r}{nearest(name, _KEYS)}")
        if not options.fits(value, _KEYS[name]):
            what = "a whole number above 0" if name == "dim" else options.described(_KEYS[name])
            raise NetworkError(f"found {name} {value!r}, needed {what}")
    sizes = [opts.get("dim"), *opts.get("shape", ())]
    for size in sizes:
        if isinstance(size, int) and size < 1:
            name = "dim" if size is sizes[0] else "shape"
            raise NetworkError(f"found {name} {opts[name]!r}, needed a whole number above 0")


def _dtype(opts: Mapping[str, Any], *, sparse: bool) -> str:
    dtype: str = opts.get("dtype", "int32" if sparse else "float32")
    if dtype not in _DTYPES:
        raise NetworkError(f"unknown dtype {dtype!r}{nearest(dtype, _DTYPES)}")
    if sparse and "int" not in dtype and dtype != "bool":
        raise NetworkError(f"found dtype {dtype!r} of sparse data, needed int32, int64 or bool")
    return dtype


def _classes(key: str, opts: Mapping[str, Any]) -> Dim:
    """Return the dim of the classes of sparse data; with a dim of None, not known how many."""
    if "sparse_dim" in opts:
        dim: Dim = opts["sparse_dim"]
        return dim
    if "dim" not in opts:
        raise NetworkError("found no dim of sparse data, needed a whole number above 0, or None")
    return Dim("feature", f"feature:extern_data:{key}", opts["dim"])


def _vocab(opts: Mapping[str, Any]) -> tuple[str, ...] | None:
    return None if opts.get("vocab") is None else tuple(opts["vocab"])


def _with_dim_tags(x: Data, opts: Mapping[str, Any], tags: list[str]) -> Data:
    """Return the template with the axes that `dim_tags`, or `dims`, has."""
    option, *more = tags
    for name in (*more, "shape", "batch_dim_axis"):
        if name in opts:
            raise NetworkError(f"found {option} and {name}, needed one of them")
    dims = tuple(opts[option])
    if len(set(dims)) < len(dims):
        raise NetworkError(f"found {option} {list(dims)}, needed every dim once")
    marked = [d for d in dims if d.kind == "feature"]
    time = next_time(dims)
    feature = marked[-1] if marked else next_feature(dims, time)
    if x.sparse_dim is not None:
        feature = None
    found = {"time_dim_axis": time, "feature_dim_axis": feature}
    for option in found.keys() & opts.keys():
        axis = opts[option]
        found[option] = None if axis is None else dims[_axis(option, axis, len(dims))]
    return replace(
        x, dims=dims, time_dim=found["time_dim_axis"], feature_dim=found["feature_dim_axis"]
    )


def _with_axes(x: Data, opts: Mapping[str, Any]) -> Data:
    """Return the template with the axes that `shape`, or else `dim`, has."""
    sizes, batch, time = _sizes(opts, sparse=x.sparse_dim is not None)
    feature = None
    if _given(opts, "feature_dim_axis"):
        feature = _axis("feature_dim_axis", opts["feature_dim_axis"], len(sizes))
    elif "feature_dim_axis" not in opts and x.sparse_dim is None:
        rest = [i for i in range(len(sizes)) if i not in (batch, time)]
        feature = next((i for i in reversed(rest) if sizes[i] is not None), None)
    if feature is not None and (feature in (batch, time) or sizes[feature] is None):
        raise NetworkError(f"found feature_dim_axis {feature}, needed a fixed axis of {sizes}")
    dims = [_dim(x.name, i, size, time, feature) for i, size in enumerate(sizes)]
    if batch is not None:
        dims[batch] = BATCH
    return replace(
        x,
        dims=tuple(dims),
        time_dim=None if time is None else dims[time],
        feature_dim=None if feature is None else dims[feature],
    )


def _sizes(opts: Mapping[str, Any], *, sparse: bool) -> tuple[list[Any], int | None, int | None]:
    """Return the size of every axis, and which axes are batch and time."""
    batch = opts.get("batch_dim_axis", 0)
    if "shape" in opts:
        sizes = list(opts["shape"])
        if batch is not None:
            sizes.insert(batch if batch >= 0 else len(sizes) + 1 + batch, None)
    else:
        sizes = _sizes_by_dim(opts, batch, sparse=sparse)
    if batch is not None:
        batch = _axis("batch_dim_axis", batch, len(sizes))
    if _given(opts, "time_dim_axis"):
        time = _axis("time_dim_axis", opts["time_dim_axis"], len(sizes))
        if time == batch:
            raise NetworkError(f"found time_dim_axis {time}, needed another than the batch's")
        return sizes, batch, time
    dynamic = [i for i, n in enumerate(sizes) if i != batch and (n is None or _dynamic(n))]
    return sizes, batch, dynamic[0] if dynamic and "time_dim_axis" not in opts else None


def _sizes_by_dim(opts: Mapping[str, Any], batch: int | None, *, sparse: bool) -> list[Any]:
    """Return the sizes of batch, time, and `dim` features, those of them that there are."""
    time = opts.get("time_dim_axis", None if batch is None else 1)
    feature = None if sparse else opts.get("feature_dim_axis", -1)
    number = sum(axis is not None for axis in (batch, time, feature))
    sizes: list[Any] = [None] * number
    if feature is not None:
        if opts.get("dim") is None:
            raise NetworkError("found dim None, needed a whole number above 0, or a shape")
        sizes[_axis("feature_dim_axis", feature, number)] = opts["dim"]
    return sizes


def _dynamic(size: Any) -> bool:
    return isinstance(size, Dim) and size.dynamic


def _dim(key: str, axis: int, size: Any, time: int | None, feature: int | None) -> Dim:
    """Return the dim of an axis."""
    if isinstance(size, Dim):
        return size
    if axis == feature:
        return Dim("feature", f"feature:extern_data:{key}", size)
    kind = "time" if axis == time else f"spatial{axis}"
    return Dim("spatial", f"{kind}:{size or 'var'}:extern_data:{key}", size)


def _given(opts: Mapping[str, Any], option: str) -> bool:
    return opts.get(option) is not None


def _axis(option: str, axis: int, number: int) -> int:
    """Return the axis that an option says, counted from the front."""
    if not -number <= axis < number:
        raise NetworkError(f"found {option} {axis}, needed one of {number} axes")
    return axis % number


def _same_dims(x: Data, same: Mapping[str, Any], before: Mapping[str, Data]) -> Data:
    """Return the template with the dims that `same_dim_tags_as` has in place of its own."""
    for word, other in same.items():
        found = resolve(word, x, "same_dim_tags_as")
        needed = [other]
        if not isinstance(other, Dim):
            if other not in before:
                raise NetworkError(f"no stream {other!r} before it{nearest(str(other), before)}")
            needed = resolve(word, before[other], f"same_dim_tags_as {other!r}")
        if len(found) != 1 or len(needed) != 1 or found[0].size != needed[0].size:
            raise NetworkError(
                f"found same_dim_tags_as {{{word!r}: {other!r}}} of {x}, needed an axis of {x} and "
                "another of the same size"
            )
        x = x.renamed(found[0], needed[0])
    return x


# -- values


def dynamic_dims(template: Data) -> list[Dim]:
    """Return the dims of a stream that have lengths of their own in a batch."""
    return [d for d in template.dims if d.dynamic] if template.has_batch else []


def signature(template: Data) -> list[Any]:
    """Return the shapes of a stream's values, and of its lengths: int32, see `filled`."""
    rows = len(dynamic_dims(template))
    lengths = [None] if rows < 2 else [rows, None]
    return [
        tf.TensorSpec([d.size for d in template.dims], template.dtype),
        tf.TensorSpec(lengths, tf.int32),
    ]


def batch_size(batch: Mapping[str, tuple[Any, Any]], streams: Mapping[str, Data]) -> Any:
    """Return int32 []: the number of sequences of a batch of tensors."""
    for key, (values, _) in batch.items():
        if streams[key].has_batch:
            return tf.shape(values)[streams[key].axis(BATCH)]
    return tf.constant(1)


def filled(run: Run, template: Data, values: Any, lengths: Any) -> Data:
    """Return a stream with its values, and set the lengths of its dims.

    lengths: int32 [batch], or [dynamic axes, batch] where there are several; not used where there
    is none.
    """
    dims = dynamic_dims(template)
    for dim, row in zip(dims, tf.unstack(lengths) if len(dims) > 1 else [lengths], strict=False):
        run.set_lengths(dim, row)
    if not template.has_batch:
        for dim in (d for d in template.dims if d.dynamic):
            run.set_lengths(dim, tf.fill([run.batch], tf.shape(values)[template.axis(dim)]))
    # What lies behind the longest sequence goes, so that streams of equal lengths agree; what lies
    # behind the others is zero: it may be no number, or no label.
    data = replace(template, tensor=tf.cast(values, tf.as_dtype(template.dtype)))
    for dim in dims:
        data = run.fitting(data, dim, dim)
    for dim in dims:
        data = run.masked(data, dim)
    return data
