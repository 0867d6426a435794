"""Dropout on the input of a layer, which every layer may have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from returnn_lite import random
from returnn_lite.axes import resolve
from returnn_lite.data import Data
from returnn_lite.dim import BATCH, Dim
from returnn_lite.errors import NetworkError
from returnn_lite.lazy import tf
from returnn_lite.node import Node

if TYPE_CHECKING:
    from returnn_lite.site import Site


def dropped(site: Site, x: Data, index: int) -> Data:
    """Return a source with the dropout that the layer's common options ask for; scale what stays.

    By default a feature is dropped in all frames of all sequences at once. dropout_noise_shape:
    {axis: 1} for one draw for all entries of an axis, {axis: None} for one each; "*" for all axes;
    or a list, one for each axis. dropout_axis: the axes whose entries have a draw each, the others
    share it. In a loop, what is drawn neither for each sequence nor for each frame is so for all
    steps.
    """
    common = site.node.common
    active = common.dropout_on_forward or site.run.mode.train
    if not common.dropout or not active or x.sparse_dim is not None:
        return x
    x, noise = _noise(site, x, index)
    keep = tf.cast(noise >= common.dropout, x.dtype) / (1.0 - common.dropout)
    return replace(x, tensor=x.tensor * keep)


def draws(site: Site) -> tuple[Any, list[Dim]] | None:
    """Return the seed of the only source's dropout, and the dims whose entries have a draw each.

    The draws are those of `random.uniform`, in the order of the dims of the source's template. None
    where they are of a step of a loop, or a single one.
    """
    node = site.node
    (source,) = node.sources
    if source.out is None or (node.loop is not None and node.loop.varies(source)):
        return None
    shared = shared_dims(node, source.out)
    drawn = [d for d in source.out.dims if d not in shared]
    return (_seed(site, 0), drawn) if drawn else None


def shared_dims(node: Node, x: Data) -> list[Dim]:
    """Return the dims of a source along which one draw is for all entries. Raises NetworkError."""
    if node.common.dropout_axis is not None:
        own = resolve(node.common.dropout_axis, x, str(node))
        return [d for d in x.dims if d not in own]
    shape: Any = node.common.dropout_noise_shape
    if shape is not None and not isinstance(shape, Mapping):
        if len(shape) != len(x.dims):
            raise NetworkError(f"found dropout_noise_shape {shape}, needed a size for all of {x}")
        return [d for d, size in zip(x.dims, shape, strict=True) if size == 1]
    shape = shape or {}
    found = {d: shape.get("*", None if d is x.feature_dim else 1) for d in x.dims}
    for word, size in shape.items():
        if word != "*":
            found |= dict.fromkeys(resolve(word, x, str(node)), size)
    return [d for d, size in found.items() if size in (1, "x")]


def _noise(site: Site, x: Data, index: int) -> tuple[Data, Any]:
    """Return the source, and random numbers that broadcast against it.

    In a loop they are for a step the same whether the layer is moved out of it or not.
    """
    node = site.node
    seed = _seed(site, index)
    loop = node.loop
    stepwise = loop is not None and loop.varies(node.sources[index])
    axis = site.axis if stepwise else None
    step = x if axis is None or axis not in x.dims else x.without(axis)
    shared = shared_dims(node, step)
    drawn = [d for d in step.dims if d not in shared]
    sizes = {d: 1 if d in shared else n for d, n in zip(x.dims, x.sizes(), strict=True)}
    if not stepwise:
        return x, random.uniform([sizes[d] for d in x.dims], seed)
    # One order of the dims, whatever that of the tensor is.
    order = sorted((d for d in x.dims if d is not axis), key=lambda d: (d.kind, d.name))
    shape = [sizes[d] for d in order]
    if all(d.size is not None for d in drawn):
        noise = replace(step, dims=tuple(order), tensor=random.uniform(shape, seed))
        tensor = noise.ordered(step.dims).tensor
        if axis is not None and axis in x.dims:
            tensor = tf.expand_dims(tensor, x.axis(axis))
        return x, tensor
    x = x if axis is None else site.over(x, axis)
    return x, _by_steps(site, x, order, shape, seed)


def _seed(site: Site, index: int) -> Any:
    """Return the seed of the dropout of a source."""
    return site.run.rng(f"{site.node.path}/dropout{index}")


def noise_like(site: Site, x: Data, name: str, *, static: bool = False) -> Any:
    """Return random numbers shaped like the output or a state x of a layer, see `Site.noise`."""
    path = f"{site.node.path}/{name}"
    seed = random.seed_for(site.run.seed, 0, path) if static else site.run.rng(path)
    loop = site.node.loop
    if loop is None or not loop.varies(site.node):
        return random.uniform(x.sizes(), seed)
    sizes = dict(zip(x.dims, x.sizes(), strict=True))
    order = sorted((d for d in x.dims if d is not site.axis), key=lambda d: (d.kind, d.name))
    return _by_steps(site, x, order, [sizes[d] for d in order], seed)


def _by_steps(site: Site, x: Data, order: list[Dim], shape: list[Any], seed: Any) -> Any:
    """Return random numbers for x, drawn in an order of its dims, for a step or for all of them."""
    axis = site.axis
    if axis is None:
        noise = random.uniform_steps(shape, seed, site.index, 1)[0]
        return replace(x, dims=tuple(order), tensor=noise).ordered(x.dims).tensor
    whole, selected = site.run.steps_of(axis)
    noise = random.uniform_steps(shape, seed, 0, site.run.entries(whole))
    noisy = replace(x, dims=(whole, *order), tensor=noise)
    if selected is not None:
        noisy = noisy.first(BATCH, whole).renamed(whole, axis)
        batch = tf.shape(selected)[0]
        every = tf.broadcast_to(noisy.tensor, tf.concat([[batch], tf.shape(noisy.tensor)[1:]], 0))
        noisy = replace(noisy, tensor=tf.gather(every, selected, batch_dims=1))
    return noisy.ordered(x.dims).tensor
