"""The hidden state of a recurrent layer before its first step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from returnn_lite.cells import Cell
from returnn_lite.data import Data, fitted
from returnn_lite.errors import NetworkError
from returnn_lite.first_words import FILLED, KEPT, OF_STATE, check_word
from returnn_lite.layers import kept_state
from returnn_lite.layers.hidden_state import has_hidden_state, hidden_state, let_read
from returnn_lite.lazy import tf
from returnn_lite.node import Node
from returnn_lite.site import Site


def open_state(node: Node, cell: Cell, given: Any) -> None:
    """Find what each part of the state begins with, and build the layers that are named.

    Sets resolved["initial"]: for each part a word of OF_STATE, or the name of a reference.
    """
    shown = cell.shown
    words = dict.fromkeys(cell.states, "zeros")
    if isinstance(given, dict):
        if set(given) != set(shown):
            raise Site(node).error(f"found initial_state {given!r}, needed the keys {list(shown)}")
        words |= {k: _word(node, k, v) for k, v in given.items()}
    elif isinstance(given, list | tuple):
        if len(given) != len(shown):
            raise Site(node).error(
                f"found initial_state {given!r}, needed one for each of {list(shown)}"
            )
        words |= {k: _word(node, k, v) for k, v in zip(shown, given, strict=True)}
    else:
        words |= dict.fromkeys(shown, _word(node, "", given))
    node.resolved["initial"] = words


def open_given(node: Node, cell: Cell, given: Any) -> None:
    """Build the layers that `state` names: the parts of the state before the one step."""
    named = given
    if not isinstance(given, dict):
        given = given if isinstance(given, list | tuple) else [given]
        named = dict(zip(cell.shown, given, strict=False)) if len(given) == len(cell.shown) else {}
    if set(named) != set(cell.shown):
        raise Site(node).error(f"found state {given!r}, needed layers for {list(cell.shown)}")
    node.refs |= {f"state:{k}": [node.scope.get(name, str(node))] for k, name in named.items()}
    node.resolved["initial"] = {k: f"state:{k}" for k in named}


def _word(node: Node, key: str, value: Any) -> str:
    """Return a word of OF_STATE, or the name of the reference to a layer, which is made."""
    if value is None or value == 0 or value == 1:
        return "ones" if value else "zeros"
    if not isinstance(value, str):
        raise Site(node).error(
            f"found initial_state {value!r}, needed 0, 1, {', '.join(OF_STATE)} or a layer"
        )
    if value in OF_STATE:
        return value
    check_word(value, OF_STATE, "initial_state", str(node))
    try:
        found = node.scope.get(value, str(node))
    except NetworkError as error:
        raise NetworkError(f"{error}, or one of {', '.join(OF_STATE)}") from None
    ref = f"initial_state:{key}"
    node.refs[ref] = [found]
    return ref


def declare(site: Site, like: Data) -> None:
    """Declare parameters of the initial state, and check the layers that it is taken from."""
    initial = site.node.resolved["initial"]
    loop = None if site.node.resolved["once"] else site.node.loop
    kept_state.declare_kept(site, [k for k, word in initial.items() if word in KEPT], like)
    for key, word in initial.items():
        if word == "var":
            site.param(_variable(site.node, key), (like.feature_size,), 0.0)
        elif word not in OF_STATE:
            (given,) = site.node.refs[word]
            # One that runs over a dim of its input begins anew in every step.
            if loop is not None and given.loop is loop and site.node.resolved["over"] is None:
                raise site.error(
                    f"found initial_state {given.name!r}, needed a layer outside of the loop, "
                    "such as 'base:x'"
                )
            if _has_state(word, given):
                let_read(given, site.node)
            _part(site, word, key, like)


def _variable(node: Node, key: str) -> str:
    """Return RETURNN's name of the parameter of a part of the state: another one in a loop."""
    states = node.resolved["cell"].states
    prefix = "" if node.resolved["over"] is None else "rec/"
    return f"{prefix}initial_{key if len(states) > 1 else 'var'}"


def first_states(site: Site, like: Data) -> dict[str, Data]:
    """Return the state before the first step, each part like a template."""
    found = {}
    for key, word in site.node.resolved["initial"].items():
        if word in FILLED:
            found[key] = site.constant(word, like)
            continue
        if word in KEPT:
            found[key] = kept_state.state_before(site, key, site.constant("zeros", like))
            continue
        if word == "var":
            value = site.param(_variable(site.node, key), (), None)
            data = replace(like, dims=(like.feature,), time_dim=None, tensor=value, beam=None)
            data = fitted(data, like)
        else:
            data = _part(site, word, key, like)
        sizes = [tf.maximum(n, site.size(d)) for d, n in zip(data.dims, data.sizes(), strict=True)]
        found[key] = replace(data, tensor=tf.broadcast_to(data.tensor, sizes))
    return found


def _part(site: Site, ref: str, key: str, like: Data) -> Data:
    """Return a part of the state from a layer's own hidden state, else from its output."""
    (node,) = site.node.refs[ref]
    x = hidden_state(site, node, "*") if _has_state(ref, node) else site.data(node)
    shown = site.node.resolved["cell"].shown
    if ref == "initial_state:" and len(shown) > 1:
        needed = len(shown) * like.feature_size
        if x.feature_dim is None or x.feature_size != needed:
            raise site.error(
                f"found initial_state {x}, needed {needed} features for {', '.join(shown)}; "
                "try a dict with these keys"
            )
        begin = shown.index(key) * like.feature_size
        x = x.last(x.feature)
        part = None if x.tensor is None else x.tensor[..., begin : begin + like.feature_size]
        x = replace(x.with_feature(like.feature), tensor=part)
    try:
        return fitted(x, like)
    except NetworkError as error:
        raise site.error(f"{ref.partition(':')[0]}: {error}") from None


def _has_state(ref: str, node: Node) -> bool:
    """Whether a layer's own hidden state is meant: of `state`, it is the output that counts."""
    return not ref.startswith("state:") and has_hidden_state(node)
