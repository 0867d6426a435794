"""What of a loop is used around it."""

from __future__ import annotations

from returnn_lite import losses
from returnn_lite.loop import Loop
from returnn_lite.node import Node
from returnn_lite.rec.placement import Placement


def kept_after(loop: Loop, placement: Placement) -> list[Node]:
    """Return the layers in the loop that are used after it."""
    used: set[Node] = set()
    for node in placement.at("after"):
        used.update(node.depends())
    # `prev:x` is there made of all outputs of x.
    used.update(n for prev in list(used) if prev.layer.layer_class == "prev" for n in prev.sources)
    assert loop.scope is not None
    wanted = {loop.scope.get("output"), *loop.node.wanted}
    return [
        n
        for n in placement.at("in")
        if n.layer.layer_class != "prev"
        and (n in used or n in wanted or losses.applies(n) or n.common.is_output_layer)
    ]


def used_from_before(loop: Loop, placement: Placement) -> list[Node]:
    """Return the layers computed before the loop that are used in it."""
    used: dict[Node, None] = {}
    for node in placement.at("in"):
        for other in node.depends():
            if placement.place.get(other) == "before":
                used[other] = None
    return list(used)
