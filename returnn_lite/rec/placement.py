"""Which layers of a rec layer's subnetwork leave its loop, from dependencies alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from returnn_lite.dim import Dim
from returnn_lite.errors import NetworkError
from returnn_lite.infer import template_for, template_of
from returnn_lite.loop import Loop
from returnn_lite.node import Node

Place = Literal["before", "in", "after"]


@dataclass(frozen=True)
class Placement:
    """Where each layer of a loop is computed.

    place: "before" the loop (input layers moved out), "in" it, or "after" it (output layers moved
    out); what has no place is unused. beamed: the layers whose output differs between hypotheses.
    """

    place: dict[Node, Place]
    beamed: frozenset[Node]

    def at(self, place: Place) -> list[Node]:
        """Return the layers of one place, as they were built."""
        return [n for n, p in self.place.items() if p == place]


def place_nodes(loop: Loop, outputs: Iterable[Node], *, optimise: bool) -> Placement:
    """Decide where the layers of a loop are computed.

    outputs: the layers that are needed outside. optimise: False keeps every layer in the loop.
    """
    own = [n for n in loop.nodes if n.scope is loop.scope]
    needs = {n: [t for m in n.depends() if (t := top(loop, m))] for n in own}
    wanted = reach([n for n in own if n in set(outputs)], needs.__getitem__)
    order = [n for n in own if n in wanted]
    choices = [n for n in order if n.layer.chooses(loop.node.scope.mode)]
    beamed = {n for n in order if any(c in reach([n], needs.__getitem__) for c in choices)}
    staying = _recurrent(loop, order, needs)
    staying |= _of_dims_of_steps(loop) | _meeting(loop)
    company = _company(order)
    if optimise:
        length = _open(loop)
        before = _movable(order, needs, company, staying, beamed, unknown_length=length)
    else:
        before = {n for n in order if n.layer.layer_class == "step_input"}
    ends = (n for n in order if n.name == "end" and _open(loop))
    fixed = {*staying, *choices, *ends}
    after = _not_needed_in_loop(order, needs, company, before, fixed) if optimise else set()
    place: dict[Node, Place] = {}
    for node in order:
        place[node] = "before" if node in before else "after" if node in after else "in"
    for node in loop.nodes:
        owner = top(loop, node)
        if owner is not None and owner in place:
            place.setdefault(node, place[owner])
            beamed |= {node} if owner in beamed else set()
    return Placement(place, frozenset(beamed))


def _of_dims_of_steps(loop: Loop) -> set[Node]:
    """Return the layers that stay by themselves, and those with a dim that these make.

    Its lengths differ between steps, so that it is not there for all of them at once; those of a
    dim that is derived from others are, if theirs are.
    """
    found = {n for n in loop.nodes if n.layer.stays(n) and loop.varies(n)}
    made = _made(found)
    for node in loop.nodes:
        seen = [template_of(node), *(template_for(n, node) for n in node.depends())]
        if any(_rests_on(d, made) for x in seen for d in x.dims):
            found.add(node)
    return {n for m in found if (n := top(loop, m)) is not None}


def _made(nodes: set[Node]) -> set[Dim]:
    """Return the dims whose lengths layers that stay in a loop find, in every step anew."""
    dims = {d for n in nodes for d in template_of(n).dims if d.dynamic and not d.parts}
    return dims - {d for n in nodes for m in n.depends() for d in template_for(m, n).dims}


def check_outside(loop: Loop, nodes: Iterable[Node]) -> None:
    """Raise NetworkError for a layer that is used outside of its loop, with a dim of its steps."""
    counted = [n for n in loop.nodes if any(map(loop.varies, chain(*n.refs.values())))]
    made = _made({n for n in counted if n.layer.stays(n)})
    for node in nodes:
        for dim in template_of(node).dims:
            if _rests_on(dim, made):
                raise NetworkError(
                    f"{node}: found {dim} in {template_of(node)}, of other lengths in every step, "
                    f"needed no such dim outside of {loop.node}; try what is made of it in the "
                    "loop, such as its sum over that dim"
                )


def _rests_on(dim: Dim, dims: set[Dim]) -> bool:
    """Whether a dim is one of some, or derived from one."""
    return dim in dims or any(_rests_on(part, dims) for part in dim.parts)


def _meeting(loop: Loop) -> set[Node]:
    """Return the layers that differ by steps and get or make, in each of them, the loop's own dim.

    Such are those over all frames of what the loop runs over: with all steps it were there twice.
    """
    found = set()
    for node in loop.nodes:
        if node.layer.layer_class == "step_input" or not loop.varies(node):
            continue
        seen = [template_of(node), *(template_for(n, node) for n in node.depends())]
        if any(loop.dim in x.dims for x in seen):
            found.add(top(loop, node))
    return {n for n in found if n is not None}


def _open(loop: Loop) -> bool:
    """Whether the loop ends by what happens in it, so that its length is not known before."""
    return "max_len" in loop.node.resolved


def top(loop: Loop, node: Node) -> Node | None:
    """Return the layer of the loop's own subnetwork that a node is or lies in, if any."""
    scope = node.scope
    while scope is not loop.scope:
        if scope.owner is None or scope.parent is None:
            return None
        node, scope = scope.owner, scope.parent
    return node


def reach(start: Iterable[Node], needs: Callable[[Node], Iterable[Node]]) -> set[Node]:
    """Return the nodes that the start nodes need, themselves included."""
    found: set[Node] = set()
    todo = list(start)
    while todo:
        node = todo.pop()
        if node not in found:
            found.add(node)
            todo += needs(node)
    return found


def _company(order: list[Node]) -> dict[Node, list[Node]]:
    """Return for each layer those that it has to be with, by collocate_with of either."""
    found: dict[Node, list[Node]] = {n: [] for n in order}
    for node in order:
        wanted = node.common.collocate_with
        names = [wanted] if isinstance(wanted, str) else wanted
        for other in order:
            if other is not node and other.name in names:
                found[node].append(other)
                found[other].append(node)
    return found


def _movable(
    order: list[Node],
    needs: dict[Node, list[Node]],
    company: dict[Node, list[Node]],
    staying: set[Node],
    beamed: set[Node],
    *,
    unknown_length: bool,
) -> set[Node]:
    """Return the layers that can be computed for the whole sequence before the loop."""
    before = {n for n in order if n not in staying and n not in beamed}
    if unknown_length:
        before = {n for n in before if not n.layer.steps(n)}
    while True:
        stuck = {n for n in before if any(m not in before for m in needs[n] + company[n])}
        if not stuck:
            return before
        before -= stuck


def _recurrent(loop: Loop, order: list[Node], needs: dict[Node, list[Node]]) -> set[Node]:
    """Return the layers that depend on themselves in an earlier step, or in which one does."""
    found = {n for n in order if any(n in reach([m], needs.__getitem__) for m in needs[n])}
    nested = {n: [m for m in _inputs(n) if m.loop is loop] for n in loop.nodes}
    for node in loop.nodes:
        owner = top(loop, node)
        if owner is None or owner in found or owner is node:
            continue
        if any(node in reach([m], nested.__getitem__) for m in nested[node]):
            found.add(owner)
    return found


def _not_needed_in_loop(
    order: list[Node],
    needs: dict[Node, list[Node]],
    company: dict[Node, list[Node]],
    before: set[Node],
    fixed: set[Node],
) -> set[Node]:
    """Return the layers that can be computed for the whole sequence after the loop."""
    rest = [n for n in order if n not in before]
    after = {n for n in rest if n not in fixed}
    while True:
        users = {m for n in rest if n not in after for m in needs[n]}
        stuck = after & users
        stuck |= {n for n in after if any(m not in after and m not in before for m in company[n])}
        if not stuck:
            return after
        after -= stuck


def varying(loop: Loop) -> frozenset[Node]:
    """Return the layers of a loop, nested ones too, whose output may differ from step to step."""
    found = {n for n in loop.nodes if n.layer.steps(n)}
    inputs = {n: {_in_loop(loop, m) for m in _inputs(n)} for n in loop.nodes}
    while True:
        more = {n for n in loop.nodes if n not in found and found & inputs[n]}
        if not more:
            return frozenset(found)
        found |= more


def _in_loop(loop: Loop, node: Node) -> Node:
    """Return the node itself, or the rec layer of a loop in the loop that it lies in."""
    while loop.encloses(node.loop) and node.loop is not loop:
        assert node.loop is not None
        node = node.loop.node
    return node


def _inputs(node: Node) -> list[Node]:
    """Return the layers that the output of a layer depends on, that of its subnetwork included."""
    inner = [] if node.inner is None else [node.inner.get("output")]
    return [*node.depends(), *inner]
