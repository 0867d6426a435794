"""Activations of a sum of two layers, in the forms in which networks have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from returnn_lite.node import Node

_SUM = "source(0)+source(1)"
_TANH_OF_SUM = [f"{module}tanh({_SUM})" for module in ("", "tf.", "tf.math.", "tf.nn.")]


class Sum(NamedTuple):
    """A sum of two layers, and the activation that it has.

    activation, opts: as of the layer `activation`. nodes: the layers, from the one whose output it
    is to the one that adds.
    """

    activation: str | None
    opts: Mapping[str, Any] | None
    nodes: list[Node]

    @property
    def terms(self) -> list[Node]:
        """The two layers."""
        return self.nodes[-1].sources

    @property
    def bare(self) -> bool:
        """Whether there is nothing but the sum."""
        return len(self.nodes) == 1 and self.activation is None


def sum_of_two(node: Node) -> Sum | None:
    """Return the sum that a layer is, or is an activation of; None where it is neither."""
    layer: Any = node.layer
    if node.plain("combine", "eval"):
        return _added(node)
    if not node.plain("activation") or layer.out_type or len(node.sources) != 1:
        return None
    before = sum_of_two(node.sources[0])
    if before is None or not before.bare:
        return None
    return Sum(layer.activation, layer.opts, [node, *before.nodes])


def _added(node: Node) -> Sum | None:
    layer: Any = node.layer
    if len(node.sources) != 2 or layer.with_bias or layer.out_type or layer.eval_locals:
        return None
    found = Sum(layer.activation, None, [node])
    if layer.eval is None:
        return found if layer.kind in ("add", "+") else None
    text = "".join(layer.eval.split()) if isinstance(layer.eval, str) else ""
    if text in _TANH_OF_SUM and layer.activation is None:
        return found._replace(activation="tanh")
    return found if text == _SUM else None
