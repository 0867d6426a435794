"""The loop of a rec layer: its dim, and what its subnetwork sees in each step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from returnn_lite.dim import Dim

if TYPE_CHECKING:
    from returnn_lite.node import Node
    from returnn_lite.scope import Scope


class Loop:
    """A rec layer's loop. node: the rec layer. dim: what it runs over. scope: its subnetwork.

    nodes: everything that lies in the loop, including what lies in subnetworks there.
    """

    def __init__(self, node: Node):
        self.node = node
        self.dim: Dim = node.dim("spatial", "steps")
        self.scope: Scope | None = None
        self.nodes: list[Node] = []
