"""The hidden state of recurrent layers, as other layers see it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from returnn_lite.data import Data, common, join_features
from returnn_lite.errors import NetworkError
from returnn_lite.infer import template_for, template_of
from returnn_lite.layers.base import Layer, register
from returnn_lite.lazy import tf
from returnn_lite.node import Node
from returnn_lite.site import Site


def has_hidden_state(node: Node) -> bool:
    """Whether a layer has a hidden state that others may use."""
    return "cell" in unit_of(node).resolved


def unit_of(node: Node) -> Node:
    """Return the recurrent layer that a layer is: `prev:x` is x, a masked unit is its unit."""
    if node.layer.layer_class == "prev":
        return unit_of(node.sources[0])
    if node.layer.layer_class == "masked_computation" and node.inner is not None:
        return unit_of(node.inner.get("output"))
    return node


def keys_of(node: Node, key: str | int | None) -> list[str]:
    """Return the parts of a hidden state that a key means; "*" and "flat" for all of them."""
    shown: tuple[str, ...] = unit_of(node).resolved["cell"].shown
    if key in ("*", "flat"):
        return list(shown)
    if key is None and len(shown) == 1:
        return list(shown)
    if isinstance(key, int) and 0 <= key < len(shown):
        return [shown[key]]
    if key not in shown:
        raise NetworkError(f"found key {key!r} for {node}, needed one of {', '.join(shown)} or '*'")
    return [str(key)]


def hidden_state(site: Site, node: Node, key: str | int | None) -> Data:
    """Return parts of the hidden state of a layer, one after another in the feature dim.

    It is that after the last step; of `prev:x`, and of x in a step of its loop, that of the step.
    """
    unit, keys = unit_of(node), keys_of(node, key)
    if site.frame is None:
        template_for(node, site.node)
        out, over = template_of(node), unit.resolved.get("over")
        if over is not None and node.layer.layer_class == "prev":
            raise NetworkError(
                f"found the state of {node.path}, which runs over {over.name!r} in each step, "
                "needed a unit that runs over the loop; try 'prev:' of a get_last_hidden_state"
            )
        over = out.time_dim if node.layer.layer_class == "masked_computation" and over else over
        parts = [out if over is None else out.without(over)] * len(keys)
    elif node.layer.layer_class == "prev":
        parts = [site.frame.state(unit, k) for k in keys]
    else:
        parts = [site.frame.hidden(node, unit, k) for k in keys]
    if len(parts) == 1:
        return parts[0]
    size = sum(p.feature_size for p in parts)
    return join_features(parts, site.node.dim("feature", f"state of {unit.path}", size))


def let_read(node: Node, reader: Node) -> None:
    """Let the hidden state of a layer be kept for another one."""
    unit, loop = unit_of(node), node.loop
    # From within its loop it is read in each step, from outside at the end.
    if loop is not None and loop is reader.loop:
        unit.resolved["state_is_read"] = True
    elif loop is not None and not loop.encloses(reader.loop):
        unit.resolved["final_state"] = True
        loop.node.wanted.add(node)


@register("get_last_hidden_state")
@dataclass(frozen=True, kw_only=True)
class GetLastHiddenState(Layer):
    """The hidden state of recurrent layers: after the last step or, in their loop, after the step.

    out: float [batch, n_out]. key: the part of the state, "*" for all. combine: several layers'
    states are joined ("concat"), or added ("add").
    """

    n_out: int
    key: str | int | None = "*"
    combine: Literal["concat", "add"] = "concat"

    def stays(self, node: Node) -> bool:
        """Return whether it reads the state of each step: no kernel keeps them all."""
        return node.loop is not None

    def infer(self, site: Site) -> Data:
        """Return the template [batch, n_out]."""
        if not site.node.sources:
            raise site.error("found no source, needed recurrent layers in 'from'")
        for source in site.node.sources:
            if not has_hidden_state(source):
                raise site.error(
                    f"found {source}, which has no hidden state, needed a rec layer with a "
                    "predefined unit"
                )
            let_read(source, site.node)
        out = self._states(site)
        if out.feature_size != self.n_out:
            raise site.error(f"found n_out {self.n_out}, needed that of the state {out}")
        return replace(out, tensor=None).with_feature(site.feature(self.n_out))

    def call(self, site: Site) -> Data:
        """Return the states."""
        x = self._states(site)
        x = x.last(x.feature)
        return replace(x.with_feature(site.feature(self.n_out)), tensor=x.tensor)

    def _states(self, site: Site) -> Data:
        try:
            states = [hidden_state(site, n, self.key) for n in site.node.sources]
        except NetworkError as error:
            raise error if error.located else site.error(str(error)) from None
        if len(states) == 1:
            return states[0]
        if self.combine == "concat":
            size = sum(s.feature_size for s in states)
            return join_features(states, site.node.dim("feature", "states", size))
        states = common(states)
        tensor: Any = None if site.frame is None else tf.add_n([s.tensor for s in states])
        return replace(states[0], tensor=tensor)
