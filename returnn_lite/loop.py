"""The loop of a rec layer: its dim, and what its subnetwork sees in each step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from returnn_lite.dim import Dim

if TYPE_CHECKING:
    from returnn_lite.node import Node
    from returnn_lite.scope import Scope


class Loop:
    """A rec layer's loop. node: the rec layer. dim: what it runs over. scope: its subnetwork.

    nodes: everything that lies in the loop, including what lies in subnetworks there. unknown:
    while templates are inferred, the layers that do not have one yet.
    """

    def __init__(self, node: Node):
        self.node = node
        self.dim: Dim = node.dim("spatial", "steps")
        self.scope: Scope | None = None
        self.nodes: list[Node] = []
        self.unknown: set[Node] | None = None
        self._varying: frozenset[Node] | None = None

    def varies(self, node: Node) -> bool:
        """Whether the output of a layer, nested ones too, may differ from step to step."""
        if self._varying is None:
            from returnn_lite.rec.placement import varying

            self._varying = varying(self)
        return node in self._varying

    def encloses(self, other: Loop | None) -> bool:
        """Whether another loop is this one or lies in it."""
        while other is not None and other is not self:
            other = other.node.loop
        return other is self
