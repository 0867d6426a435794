"""Dims that a config names by objects of its own: out_dim, out_spatial_dims, out_shape."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from returnn_lite.axes import resolve
from returnn_lite.data import Data
from returnn_lite.dim import Dim
from returnn_lite.infer import template_for
from returnn_lite.lazy import tf
from returnn_lite.site import Site

_SPATIAL = ("out_spatial_dims", "out_spatial_dim", "out_dims", "window_dim", "k_dim", "beam_dim")


def name_dims(site: Site, out: Data) -> None:
    """Let the Dims in a layer's options mean the dims of its output, which is a template.

    A layer that makes several keeps those of an option in `resolved["made"]`.
    Raises NetworkError where there is no such dim, or one of another size or with another formula.
    """
    node, common = site.node, site.node.common
    options = [option for option in _SPATIAL if option not in node.layer.source_dims]
    given = {o: v for o in options if (v := getattr(node.layer, o, None)) is not None}
    if site.partial or (common.out_dim is None and common.out_shape is None and not given):
        return
    old = {d for source in node.sources for d in template_for(source, node).dims}
    new = [d for d in out.dims if d not in old and d.kind != "batch"]
    for option, named in given.items():
        named = named if isinstance(named, list | tuple) else [named]
        spatial = node.resolved.get("made", {}).get(option)
        spatial = spatial or [d for d in new if d is not out.feature_dim]
        if len(spatial) != len(named):
            spatial = [d for d in out.dims if d.kind != "batch" and d is not out.feature_dim]
        _name(site, out, option, named, spatial)
    if common.out_dim is not None and (new or common.out_dim not in out.dims):
        classes = [d for d in (out.sparse_dim, out.feature_dim) if d is not None][:1]
        made = classes if len(new) != 1 or out.feature_dim in new else new
        _name(site, out, "out_dim", [common.out_dim], made)
    if common.out_shape is not None:
        found = [d for w in common.out_shape for d in resolve(w, out, f"{node}: out_shape")]
        if set(found) != set(out.dims):
            raise site.error(f"found {out}, needed the dims {list(common.out_shape)} of out_shape")


# How RETURNN names the dims of which these layers change the size.
_WINDOWED = "{name}:conv:s{place}"
_DESCRIBED = {
    **dict.fromkeys(["conv", "pool", "stft"], _WINDOWED),
    "expand_dims": "{name}_expand_dims",
    "masked_computation": "{name}:masked:time",
    "repeat": "repeated:{name}",
    "shift_axis": "{name}_shift_axis",
    "slice_nd": "sliced-time:{name}",
    "split_dims": "{name}_split_dims{new}",
}


def note_maker(site: Site, out: Data) -> None:
    """Let `stag:` find what a layer makes of other dims by the layer's name, or as in RETURNN."""
    node = site.node
    text = _DESCRIBED.get(node.layer.layer_class)
    if site.partial or not (text or any(d.formula is not None for d in out.dims)):
        return
    asked = [*node.sources, *(n for nodes in node.refs.values() for n in nodes)]
    old = {d for n in asked if n.out is not None for d in n.out.dims}
    spatial = [d for d in out.dims if d.kind != "batch" and d is not out.feature_dim]
    new = [d for d in out.dims if d not in old]
    for i, dim in enumerate(new):
        if dim.formula is not None:
            dim.makers.add(node.name)
        place = spatial.index(dim) if dim in spatial else None
        if text and (place is not None or text is not _WINDOWED):
            dim.makers.add(text.format(name=node.name, place=place, new=i))


def _name(site: Site, out: Data, option: str, named: Sequence[Dim], made: Sequence[Dim]) -> None:
    if len(named) != len(made) or any(map(partial(_differ, site), named, made)):
        raise site.error(f"found {option} {list(named)} for {out}, needed {list(made)}")
    for name, dim in zip(named, made, strict=True):
        if name is not dim:
            let_mean(site, name, dim)
            if name.dynamic and dim.dynamic:
                site.node.resolved.setdefault("named", {})[name] = dim


def _differ(site: Site, name: Dim, dim: Dim) -> bool:
    """Return whether a Dim of a config cannot mean a dim, as far as this does not need data."""
    if name is dim:
        return False
    parts = name.leaves()
    if name.size is None and dim.size is not None:
        # It may have any size, unless the data or other dims say its lengths.
        return bool(name.formula) or not parts.isdisjoint(site.node.scope.stream_dims())
    if name.size != dim.size:
        return True
    if name.size is not None or not (name.formula or parts <= site.node.scope.stream_dims()):
        return False
    means = site.node.scope.named
    meant = {p: d for p in parts if (d := means.get(p, p)) is p or p not in d.leaves()}
    leaves = {x for d in meant.values() for x in d.leaves()}
    if len(meant) < len(parts) or leaves != dim.leaves():
        return False  # `as_named` compares the lengths, where they are known
    with tf.init_scope():
        sizes = {x: tf.range(1, 65) + 7 * i for i, x in enumerate(leaves)}
        values = sizes | {p: d.computed(sizes) for p, d in meant.items()}
        return bool(tf.reduce_any(name.computed(values) != dim.computed(sizes)))


def as_named(site: Site, out: Data) -> Data:
    """Return a layer's output; fails where Dims of its options have other lengths than its dims."""
    for name, dim in site.node.resolved.get("named", {}).items():
        if dim in out.dims and all(d in site.run.lengths for d in name.leaves()):
            out = site.run.with_lengths_as(out, dim, name, str(site.node))
    return out


def meant(site: Site, shape: Sequence[int | Dim], *options: str) -> list[int | Dim]:
    """Return a shape with the dims that Dims of a config mean.

    options: they name layers that make some of them, which therefore come first.
    """
    for node in (n for option in options for n in site.node.refs.get(option, ())):
        site.data(node)
    named = site.node.scope.named
    return [named.get(d, d) if isinstance(d, Dim) else d for d in shape]


def let_mean(site: Site, name: Dim, dim: Dim) -> None:
    """Let a Dim of a config mean a dim, wherever the network has it."""
    name.let_mean(dim)
    site.node.scope.named[name] = dim
