"""A network as a table: layers, templates, parameters, and where each rec layer's parts went."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from returnn_lite.beam import Beam
from returnn_lite.infer import template_of, with_steps
from returnn_lite.node import Node
from returnn_lite.rec.hypotheses import beams

if TYPE_CHECKING:
    from returnn_lite.network import Network

_TITLES = {
    "before": "Input layers moved out of loop",
    "in": "Layers in loop",
    "after": "Output layers moved out of loop",
}
_HIDDEN = ("prev", "step_index", "step_input", "scope_input", "extern_data")


def describe(network: Network) -> str:
    """Return the table of a network, in the form of the tutorial's pages."""
    nodes = [n for n in network.nodes() if n.layer.layer_class not in _HIDDEN]
    rows = [(n.path, n.layer.layer_class, str(template_of(n)), _count(n)) for n in nodes]
    rows = list(dict.fromkeys(rows))
    widths = [max((len(r[i]) for r in rows), default=0) for i in range(3)]
    lines = [
        "  ".join([*(c.ljust(w) for c, w in zip(r, widths, strict=False)), r[3]]).rstrip()
        for r in rows
    ]
    total = sum(math.prod(s) for s in network.param_shapes().values())
    lines.append(f"{total:,} parameters")
    if network.unused():
        lines.append(f"Unused layers: {', '.join(network.unused())}")
    for node in nodes:
        if node.inner is not None and node.inner.is_body:
            lines += _loop(node)
    return "\n".join(lines)


def _count(node: Node) -> str:
    number = sum(math.prod(s.shape) for s in node.params.values())
    return f"{number:,}" if number else ""


def _seen(node: Node, place: str, beam: Beam | None) -> str:
    """Return the template of a layer in a loop: that of a step, or of all where it is moved out."""
    assert node.loop is not None
    x = replace(template_of(node), beam=beam)
    found = x if place == "in" or not node.loop.varies(node) else with_steps(x, node.loop)
    chosen = node.target is not None and place == "before" and node.layer.layer_class == "choice"
    return f"ground truth targets, {found}" if chosen else str(found)


def _loop(node: Node) -> list[str]:
    """Return where the layers of a rec layer's subnetwork are computed."""
    placement = node.layer.placement(node)  # type: ignore[attr-defined]
    assert node.inner is not None and node.inner.loop is not None
    of = beams(node.inner.loop, placement)
    lines = [f"Rec layer {node.path!r} sub net:"]
    for place, title in _TITLES.items():
        lines.append(f"  {title}:")
        found = [
            n
            for n in node.inner.nodes.values()
            if placement.place.get(n) == place and n.layer.layer_class not in _HIDDEN
        ]
        width = max((len(n.name) for n in found), default=0)
        rows = [f"    {n.name.ljust(width)} --- {_seen(n, place, of.get(n))}" for n in found]
        lines += rows or ["    None"]
    unused = [n for n in node.inner.layers if n not in node.inner.nodes]
    lines.append("  Unused layers:")
    return [*lines, f"    {', '.join(unused) or 'None'}"]
