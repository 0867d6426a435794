"""The losses of the layers of a network: which there are, their checks, and their sum."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from returnn_lite.errors import NetworkError
from returnn_lite.frame import Frame
from returnn_lite.infer import template_for, with_steps
from returnn_lite.lazy import tf

# All losses are in these modules; to import them registers them.
from returnn_lite.losses import (  # noqa: F401
    bleu,
    framewise,
    hmm,
    sampling,
    search,
    sequence,
    transducer,
)
from returnn_lite.losses.base import Criterion, Given, Loss, find, sequence_sums
from returnn_lite.node import Mode, Node


def wanted(opts: Mapping[str, Any], mode: Mode, *, in_loop: bool) -> bool:
    """Whether a layer's dict has a loss that is computed in a mode.

    In a training with search, such as for the least expected errors, those outside of loops are.
    """
    if not opts.get("loss") or not mode.search:
        return bool(opts.get("loss"))
    if opts.get("loss_only_on_non_search"):
        return False
    if mode.train and not in_loop:
        return True
    return find(str(opts["loss"]), opts.get("loss_opts") or {}).in_search


def open_loss(node: Node) -> None:
    """Find the loss of a layer, and the layers that its options name."""
    common = node.common
    if common.loss is None:
        return
    try:
        criterion = find(common.loss, common.loss_opts)
    except NetworkError as error:
        raise NetworkError(f"{node}: {error}") from None
    scales = {common.loss_scale, criterion.scale} - {1.0}
    if len(scales) > 1:
        raise NetworkError(
            f"{node}: found loss_scale {common.loss_scale} and the option scale {criterion.scale}, "
            "needed one of them"
        )
    node.criterion = criterion
    for source in node.sources if criterion.of_input else []:
        keep(source)
    for key in criterion.refs:
        name = getattr(criterion, key)
        if name is not None:
            node.loss_refs[key] = node.scope.get(name, str(node))
            keep(node.loss_refs[key])


def keep(node: Node) -> None:
    """Keep the outputs of a layer that a loss needs; where it lies in a loop, of all steps."""
    if node.loop is not None:
        node.loop.node.wanted.add(node)


def target_of(node: Node) -> Node | None:
    """Return the target of a layer's loss: in a loop, of one by sequence, that of all steps."""
    target, criterion = node.target, node.criterion
    whole = criterion is not None and not criterion.by_frame and node.loop is not None
    if whole and target is not None and target.layer.layer_class == "step_input":
        return target.sources[0]
    return target


def applies(node: Node) -> bool:
    """Whether the loss of a layer, if it has one, is computed."""
    criterion, mode = node.criterion, node.scope.mode
    if criterion is None:
        return False
    in_search = criterion.in_search or (mode.train and node.loop is None)
    if mode.search and (not in_search or node.common.loss_only_on_non_search):
        return False
    return not mode.search or node.target is not None or not criterion.needs_target


def check(node: Node) -> None:
    """Raise NetworkError where a layer's loss lacks a target, or has one that does not fit."""
    criterion, name = _criterion(node), node.common.loss
    if criterion.needs_search and not _searched(node):
        raise NetworkError(f"{node}: found the loss {name!r} without a search, needed one")
    if node.target is None and criterion.needs_target:
        raise NetworkError(f"{node}: found no target for the loss {name!r}, needed one")
    target = target_of(node)
    if target is not None and criterion.needs_target:
        try:
            out = template_for(node, node)
            if node.loop is not None and not criterion.by_frame:
                out = with_steps(out, node.loop)
            criterion.check_target(out, template_for(target, node))
        except NetworkError as error:
            raise NetworkError(f"{node}: {error}") from None


def _searched(node: Node) -> bool:
    """Whether a layer is in a search, or made of layers of an extra network that is in one."""
    todo, seen = [node], {node}
    while todo:
        found = todo.pop()
        if found.scope.mode.search:
            return True
        todo += [n for n in found.sources if n not in seen]
        seen.update(found.sources)
    return False


def compute(node: Node, frame: Frame, *, errors: bool) -> Loss:
    """Return the loss of a layer; errors: whether to count errors where that costs time."""
    criterion = _criterion(node)
    given = Given(node, frame, target_of(node), node.loss_refs, errors)
    value, error = criterion.parts(given)
    run = frame.run
    return Loss(
        tf.zeros([run.batch]) if value is None else sequence_sums(run, value),
        None if error is None else sequence_sums(run, error),
        criterion.weight(given),
        node.common.loss_scale if node.common.loss_scale != 1.0 else criterion.scale,
        criterion.use_normalized_loss,
    )


def _criterion(node: Node) -> Criterion:
    assert node.criterion is not None
    return node.criterion


def objective(losses: Mapping[str, Loss]) -> Any:
    """Return the scalar that training minimises: the sum of the losses, each per label."""
    return _total(losses, _labels)


def summed(losses: Mapping[str, Loss]) -> Any:
    """Return the scalar sum of the losses of all sequences, each times its scale."""
    return _total(losses, lambda x: _labels(x) if x.normalized else 1.0)


def _labels(loss: Loss) -> Any:
    """Return what a loss of all sequences is divided by; 1 where there is no label."""
    weight = tf.reduce_sum(loss.weight)
    return tf.where(weight > 0.0, weight, 1.0)


def _total(losses: Mapping[str, Loss], divisor: Callable[[Loss], Any]) -> Any:
    # As in RETURNN, a loss of scale 0 is only reported.
    found = [x for x in losses.values() if x.scale]
    return _sum([x.scale * tf.reduce_sum(x.value) / divisor(x) for x in found])


def _sum(terms: list[Any]) -> Any:
    return tf.add_n(terms) if terms else tf.constant(0.0)


def penalty(nodes: Iterable[Node], params: Mapping[str, Any]) -> Any:
    """Return the scalar sum of the layers' L2 terms: of all their parameters, frozen ones too."""
    nodes = list(nodes)
    terms = [
        node.common.L2 * tf.nn.l2_loss(params[name]) * 2.0
        for node in nodes
        if node.common.L2
        for name in _own_params(node, nodes)
    ]
    return _sum(terms)


def _own_params(node: Node, nodes: list[Node]) -> list[str]:
    """Return the names of a layer's parameters of numbers, those of a network in it included."""
    inner = node.inner
    own = [n for n in nodes if n is node or (inner is not None and inner.contains(n))]
    found = {k: spec for n in own for k, spec in n.params.items()}
    return [k for k, spec in found.items() if spec.dtype.startswith("float")]
