"""Subnetworks, and what all units of layers are opened with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from returnn_lite.data import Data
from returnn_lite.layers.base import Layer, register
from returnn_lite.layers.inputs import ScopeInput
from returnn_lite.node import Common, Node
from returnn_lite.site import Site

if TYPE_CHECKING:
    from returnn_lite.scope import Scope


def open_scope(
    node: Node, layers: dict[str, Any], param_path: str | dict[str, str], *, joins: bool = True
) -> Node:
    """Give the node a subnetwork whose `data` is the node's input; return its output layer.

    param_path: the prefix of the parameters' names, or that of each layer. joins: whether the
    sources are one input.
    """
    from returnn_lite.scope import Scope

    scope = Scope(
        layers,
        mode=node.scope.mode,
        path=f"{node.path}/",
        parent=node.scope,
        owner=node,
        loop=node.scope.loop,
        param_path=param_path,
    )
    node.inner = scope
    if node.sources and joins:
        _add_input(scope, "data", ScopeInput(owner=node))
    elif node.sources:
        for i, source in enumerate(node.sources):
            view = _add_input(scope, str(i), ScopeInput(owner=node, index=i))
            scope.inputs.setdefault(source.name, view)
            scope.inputs.setdefault("data", view)
    return scope.get("output", str(node))


def _add_input(scope: Scope, key: str, layer: ScopeInput) -> Node:
    """Make what `data:<key>` means in a subnetwork."""
    view = Node(key, layer, Common(), scope, f"{layer.owner.path}/{key}")
    scope.inputs[key] = view
    if scope.loop is not None:
        scope.loop.nodes.append(view)
    return view


@register("subnetwork")
@dataclass(frozen=True, kw_only=True)
class Subnetwork(Layer):
    """A network in the network; its output is that of its layer `output`.

    subnetwork: the network dict, in which `data` is the input; layers of it that have a loss, or
    are output layers, are computed, too. concat_sources: False for sources that are not joined:
    there, `data:0` is the first one, as is `data`, and `data:1` the next one. load_on_init: a
    checkpoint from which its parameters are taken, by their names in it.
    """

    subnetwork: dict[str, Any]
    concat_sources: bool = True
    load_on_init: str | None = None
    n_out: int | None = None

    def open(self, node: Node) -> None:
        """Build the subnetwork, and the layers of it that have a loss or are outputs."""
        from returnn_lite.network_dict import is_output

        open_scope(node, self.subnetwork, node.param_name(""), joins=self.concat_sources)
        assert node.inner is not None
        for name, opts in self.subnetwork.items():
            if is_output(opts, node.scope.mode, in_loop=node.loop is not None):
                node.inner.get(name)

    def begins_as(self, node: Node) -> Node:
        """Return the layer `output`."""
        assert node.inner is not None
        return node.inner.get("output")

    def inner_input(self, site: Site) -> Data:
        """Return what `data` is in the subnetwork."""
        return site.source

    def infer(self, site: Site) -> Data:
        """Return the template of the layer `output`."""
        out = self._output(site)
        size = out.feature_dim.size if out.feature_dim is not None else None
        if self.n_out not in (None, size):
            raise site.error(f"found n_out {self.n_out}, needed that of {out}")
        return out

    def call(self, site: Site) -> Data:
        """Return the output of the layer `output`."""
        return self._output(site)

    def _output(self, site: Site) -> Data:
        assert site.node.inner is not None
        return site.data(site.node.inner.get("output"))
