"""A dict of layers under one prefix, and what the names in it mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from returnn_lite import losses
from returnn_lite.errors import NetworkError, nearest
from returnn_lite.first_words import FILLED, OF_OUTPUT, check_word
from returnn_lite.infer import template_of
from returnn_lite.layers.base import find_class, split_options
from returnn_lite.layers.inputs import Prev, ScopeInput, StepIndex, StepInput
from returnn_lite.network_dict import extra_prefix, registered_layers
from returnn_lite.node import Common, Mode, Node
from returnn_lite.reuse import opened

if TYPE_CHECKING:
    from returnn_lite.dim import Dim
    from returnn_lite.extra import Extra
    from returnn_lite.layers.base import Layer
    from returnn_lite.loop import Loop


class Scope:
    """The layers of a network or subnetwork; one is built when its name is first asked for.

    layers: the network dict. path: the prefix of the layers' names. param_path: that of the names
    of parameters, or the names by layer. owner: the layer whose subnetwork this is. loop: the rec
    layer's loop in which it lies. inputs: what `data:<key>` means. default_target: what a loss
    without a target is computed with. behavior_version: that of the config. named: what Dims of the
    config mean. registered: layers that take the place of streams, by the names of these. stepwise:
    whether all layers of loops stay in them.
    """

    def __init__(
        self,
        layers: dict[str, Any],
        *,
        mode: Mode,
        path: str = "",
        parent: Scope | None = None,
        owner: Node | None = None,
        loop: Loop | None = None,
        param_path: str | dict[str, str] | None = None,
    ):
        self.layers = layers
        self.mode = mode
        self.path = path
        self.param_path = path if param_path is None else param_path
        self.parent = parent
        self.owner = owner
        self.loop = loop
        self.inputs: dict[str, Node] = {}
        self.nodes: dict[str, Node] = {}
        self.extras: dict[str, Extra] = {}
        self._views: dict[tuple[str, Node], Node] = {}
        self._opening: set[str] = set()
        self.default_target = "classes"
        self.behavior_version: int = 0 if parent is None else parent.behavior_version
        self.stepwise: bool = parent is not None and parent.stepwise
        self.named: dict[Dim, Dim] = {} if parent is None else parent.named
        self.registered = registered_layers(layers, mode) if parent is None else {}

    @property
    def is_body(self) -> bool:
        """Whether this is the subnetwork that a rec layer runs step by step."""
        return self.loop is not None and self.loop.node is self.owner

    def get(self, name: str, asker: str = "") -> Node:
        """Return the layer of a name as `from` writes it: `x`, `x/y`, `prev:`, `base:`, `data:`."""
        if not isinstance(name, str):
            raise NetworkError(f"{asker}: found {name!r}, needed the name of a layer")
        if self.parent is None and (prefix := extra_prefix(name)):
            return self.extra(prefix).own(name.removeprefix(f"{prefix}:"), asker)
        if name in self.layers:
            return self.nodes.get(name) or self._opened(name)
        if self.masks and self.parent is not None and not (name == "data" and self.inputs):
            return self._masked(self.parent.get(name, asker))
        if name == "data" or name.startswith("data:"):
            return self._data(name.removeprefix("data").lstrip(":") or "data", asker)
        if name.startswith("base:"):
            if self.parent is None:
                raise NetworkError(f"{asker}: found {name!r} where no layer is around this network")
            return self.parent.get(name.removeprefix("base:"), asker)
        if name.startswith("prev:"):
            if self.loop is None:
                raise NetworkError(
                    f"{asker}: found {name!r}, which only the unit of a rec layer has"
                )
            return self.view("prev", Prev(), self.get(name.removeprefix("prev:"), asker))
        if name == ":i" and self.loop is not None and self.loop.scope is not None:
            return self._index(self.loop.scope)
        head, _, rest = name.partition("/")
        if rest and head in self.layers:
            found = self._within(self.get(head, asker), rest, asker)
            if found is not None:
                return found
        names = [*self.layers, *(f"data:{key}" for key in self.root().inputs)]
        if self.parent is not None:
            names += [f"base:{layer}" for layer in self.parent.layers if layer != "output"]
        raise NetworkError(f"{asker}: no layer {name!r}{nearest(name, names)}")

    def _within(self, owner: Node, rest: str, asker: str) -> Node | None:
        """Return what `<layer>/<rest>` means, if the layer has parts or a subnetwork."""
        if rest in (parts := owner.layer.parts(owner)):
            return self.view(rest, parts[rest], owner, path=f"{owner.path}/{rest}")
        if owner.inner is None:
            return None
        if not owner.inner.masks:
            found: Node | None = owner.inner.get(rest, asker)
        else:
            found = owner.inner._within(owner.inner.get("output"), rest, asker)
        if found is None:
            return None
        owner.wanted.add(found)
        return owner.layer.seen(owner, found)

    def extra(self, prefix: str) -> Extra:
        """Return an extra network of this network."""
        from returnn_lite.extra import Extra

        if prefix not in self.extras:
            self.extras[prefix] = Extra(self, prefix)
        return self.extras[prefix]

    @property
    def masks(self) -> bool:
        """Whether it is that of the unit of a masked_computation, whose names are those around."""
        return self.owner is not None and self.owner.layer.layer_class == "masked_computation"

    def _masked(self, outside: Node) -> Node:
        """Return a layer from around the unit of a masked_computation as that unit sees it."""
        assert self.owner is not None
        if self.loop is not None and outside.loop is not self.loop:
            return outside
        return self.view("masked", ScopeInput(owner=self.owner, of=outside), outside)

    def _index(self, body: Scope) -> Node:
        """Return the one node that counts the steps of a loop."""
        if ":i" not in body.nodes:
            body.nodes[":i"] = Node(":i", StepIndex(), Common(), body, f"{body.path}:i")
            body._register(body.nodes[":i"])
        return body.nodes[":i"]

    def _data(self, key: str, asker: str) -> Node:
        registered = self.registered.get(key)
        if registered is not None and registered not in self._opening:
            return self.get(registered, asker)
        if key in self.inputs:
            return self.inputs[key]
        if self.parent is None:
            raise NetworkError(f"{asker}: no data stream {key!r}{nearest(key, self.inputs)}")
        outer = self.parent._data(key, asker)
        return self.view("step", StepInput(), outer) if self.is_body else outer

    def view(self, kind: str, layer: Layer, of: Node, *, path: str | None = None) -> Node:
        """Return the one node that shows another node's output of the step before, or a part."""
        if (kind, of) not in self._views:
            name = f"{kind}:{of.name}"
            node = Node(name, layer, Common(), self, path or self.path + name)
            node.sources = [of]
            self._views[kind, of] = node
            self._register(node)
        return self._views[kind, of]

    def _opened(self, name: str) -> Node:
        """Build a layer; meanwhile, `data:` is the stream that it registers itself as."""
        path = self.path + name
        self._opening.add(path)
        try:
            return self._build(name)
        finally:
            self._opening.discard(path)

    def _options(self, name: str) -> Any:
        """Return what the dict has for a layer."""
        return self.layers[name]

    def _build(self, name: str) -> Node:
        """Build a layer and, through their names, the layers that it depends on."""
        path = self.path + name
        opts = self._options(name)
        if not isinstance(opts, dict) or "class" not in opts:
            raise NetworkError(f"{path}: found {opts!r}, needed a dict with 'class'")
        opts = dict(opts)
        where = f"{path} ({opts['class']})"
        cls = find_class(opts.pop("class"), opts, where)
        sources = cls.sources_of(opts)
        layer, common = split_options(cls, opts, where, self.behavior_version)
        node = Node(name, layer, common, self, path)
        node.param_path = self.param_path_of(name, common.name_scope)
        self.nodes[name] = node
        self._register(node)
        if isinstance(sources, str):
            sources = [sources]
        if not isinstance(sources, list | tuple | None):
            raise NetworkError(f"{where}: found {sources!r} in 'from', needed a layer or a list")
        if cls.paired_sources:
            sources, node.resolved["from_axes"] = _unzipped(sources, where)
        node.sources = [self.get(s, where) for s in sources or []]
        for key in cls.refs:
            value = getattr(layer, key)
            names = value if isinstance(value, list | tuple) else [value]
            found = [self.get(n, where) for n in names if isinstance(n, str) and n not in FILLED]
            if found:
                node.refs[key] = found
        if common.reuse_params is not None:
            reused: Any = common.reuse_params
            if isinstance(reused, str) and getattr(layer, "use_transposed_weights", False):
                # Of an embedding: the bias is another one.
                reused = {"map": {"W": reused}, "auto_create_missing": True}
            node.reuse = opened(reused, lambda n: self.get(n, where), where)
            node.refs["reuse_params"] = node.reuse.outputs()
        check_word(common.initial_output, OF_OUTPUT, "initial_output", where)
        if isinstance(common.initial_output, str) and common.initial_output not in OF_OUTPUT:
            node.initial = self.get(common.initial_output, where)
            if node.initial.loop is not None and node.initial.loop is self.loop:
                raise NetworkError(
                    f"{where}: found initial_output {common.initial_output!r}, "
                    "needed a number or a layer outside of the loop, such as 'base:x'"
                )
        layer.open(node)
        losses.open_loss(node)
        if common.target is None and node.criterion is not None and node.criterion.needs_target:
            node.common = common = replace(common, target=self.target_by_default())
        if common.target is not None and self._wants_target(node, common.target):
            node.target = self.target(common.target, where)
            if node.criterion is not None:
                losses.keep(losses.target_of(node) or node.target)
        return node

    def param_path_of(self, name: str, name_scope: str | None = None) -> str:
        """Return the prefix of the names of a layer's parameters."""
        paths = self.param_path
        own = paths[name] if isinstance(paths, dict) else paths + _in_params(name)
        if name_scope is None:
            return own
        if name_scope.startswith("/"):
            return name_scope.strip("/")
        return "/".join(filter(None, [own.rpartition("/")[0], name_scope]))

    def _wants_target(self, node: Node, target: str) -> bool:
        """Whether a layer's target is used; in a search it need not exist."""
        sized = node.layer.sized_by_target and getattr(node.layer, "n_out", None) is None
        if node.criterion is None and node.layer.layer_class != "choice" and not sized:
            return False
        root, stream = self.root(), target.removeprefix("data:")
        return not self.mode.search or stream in root.inputs or stream in root.registered

    def target_by_default(self) -> str | None:
        """Return the target of a loss whose layer names none, if there is such a stream."""
        root = self.root()
        known = root.default_target in root.inputs or root.default_target in root.registered
        return root.default_target if known else None

    def target(self, name: str, asker: str) -> Node:
        """Return the layer `layer:<name>` or of that name, or else the stream `data:<name>`."""
        if name in self.layers or name.startswith("layer:"):
            return self.get(name.removeprefix("layer:"), asker)
        return self.get(f"data:{name.removeprefix('data:')}", asker)

    def stream_dims(self) -> set[Dim]:
        """Return the dims of the data streams."""
        return {d for node in self.root().inputs.values() for d in template_of(node).dims}

    def root(self) -> Scope:
        """Return the scope of the whole network."""
        return self if self.parent is None else self.parent.root()

    def _register(self, node: Node) -> None:
        if self.loop is not None:
            self.loop.nodes.append(node)

    def all_nodes(self) -> Iterator[Node]:
        """Yield the layers of this scope and of the subnetworks in it."""
        own = [*self.nodes.values(), *self._views.values(), *self.inputs.values()]
        for node in dict.fromkeys(own):
            yield node
            if node.inner is not None:
                yield from node.inner.all_nodes()
        for extra in self.extras.values():
            yield from extra.all_nodes()

    def unused(self) -> list[str]:
        """Return the layers of the dict that nothing needs, which are not built."""
        built = {*self.nodes, *(e.path + n for e in self.extras.values() for n in e.nodes)}
        return [name for name in self.layers if name not in built]

    def unused_params(self) -> Callable[[str], bool]:
        """Return whether a parameter's name is that of a layer that is in the dict, but not built.

        That holds for layers of subnetworks, too.
        """
        prefixes = []
        scopes = [self, *(n.inner for n in self.all_nodes() if n.inner is not None)]
        for scope in scopes:
            paths = scope.param_path
            for name in scope.layers.keys() - scope.nodes.keys():
                path = paths.get(name) if isinstance(paths, dict) else paths + _in_params(name)
                prefixes += [f"{path}/"] if path is not None else []
        return lambda name: name.startswith(tuple(prefixes))

    def contains(self, node: Node) -> bool:
        """Whether a node lies in this scope or in a subnetwork in it."""
        scope: Scope | None = node.scope
        while scope is not None and scope is not self:
            scope = scope.parent
        return scope is self

    def external(self, *, in_step: bool = False) -> list[Node]:
        """Return the layers outside of this scope that layers in it need.

        in_step: only those that its layer `output` needs in the same step of a loop.
        """
        found: dict[Node, None] = {}
        nodes = list(self.all_nodes())
        if in_step:
            nodes = self._of_step()
        needed = {m for n in nodes for m in n.layer.needs(n)}
        for node in nodes:
            # In a search, a target that nothing looks at need not be in the batch.
            if self.mode.search and isinstance(node.layer, StepInput) and node not in needed:
                continue
            for other in node.layer.needs(node):
                if not self.contains(other):
                    found[other] = None
        return list(found)

    def _of_step(self) -> list[Node]:
        """Return the layers in this scope that its layer `output` needs in the same step."""
        found: dict[Node, None] = {}
        todo = [self.get("output")]
        while todo:
            node = todo.pop()
            if node in found or not self.contains(node):
                continue
            found[node] = None
            todo += node.depends_in_step()
            if node.inner is not None:
                own = node.layer.layer_class == "subnetwork"
                inside = node.inner._of_step() if own else node.inner.all_nodes()
                found |= dict.fromkeys(inside)
        return [n for n in found if n.layer.layer_class != "prev"]


# Letters that TensorFlow has not in the names of variables.
_NO_LETTERS = str.maketrans(dict.fromkeys(":(){}&+-*'\" ,", "__"))


def _in_params(name: str) -> str:
    """Return what a layer is called in the names of its parameters, as in RETURNN's checkpoints."""
    name = name.encode("ascii", "ignore").decode().translate(_NO_LETTERS)
    return f".{ord(name[0])}.{name[1:]}" if name[:1] in ("_", "\\", "/") else name


def _unzipped(sources: Any, where: str) -> tuple[list[Any], list[Any]]:
    """Return the layers and the axes of `from` as a list of pairs."""
    pairs = sources if isinstance(sources, list | tuple) else []
    if not pairs or any(not isinstance(p, list | tuple) or len(p) != 2 for p in pairs):
        raise NetworkError(f"{where}: found {sources!r} in 'from', needed [(layer, axis), ...]")
    return [p[0] for p in pairs], [p[1] for p in pairs]
