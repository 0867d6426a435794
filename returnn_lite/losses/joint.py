"""Joint networks of transducers: what their parts are, so that their output need not be stored."""

from __future__ import annotations

from typing import Any, NamedTuple

from returnn_lite import native, random
from returnn_lite.dim import BATCH, Dim
from returnn_lite.dropout import draws
from returnn_lite.lazy import tf
from returnn_lite.losses.base import Given
from returnn_lite.node import Node
from returnn_lite.site import Site
from returnn_lite.sums import Sum, sum_of_two

# How an eval layer makes the log-probability of the blank of the logit of an emission.
_NO_EMISSION = ("log_sigmoid(-source(0))", "tf.math.log_sigmoid(-source(0))")


class Joint(NamedTuple):
    """What a joint network is made of: see `native.transducer_fused_loss`."""

    encoder: Any
    predictor: Any
    weight: Any
    bias: Any
    activation: str
    separate_emit: bool
    dropout: native.JointDropout | None


class _Other(Exception):
    """The layers are no such network."""


def joint_of(given: Given, dims: tuple[Dim, Dim], blank: int, input_type: str) -> Joint | None:
    """Return the joint network that a layer is the end of; None where it is no such layer.

    dims: of frames, and of labels + 1. blank, input_type: of the layer's output.
    """
    try:
        linears = [given.node] if _softmax(given.node) else _separate(given, blank, input_type)
        dropping, sources = zip(*(_input(given, x) for x in linears), strict=True)
        _need(len({*sources}) == 1)
        activation, add = _activation(sources[0])
        encoder, predictor = _terms(given, add, dims)
        weights, biases = zip(*(_parameters(given, x) for x in linears), strict=True)
        shape = (*tf.unstack(tf.shape(encoder)[:2]), tf.shape(predictor)[1])
        sizes = dict(zip((BATCH, *dims), shape, strict=True))
        drops = [_dropout(given, x, sizes) for x in dropping]
    except _Other:
        return None
    # What all nodes share is dropped with the rows of a weight, each on its own.
    rows = [None if isinstance(x, native.JointDropout) else x for x in drops]
    kept = [w if x is None else w * x[:, None] for w, x in zip(weights, rows, strict=True)]
    by_node = [x for x in drops if isinstance(x, native.JointDropout)]
    if by_node and (len(by_node) < len(drops) or len({*dropping}) > 1):
        return None
    weight, bias = tf.concat(kept, 1), tf.concat(biases, 0)
    dropout = by_node[0] if by_node else None
    return Joint(encoder, predictor, weight, bias, activation, len(linears) > 1, dropout)


def _need(condition: bool) -> None:
    if not condition:
        raise _Other


def _softmax(node: Node) -> bool:
    layer: Any = node.layer
    kind = node.plain("linear", "softmax", dropout=True)
    return kind and layer.activation in ("softmax", "log_softmax")


def _separate(given: Given, blank: int, input_type: str) -> list[Node]:
    """Return the projections of a model with an emission probability, in the order of columns.

    Its output is the log-probability of no emission, and that of an emission plus those of labels.
    """
    node = given.node
    layer: Any = node.layer
    if input_type == "prob":
        _need(node.plain("activation") and (layer.activation, layer.opts) == ("exp", None))
        node = _only(node)
    _need(node.plain("copy") and len(node.sources) == 2)
    last = given.out.feature_size - 1
    _need(blank in (0, last))
    no_emission, emitted = node.sources if blank == 0 else node.sources[::-1]
    layer = no_emission.layer
    _need(no_emission.plain("eval") and not layer.activation and not layer.with_bias)
    _need(isinstance(layer.eval, str) and layer.eval.replace(" ", "") in _NO_EMISSION)
    gate = _only(no_emission)
    layer = gate.layer
    _need(gate.plain("linear", dropout=True) and layer.n_out == 1)
    _need(native.joint_activation(layer.activation, None) == "linear")
    linears = [x for x in _bare(emitted).terms if not _emission(x, gate)]
    _need(len(linears) == 1 and _softmax(linears[0]))
    _need(linears[0].layer.activation == "log_softmax")  # type: ignore[attr-defined]
    return [gate, *linears] if blank == 0 else [*linears, gate]


def _only(node: Node) -> Node:
    _need(len(node.sources) == 1)
    return node.sources[0]


def _sum(node: Node) -> Sum:
    """Return the sum of two layers that a layer is, or is an activation of."""
    found = sum_of_two(node)
    if found is None:
        raise _Other
    return found


def _bare(node: Node) -> Sum:
    """Return the sum of two layers that a layer is."""
    found = _sum(node)
    _need(found.bare)
    return found


def _emission(node: Node, gate: Node) -> bool:
    """Whether a layer is the log-probability of an emission."""
    layer: Any = node.layer
    return node.plain("activation") and layer.activation == "log_sigmoid" and node.sources == [gate]


def _input(given: Given, linear: Node) -> tuple[Node | None, Node]:
    """Return the layer with dropout of what a projection takes, if one has, and the layer taken."""
    found, source = [linear], _only(linear)
    while source.plain("dropout", "copy", dropout=True):
        found, source = [*found, source], _only(source)
    train = given.run.mode.train
    found = [x for x in found if x.common.dropout and (train or x.common.dropout_on_forward)]
    _need(len(found) < 2)
    return found[0] if found else None, source


def _activation(node: Node) -> tuple[str, Sum]:
    """Return the activation of a joint network, and the sum that it is applied to."""
    layer: Any = node.layer
    if node.plain("reduce_out"):
        _need((layer.mode, layer.num_pieces) == ("max", 2))
        return "maxout", _bare(_only(node))
    found = _sum(node)
    name = native.joint_activation(found.activation, found.opts)
    if name is None:
        raise _Other
    return name, found


def _terms(given: Given, add: Sum, dims: tuple[Dim, Dim]) -> list[Any]:
    """Return float32 [batch, time, inputs] and [batch, labels + 1, inputs], the terms of a sum."""
    terms = [given.frame.value(x) for x in add.terms]
    wanted = [{BATCH, d} for d in dims]
    if [{*x.dims} - {x.feature_dim} for x in terms] == wanted[::-1]:
        terms = terms[::-1]
    _need([{*x.dims} - {x.feature_dim} for x in terms] == wanted)
    _need(len({x.feature_size for x in terms}) == 1 and not any(x.sparse_dim for x in terms))
    pairs = zip(terms, dims, strict=True)
    return [x.ordered([BATCH, d, x.feature]).tensor for x, d in pairs]


def _parameters(given: Given, linear: Node) -> tuple[Any, Any]:
    """Return the weight and the bias of a projection."""
    layer: Any = linear.layer
    _need(not layer.use_transposed_weights)
    site = Site(linear, given.frame.home(linear))
    weight = site.param("W", (), None)
    return weight, site.param("b", (), None) if layer.with_bias else tf.zeros(weight.shape[1])


def _dropout(given: Given, node: Node | None, sizes: dict[Dim, Any]) -> Any:
    """Return the dropout of a layer's input: by node, or float32 [joint] for all, None without.

    sizes: of the dims without that of features.
    """
    if node is None:
        return None
    x = node.sources[0].out
    found = draws(Site(node, given.frame.home(node)))
    if x is None or found is None:
        raise _Other
    seed, (*drawn, last) = found
    _need(last is x.feature_dim and {*drawn} <= {*sizes})
    rate, distance = node.common.dropout, x.feature_size
    if not drawn:
        keep = random.uniform([distance], seed) >= rate
        return tf.cast(keep, tf.float32) / (1.0 - rate)
    strides = dict.fromkeys(sizes, tf.constant(0, tf.int64))
    for dim in reversed(drawn):
        strides[dim] = tf.cast(distance, tf.int64)
        distance = strides[dim] * tf.cast(sizes[dim], tf.int64)
    return native.JointDropout(rate, seed, tf.stack([*strides.values()]))
