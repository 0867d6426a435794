"""A choice between two layers of which only one is computed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from returnn_lite.data import Data, fitted
from returnn_lite.errors import NetworkError
from returnn_lite.frame import StepFrame
from returnn_lite.layers.base import Layer, register
from returnn_lite.lazy import tf
from returnn_lite.node import Node
from returnn_lite.scope import Scope
from returnn_lite.site import Site

BRANCHES = ("true_layer", "false_layer")
PARTS = ("condition", *BRANCHES)


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
    layer, or the dict of one, whose parameters have the names of this layer. Output layers of equal
    name in two subnetworks are a part of that name of this layer. See switch for a condition by
    entry.
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
            # As in RETURNN, they have the layer's name even with a name_scope.
            param_path=dict.fromkeys(dicts, node.scope.param_path_of(node.name)),
        )
        for part, value in given.items():
            name = part if isinstance(value, dict) else value
            node.resolved[part] = node.inner.get(name, str(node))

    def parts(self, node: Node) -> Mapping[str, Layer]:
        """Return the layers that are outputs of the subnetworks of both."""
        inner = [n.inner.layers for n in self._parts(node)[1:] if n.plain("subnetwork") and n.inner]
        names = [[k for k, opts in x.items() if opts.get("is_output_layer")] for x in inner]
        both = [k for k in names[0] if k in names[1]] if len(names) == 2 else []
        return {name: CondPart(of=node, part=name) for name in both}

    def needs(self, node: Node) -> Iterable[Node]:
        """Yield the layers of other names; those in the dicts come with the scope."""
        yield from (n for n in self._parts(node) if n.scope is not node.inner)

    def _parts(self, node: Node) -> list[Node]:
        return [node.resolved[part] for part in PARTS]

    def stays(self, node: Node) -> bool:
        """Return True: the condition is that of a step."""
        return True

    def infer(self, site: Site) -> Data:
        """Return the template of both."""
        condition, *branches = map(site.data, self._parts(site.node))
        if condition.dims or condition.dtype != "bool":
            raise site.error(f"found condition {condition}, needed one bool; try 'switch'")
        return self._template(site, None, *branches)

    def infer_part(self, site: Site, name: str) -> Data:
        """Return the template of what layers of one name make in both."""
        return self._template(site, name, *(site.data(self._node(site, k, name)) for k in BRANCHES))

    def _node(self, site: Site, branch: str, name: str | None) -> Node:
        """Return the layer of a branch or, of a subnetwork, the one of that name in it."""
        node: Node = site.node.resolved[branch]
        if name is None:
            return node
        assert node.inner is not None
        return node.inner.get(name, str(site.node))

    def _template(self, site: Site, name: str | None, yes: Data, no: Data) -> Data:
        """Return the template of both, and keep it; NetworkError where they differ."""
        known = {d for n in self._outside(site) for d in site.data(n).dims}
        known |= site.node.scope.stream_dims()
        try:
            fitted(no, yes)
        except NetworkError:
            raise site.error(f"found {yes} and {no}, needed the same dims and dtype") from None
        if len(no.dims) != len(yes.dims) or any(
            not known >= d.leaves() and d not in known for d in (*yes.dims, *no.dims) if d.dynamic
        ):
            raise site.error(f"found {yes} and {no}, needed dims of the layers that they depend on")
        site.node.resolved.setdefault("outputs", {})[name] = yes
        return yes

    def _outside(self, site: Site) -> list[Node]:
        """Return the layers outside that the branches need."""
        node = site.node
        assert node.inner is not None
        return [*node.inner.external(), *self.needs(node)]

    def call(self, site: Site) -> Data:
        """Return the output of one of them."""
        # What both may need is computed before: a value made in a branch exists there alone.
        for node in self._outside(site):
            site.data(node)
        self._check_states(site)
        outputs: dict[str | None, Data] = site.node.resolved["outputs"]
        beams: dict[str | None, list[Any]] = {name: [] for name in outputs}
        means = self._means(site)

        def branch(key: str) -> Any:
            values, changed = self._apart(site, [self._node(site, key, name) for name in outputs])
            for found, x in zip(beams.values(), values, strict=True):
                found.append(x.beam)
            if changed.keys() - set(means):
                raise site.error(f"found running means of others in {key}, needed its own")
            tensors = [fitted(x, y).tensor for x, y in zip(values, outputs.values(), strict=True)]
            return tensors, [
                tf.convert_to_tensor(changed.get(k, site.run.params[k])) for k in means
            ]

        pred = site.data(site.node.resolved["condition"]).tensor
        tensors, updates = tf.cond(pred, *(partial(branch, key) for key in BRANCHES))
        site.run.updates.update(zip(means, updates, strict=True))
        for (name, x), tensor in zip(outputs.items(), tensors, strict=True):
            if any(b is not beams[name][0] for b in beams[name]):
                raise site.error(f"found beams {beams[name]} in the branches, needed the same")
            made = replace(x, beam=beams[name][0], tensor=tensor)
            if name is None:
                out = made
            else:
                site.set_state(name, made)
        return site.as_output(out)

    def _means(self, site: Site) -> list[str]:
        """Return the parameters of layers in the branches that are running means."""
        assert site.node.inner is not None
        nodes = [n for n in site.node.inner.all_nodes() if n.trainable]
        return sorted(k for n in nodes for k, spec in n.params.items() if not spec.trainable)

    def _check_states(self, site: Site) -> None:
        """Raise NetworkError where a layer in a branch has a state, which the other cannot keep."""
        inner = site.node.inner
        assert site.frame is not None and inner is not None
        before = site.frame.states_before if isinstance(site.frame, StepFrame) else {}
        held = [n for n, _ in before if inner.contains(n)]
        if held:
            raise site.error(f"found {held[0]}, which has a state, in a branch; try it outside")

    def _apart(self, site: Site, nodes: list[Node]) -> tuple[list[Data], dict[str, Any]]:
        """Return the values of layers, and running means, and forget what was computed for them."""
        assert site.frame is not None
        run, frame = site.run, site.frame.home(nodes[0])
        before, updates, kept = dict(frame.values), dict(run.updates), len(run.carry)
        run.updates.clear()
        values = [site.data(n) for n in nodes]
        changed = dict(run.updates)
        if len(run.carry) > kept:
            raise site.error(f"found a state that is kept in {nodes[0]}, needed none in a branch")
        for held, was in ((frame.values, before), (run.updates, updates)):
            held.clear()
            held.update(was)
        return values, changed


@dataclass(frozen=True, kw_only=True)
class CondPart(Layer):
    """What the layer of one name makes in the branch of a cond layer that is computed."""

    layer_class = "cond_part"
    of: Node
    part: str

    def infer(self, site: Site) -> Data:
        """Return the template of both."""
        layer: Any = self.of.layer
        assert site.sources
        found: Data = layer.infer_part(site.of(self.of), self.part)
        return found

    def call(self, site: Site) -> Data:
        """Return the value."""
        assert site.frame is not None
        return site.frame.hidden(self.of, self.of, self.part)
