"""The choices of a loop, and whose hypotheses its layers are of."""

from __future__ import annotations

from collections.abc import Iterable

from returnn_lite.beam import Beam, latest
from returnn_lite.data import Data
from returnn_lite.dim import Dim
from returnn_lite.frame import Frame
from returnn_lite.loop import Loop
from returnn_lite.node import Node
from returnn_lite.rec.placement import Placement, reach


def ordered_choices(loop: Loop, placement: Placement) -> list[Node]:
    """Return the choices, each after those that it depends on within a step."""
    order: list[Node] = []

    def visit(node: Node, seen: set[Node]) -> None:
        if node in seen or placement.place.get(node) != "in":
            return
        seen.add(node)
        for other in node.depends_in_step():
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


def beams(loop: Loop, placement: Placement) -> dict[Node, Beam]:
    """Return whose hypotheses the beamed layers of a loop are of, by name and size alone.

    Those of the last choice that a layer depends on in a step, else of the step before. In a loop
    without choices in the steps of a search, those that the loop's node is of.
    """
    choices = ordered_choices(loop, placement)
    if not choices:
        return _beams_around(loop, placement)
    last = Beam(f"prev:{choices[-1].name}", beam_size(choices))
    made, size = {}, last.size
    for choice in choices:
        size = choice.layer.beam_size if choice.layer.searches else size  # type: ignore[attr-defined]
        made[choice] = Beam(choice.name, size)
    found = {}
    for node in placement.beamed:
        behind = placement.place.get(node) == "after"
        needed = {*choices} if behind else _in_step(node, loop)
        seen = [c for c in choices if c in needed]
        found[node] = made[seen[-1]] if seen else last
    return found


def _beams_around(loop: Loop, placement: Placement) -> dict[Node, Beam]:
    """Return whose hypotheses the layers of a loop are of, which are made around it."""
    around = loop.node.loop
    if around is None:
        return {}
    made = beams(around, around.node.layer.placement(around.node))  # type: ignore[attr-defined]
    if loop.node not in made:
        return {}
    found = [n for n in placement.place if made.keys() & reach([n], lambda m: m.depends())]
    return dict.fromkeys(found, made[loop.node])


def _in_step(node: Node, loop: Loop) -> set[Node]:
    """Return the layers that a layer needs of the same step, itself included."""
    return reach([node], lambda n: n.depends_in_step())


def beam_around(
    frame: Frame, placement: Placement, sequences: Iterable[Data], over: Dim | None
) -> Beam | None:
    """Return the hypotheses of another search, of which there is something in the steps of a loop.

    sequences: what was computed before the loop. over: the dim of the loop, where it is known.
    """
    loop = frame.loop
    assert loop is not None
    seen = {m for n in placement.at("in") for m in n.depends()}
    outside = [frame.value(m) for m in seen if not loop.encloses(m.loop)]
    beams = [d.beam for d in (*sequences, *outside)]
    if over is not None and over.dynamic:
        beams.append(frame.run.lengths[over].beam)
    return latest(beams)
