"""What a loop consists of, besides where its layers are computed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from returnn_lite import losses
from returnn_lite.beam import Beam, latest
from returnn_lite.data import Data
from returnn_lite.dim import Dim
from returnn_lite.frame import Frame
from returnn_lite.layers import kept_state
from returnn_lite.loop import Loop
from returnn_lite.node import Node
from returnn_lite.rec.placement import Placement
from returnn_lite.run import Run, carried_name
from returnn_lite.site import Site

StateKey = tuple[Node, str]


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
    mode = loop.node.scope.mode
    found = {}
    for node in placement.place:
        needed, todo = set(), [node]
        while todo:
            other = todo.pop()
            if other not in needed:
                needed.add(other)
                todo += other.depends(mode)
        if not made.keys().isdisjoint(needed):
            found[node] = made[loop.node]
    return found


def _in_step(node: Node, loop: Loop) -> set[Node]:
    """Return the layers that a layer needs of the same step, itself included."""
    found: set[Node] = set()
    todo = [node]
    while todo:
        node = todo.pop()
        if node not in found:
            found.add(node)
            todo += [] if node.layer.layer_class == "prev" else node.depends(loop.node.scope.mode)
    return found


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


def beam_around(
    frame: Frame, placement: Placement, sequences: Iterable[Data], over: Dim | None
) -> Beam | None:
    """Return the hypotheses of another search, of which there is something in the steps of a loop.

    sequences: what was computed before the loop. over: the dim of the loop, where it is known.
    """
    loop = frame.loop
    assert loop is not None
    seen = {m for n in placement.at("in") for m in n.depends(loop.node.scope.mode)}
    outside = [frame.value(m) for m in seen if not loop.encloses(m.loop)]
    beams = [d.beam for d in (*sequences, *outside)]
    if over is not None and over.dynamic:
        beams.append(frame.run.lengths[over].beam)
    return latest(beams)


def carried_states(run: Run, first: dict[StateKey, Data]) -> dict[StateKey, Data]:
    """Return the states before the first step of a chunk: those after the chunk before."""
    found = {}
    for (node, name), data in first.items():
        if any(d.dynamic for d in data.dims):
            raise Site(node).error(
                "found a state that grows with the steps, needed one of fixed size in a stream"
            )
        found[node, name] = run.continued(carried_name(node, f"step:{name}"), data)
    return found


def carry_states(run: Run, states: dict[StateKey, Any]) -> None:
    """Give the states at the end of a chunk to the run."""
    for (node, name), tensor in states.items():
        run.carry[carried_name(node, f"step:{name}")] = tensor


def keep_states(frame: Frame, states: dict[StateKey, Data], lengths: Any, *, known: bool) -> None:
    """Keep what layers keep of their states at the end of a loop.

    lengths: int32 [batch], the steps of each sequence; known: whether they are before the loop.
    """
    for node in {node: None for node, _ in states if kept_state.keeps(node)}:
        site = Site(node, frame)
        if not known:
            raise site.error(
                "found initial_state 'keep_over_epoch' in a loop that its layer 'end' ends, "
                "needed one of known length; try 'zeros' here"
            )
        names = node.resolved["kept"]
        state = {name: states[node, name] for name in names}
        kept_state.keep(site, node.layer.kept_state(site, state, lengths))
