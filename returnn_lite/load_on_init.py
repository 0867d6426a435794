"""Subnetworks whose parameters come from a checkpoint of their own."""

from __future__ import annotations

from collections.abc import Mapping

from returnn_lite.errors import NetworkError, nearest
from returnn_lite.node import Node, ParamSpec
from returnn_lite.parameters import Array, load_checkpoint


def loaded_names(node: Node) -> list[str]:
    """Return the parameters that a subnetwork's load_on_init gives."""
    if not getattr(node.layer, "load_on_init", None) or node.inner is None:
        return []
    return [name for inner in node.inner.all_nodes() for name in inner.params]


def loaded_on_init(node: Node, specs: Mapping[str, ParamSpec]) -> dict[str, Array]:
    """Return those of the parameters that a subnetwork's load_on_init gives, read from there.

    Raises NetworkError where the checkpoint lacks one, or has it in another shape.
    """
    names = [name for name in loaded_names(node) if name in specs]
    if not names:
        return {}
    path: str = node.layer.load_on_init  # type: ignore[attr-defined]
    found = load_checkpoint(path)
    loaded = {}
    for name in names:
        short = name.removeprefix(node.param_name(""))
        if short not in found or found[short].shape != specs[name].shape:
            shape = found[short].shape if short in found else "none"
            raise NetworkError(
                f"{node}: found {short!r} of shape {shape} in {path}, needed {specs[name].shape}"
                f"{nearest(short, found) if short not in found else ''}"
            )
        loaded[name] = found[short]
    return loaded
