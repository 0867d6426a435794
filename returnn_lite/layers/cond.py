"""A choice between two layers of which only one is computed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from returnn_lite.data import Data, fitted
from returnn_lite.errors import NetworkError
from returnn_lite.frame import StepFrame
from returnn_lite.layers.base import Layer, register
from returnn_lite.lazy import tf
from returnn_lite.node import Mode, Node
from returnn_lite.scope import Scope
from returnn_lite.site import Site

PARTS = ("condition", "true_layer", "false_layer")


class _Branches(Scope):
    """The layers that a cond layer has as dicts; other names mean what they mean around it."""

    def get(self, name: str, asker: str = "") -> Node:
        """Return the layer of a name."""
        assert self.parent is not None
        return super().get(name, asker) if name in self.layers else self.parent.get(name, asker)


@register("cond")
@dataclass(frozen=True, kw_only=True)
class Cond(Layer):
    """One of two layers, by a condition for the whole batch; the other one is not computed.

    condition: bool without dims. true_layer, false_layer: with the same dims. Each is the name of a
    layer, or the dict of one, whose parameters have the names of this layer. See switch for a
    condition by entry.
    """

    default_from = ()
    condition: str | dict[str, Any]
    true_layer: str | dict[str, Any]
    false_layer: str | dict[str, Any]

    def open(self, node: Node) -> None:
        """Build the layers."""
        given = {part: getattr(self, part) for part in PARTS}
        dicts = {part: value for part, value in given.items() if isinstance(value, dict)}
        node.inner = _Branches(
            dicts,
            mode=node.scope.mode,
            path=f"{node.path}/",
            parent=node.scope,
            owner=node,
            loop=node.scope.loop,
            param_path=dict.fromkeys(dicts, node.param_path),
        )
        for part, value in given.items():
            name = part if isinstance(value, dict) else value
            node.resolved[part] = node.inner.get(name, str(node))

    def needs(self, node: Node, mode: Mode) -> Iterable[Node]:
        """Yield the layers of other names; those in the dicts come with the scope."""
        yield from (n for n in self._parts(node) if n.scope is not node.inner)

    def _parts(self, node: Node) -> list[Node]:
        return [node.resolved[part] for part in PARTS]

    def stays(self, node: Node) -> bool:
        """Return True: the condition is that of a step."""
        return True

    def infer(self, site: Site) -> Data:
        """Return the template of both."""
        condition, yes, no = map(site.data, self._parts(site.node))
        if condition.dims or condition.dtype != "bool":
            raise site.error(f"found condition {condition}, needed one bool; try 'switch'")
        known = {d for n in self._outside(site) for d in site.data(n).dims}
        try:
            fitted(no, yes)
        except NetworkError:
            raise site.error(f"found {yes} and {no}, needed the same dims and dtype") from None
        if len(no.dims) != len(yes.dims) or any(
            d.dynamic and d.formula is None and d not in known for d in (*yes.dims, *no.dims)
        ):
            raise site.error(f"found {yes} and {no}, needed dims of the layers that they depend on")
        return yes

    def _outside(self, site: Site) -> list[Node]:
        """Return the layers outside that the branches need."""
        node = site.node
        assert node.inner is not None
        return [*node.inner.external(node.scope.mode), *self.needs(node, node.scope.mode)]

    def call(self, site: Site) -> Data:
        """Return the output of one of them."""
        # What both may need is computed before: a value made in a branch exists there alone.
        for node in self._outside(site):
            site.data(node)
        self._check_states(site)
        condition, yes, no = self._parts(site.node)
        out = site.node.out
        assert out is not None

        def branch(node: Node) -> Any:
            x = self._apart(site, node)
            beams.append(x.beam)
            return fitted(x, out).tensor

        beams: list[Any] = []
        pred = site.data(condition).tensor
        tensor = tf.cond(pred, lambda: branch(yes), lambda: branch(no))
        if any(b is not beams[0] for b in beams):
            raise site.error(f"found beams {beams} in the branches, needed the same")
        return site.as_output(replace(out, beam=beams[0], tensor=tensor))

    def _check_states(self, site: Site) -> None:
        """Raise NetworkError where a layer in a branch has a state, which the other cannot keep."""
        inner = site.node.inner
        assert site.frame is not None and inner is not None
        before = site.frame.states_before if isinstance(site.frame, StepFrame) else {}
        held = [n for n, _ in before if inner.contains(n)]
        if held:
            raise site.error(f"found {held[0]}, which has a state, in a branch; try it outside")

    def _apart(self, site: Site, node: Node) -> Data:
        """Return the value of a layer, and forget what was computed for it."""
        assert site.frame is not None and site.node.inner is not None
        frame = site.frame.home(node)
        before, updates, kept = dict(frame.values), len(site.run.updates), len(site.run.carry)
        value = site.data(node)
        if len(site.run.updates) > updates:
            raise site.error(f"found running means in {node}, needed none in a branch")
        if len(site.run.carry) > kept:
            raise site.error(f"found a state that is kept in {node}, needed none in a branch")
        frame.values.clear()
        frame.values.update(before)
        return value
