"""What a loop consists of, besides where its layers are computed."""

from __future__ import annotations

from returnn_lite import losses
from returnn_lite.loop import Loop
from returnn_lite.node import Node
from returnn_lite.rec.placement import Placement


def ordered_choices(loop: Loop, placement: Placement) -> list[Node]:
    """Return the choices, each after those that it depends on within a step."""
    order: list[Node] = []

    def visit(node: Node, seen: set[Node]) -> None:
        if node in seen or placement.place.get(node) != "in":
            return
        seen.add(node)
        if node.layer.layer_class == "prev":
            return
        for other in node.depends(loop.node.scope.mode):
            visit(other, seen)
        if node.layer.chooses(loop.node.scope.mode) and node not in order:
            order.append(node)

    for node in placement.at("in"):
        visit(node, set())
    return order


def beam_size(choices: list[Node]) -> int:
    """Return the number of hypotheses between steps: that of the last choice that searches."""
    sizes = [n.layer.beam_size for n in choices if n.layer.searches]  # type: ignore[attr-defined]
    return int(sizes[-1]) if sizes else 1


def kept_after(loop: Loop, placement: Placement) -> list[Node]:
    """Return the layers in the loop that are used after it."""
    used: set[Node] = set()
    for node in placement.at("after"):
        used.update(node.depends(loop.node.scope.mode))
    # `prev:x` is there made of all outputs of x.
    used.update(n for prev in list(used) if prev.layer.layer_class == "prev" for n in prev.sources)
    assert loop.scope is not None
    wanted = {loop.scope.get("output"), *loop.node.wanted}
    mode = loop.node.scope.mode
    return [
        n
        for n in placement.at("in")
        if n.layer.layer_class != "prev"
        and (n in used or n in wanted or losses.applies(n, mode) or n.common.is_output_layer)
    ]


def used_from_before(loop: Loop, placement: Placement) -> list[Node]:
    """Return the layers computed before the loop that are used in it."""
    used: dict[Node, None] = {}
    for node in placement.at("in"):
        for other in node.depends(loop.node.scope.mode):
            if placement.place.get(other) == "before":
                used[other] = None
    return list(used)
