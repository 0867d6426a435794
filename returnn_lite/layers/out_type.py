"""The option out_type: what of a layer's template is other than would be inferred."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from returnn_lite.data import Data, next_time
from returnn_lite.dim import BATCH, Dim
from returnn_lite.errors import nearest
from returnn_lite.site import Site
from returnn_lite.view import DataView, LayerView

_AXES = ("batch_dim_axis", "time_dim_axis", "feature_dim_axis")
_KEYS = ("dtype", "dim", "sparse", "shape", *_AXES)


def typed(site: Site, x: Data, opts: Mapping[str, Any]) -> Data:
    """Return the template x, changed as out_type says.

    opts: dtype; dim: number of features or, for sparse data, of classes; sparse; shape: the sizes
    without batch, None for a dynamic one; batch_dim_axis, time_dim_axis, feature_dim_axis: places
    in that shape, the batch counted. Raises NetworkError for an unknown key, or a shape with more
    dynamic dims than x has.
    """
    for key in opts:
        if key not in _KEYS:
            raise site.error(f"unknown out_type {key!r}{nearest(key, _KEYS)}")
    if not isinstance(opts.get("shape", ()), list | tuple):
        raise site.error(f"found shape {opts['shape']!r} in out_type, needed a list of sizes")
    x = replace(x, dtype=opts.get("dtype", x.dtype), tensor=None)
    classes = x.classes
    sparse = opts.get("sparse", x.sparse_dim is not None)
    if "dim" in opts and (classes is None or classes.size != opts["dim"]):
        classes = site.feature(opts["dim"])
    if sparse:
        if classes is None:
            raise site.error(f"found out_type sparse of {x}, needed 'dim' in it")
        x = replace(x, sparse_dim=classes, feature_dim=None)
    elif x.sparse_dim is not None:
        x = replace(x, sparse_dim=None, vocab=None)
    elif classes is not None and x.feature_dim is not None:
        x = x.renamed(x.feature_dim, classes)
    if "shape" in opts or any(key in opts for key in _AXES):
        x = _shaped(site, x, opts)
    return x


def typed_by(site: Site, function: Callable[..., Any]) -> Data:
    """Return the template that a function in out_type makes of the sources.

    It is called with name and sources, each with an `output` that has `copy_template` and the like.
    Raises NetworkError for what it raises, or returns otherwise.
    """
    sources = [LayerView(d.name, DataView(d.template(), None)) for d in site.sources]
    try:
        found = function(name=site.node.name, sources=sources)
    except Exception as error:
        raise site.error(f"found {error!s} in out_type") from error
    if not isinstance(found, DataView):
        raise site.error(f"found {found!r} from out_type, needed what copy_template of one returns")
    return replace(found.data.template(), name=site.node.path)


def _shaped(site: Site, x: Data, opts: Mapping[str, Any]) -> Data:
    """Return the template with the dims that shape and the axes say."""
    dims = [d for d in x.dims if d.kind != "batch"]
    if "shape" in opts:
        dims = _dims(site, x, list(opts["shape"]))
    # The frames of all sequences, or chunks of them, may take the place of the batch.
    batch = opts.get("batch_dim_axis", 0 if x.batch_dim is not None else None)
    if batch is not None:
        dims.insert(batch, x.batch_dim or BATCH)
    time, feature = next_time(dims), None
    if x.sparse_dim is None and dims and dims[-1].size is not None:
        feature = dims[-1]
    if "time_dim_axis" in opts:
        time = _at(site, dims, opts, "time_dim_axis")
    if "feature_dim_axis" in opts:
        feature = _at(site, dims, opts, "feature_dim_axis")
    return replace(x, dims=tuple(dims), time_dim=time, feature_dim=feature)


def _at(site: Site, dims: list[Dim], opts: Mapping[str, Any], key: str) -> Dim | None:
    """Return the dim at a place that out_type says."""
    place = opts[key]
    if place is None:
        return None
    if not isinstance(place, int) or not -len(dims) <= place < len(dims):
        raise site.error(f"found {key} {place!r} in out_type, needed one of {len(dims)} axes")
    return dims[place]


def _dims(site: Site, x: Data, shape: list[int | None]) -> list[Dim]:
    """Return a dim for each size: one of x that is not taken yet, else a new one.

    Of several dynamic dims it is that of size_target.
    """
    free = [d for d in x.dims if d.kind != "batch"]
    if site.node.common.size_target is not None:
        target = site.node.scope.target(site.node.common.size_target, str(site.node))
        time = site.data(target).time_dim
        free.sort(key=lambda d: d is not time)
    found: list[Dim] = []
    for place, size in enumerate(shape):
        same = next((d for d in free if d.size == size), None)
        if same is not None:
            free.remove(same)
            found.append(same)
        elif size is None:
            raise site.error(f"found shape {shape} in out_type, needed the dynamic dims of {x}")
        elif place == len(shape) - 1 and x.sparse_dim is None:
            found.append(site.feature(size))
        else:
            found.append(site.node.dim("spatial", f"axis{place}", size))
    return found
