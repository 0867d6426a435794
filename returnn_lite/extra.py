"""An extra network: layers of a network once more, such as with a search in its training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from returnn_lite.errors import NetworkError, nearest
from returnn_lite.network_dict import mode_of
from returnn_lite.node import Node
from returnn_lite.scope import Scope


class Extra(Scope):
    """The layers `<prefix>:<name>` of a network, which have the parameters of its layers `<name>`.

    main: the network. prefix: "extra" or "extra.<word>"; where it has ".search", choices search,
    else they do not, whatever they do in the network. Such a layer is that of the dict with this
    name, or else `<name>` once more. What it names is a layer with the prefix where the dict has
    one, else the network's. As in RETURNN, where it is an overlay of the network.
    """

    def __init__(self, main: Scope, prefix: str):
        path = f"{prefix}:"
        super().__init__(main.layers, mode=mode_of(path, main.mode), path=path, param_path="")
        self.main = main
        self.inputs, self.registered, self.named = main.inputs, main.registered, main.named
        self.behavior_version, self.stepwise = main.behavior_version, main.stepwise
        self._opening = main._opening

    def root(self) -> Scope:
        """Return the network."""
        return self.main

    def get(self, name: str, asker: str = "") -> Node:
        """Return the layer that a layer here names."""
        if isinstance(name, str) and self.path + name.partition("/")[0] in self.layers:
            return self.own(name, asker)
        return self.main.get(name, asker)

    def own(self, name: str, asker: str) -> Node:
        """Return a layer of this network, or `x/y`. Raises NetworkError where the dict has none."""
        head, _, rest = name.partition("/")
        if not {head, self.path + head} & self.layers.keys():
            name = self.path + head
            raise NetworkError(f"{asker}: no layer {name!r}{nearest(name, self.layers)}")
        owner = self.nodes.get(head) or self._opened(head)
        found = self._within(owner, rest, asker) if rest else owner
        if found is None:
            raise NetworkError(f"{asker}: no layer {self.path + name!r}")
        return found

    def _options(self, name: str) -> Any:
        return self.layers.get(self.path + name, self.layers.get(name))

    def all_nodes(self) -> Iterator[Node]:
        """Yield the layers here, and those of the subnetworks in them, without the streams."""
        for node in [*self.nodes.values(), *self._views.values()]:
            yield node
            if node.inner is not None:
                yield from node.inner.all_nodes()
