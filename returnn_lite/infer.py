"""Templates of all layers, without a tensor; in a loop by repetition until nothing changes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from returnn_lite.data import Data, next_feature, next_time, same_template
from returnn_lite.dim import BATCH, Dim
from returnn_lite.errors import NetworkError
from returnn_lite.long_chain import far_ends

if TYPE_CHECKING:
    from returnn_lite.layers.batch_norm import BatchNorm
    from returnn_lite.loop import Loop
    from returnn_lite.node import Node


class Unknown(Exception):
    """The template of a `prev:` layer is asked for before it is known."""


def template_of(node: Node) -> Data:
    """Return the template of a node's output, inferred when it is first asked for."""
    if node.out is None:
        unknown = node.loop.unknown if node.loop is not None else None
        if unknown is not None and node in unknown:
            raise Unknown(node)
        try:
            node.out, _ = _infer(node)
        except Unknown:
            if unknown is not None:
                unknown.add(node)
            raise
    return node.out


def infer_chain(node: Node) -> None:
    """Infer the template of a node outside of loops, however long the chain of its sources is."""

    def before(of: Node) -> Node | None:
        return next((n for n in of.sources if n.out is None and n.loop is None), None)

    for other in far_ends(node, before) if node.loop is None else ():
        template_of(other)
    template_of(node)


def template_for(node: Node, asker: Node) -> Data:
    """Return the template of a node's output as another node sees it: of all steps from outside."""
    loop = node.loop
    if loop is None or loop.encloses(asker.loop):
        return template_of(node)
    if loop.node.loop is not None and not loop.node.loop.encloses(asker.loop):
        raise NetworkError(f"{asker}: found {node.path}, which lies in two loops, needed one loop")
    template_of(loop.node)
    return with_steps(template_of(node), loop)


def with_steps(x: Data, loop: Loop) -> Data:
    """Return the template of what a loop makes of a template of one step."""
    if loop.dim in x.dims:
        raise NetworkError(
            f"found {x.name} {x} in a loop over {loop.dim.name!r}, needed one without that dim; "
            "try name_axis for another one"
        )
    return replace(x, dims=(loop.dim, *x.dims), time_dim=loop.dim, tensor=None)


def _infer(node: Node) -> tuple[Data, bool]:
    """Return a node's template, and whether it comes from a part of the sources only."""
    from returnn_lite.naming import name_dims, note_maker
    from returnn_lite.site import Site

    if node.layer.layer_class == "prev" and node.sources[0].out is None:
        raise Unknown(node.sources[0])
    node.params.clear()
    node.shapes.clear()
    site = Site(node)
    try:
        out = node.layer.infer(site)
        if node.common.batch_norm:
            out = _batch_norm(node).declare(site, out)
        name_dims(site, out)
        note_maker(site, out)
    except NetworkError as error:
        if not error.located and not str(error).startswith(str(node)):
            error = NetworkError(f"{node}: {error}")
        error.located = True
        raise error from None
    return replace(out, name=node.path, tensor=None), site.partial


def _batch_norm(node: Node) -> BatchNorm:
    """Return the batch normalisation that the common option of a layer asks for."""
    from returnn_lite.layers.batch_norm import batch_norm_of

    node.resolved["batch_norm"] = found = batch_norm_of(node)
    return found


def infer_loop(loop: Loop) -> bool:
    """Infer the templates of all layers in a loop, whose `prev:` may depend on one another.

    A layer that only depends on unknown ones is first taken for a guess. Return whether all are
    known: some may wait for those of a loop around. Raises NetworkError where none fits.
    """
    guesses = {n: _guess(n) for n in loop.nodes}
    for _ in range(2 + len(loop.nodes)):
        before = {n: n.out for n in loop.nodes}
        named = dict(loop.node.scope.named)
        unknown, errors = _sweep(loop, before, guesses)
        same = all(same_template(n.out, before[n]) for n in loop.nodes)
        if not same or named != loop.node.scope.named:
            # While other templates change, or what Dims mean, a mistake may be none.
            continue
        if not unknown and not errors:
            return True
        # What stands in for a source may not fit, either.
        helped = [n for n in loop.nodes if n.out is None and guesses[n] is not None]
        if not helped and errors:
            raise errors[0]
        if not helped and loop.node.loop is not None and loop.node.loop.unknown is not None:
            return False
        if not helped:
            names = ", ".join(sorted(n.path for n in _waiting(unknown)))
            raise NetworkError(
                f"{loop.node}: the dims of {names} depend on one another only; "
                "try to give one of them n_out, or a layer as initial_output"
            )
        helped[0].out = guesses[helped[0]]
    if errors:
        raise errors[0]
    raise NetworkError(f"{loop.node}: the dims of the layers in the loop change in every step")


def _sweep(
    loop: Loop, before: dict[Node, Data | None], guesses: dict[Node, Data | None]
) -> tuple[list[Node], list[NetworkError]]:
    """Infer every layer anew from the templates of the sweep before.

    An initial_output with more dims stands for what comes from a part of the sources. Return which
    layers have no template, or one from a part of their sources, and the mistakes.
    """
    unknown, errors = [], []
    # Without these, a layer that two others need is asked twice, and so are all before it.
    loop.unknown = set()
    for node in loop.nodes:
        try:
            node.out, partial = _infer(node)
            guess = guesses[node] if partial and node.initial is not None else None
            if guess is not None and len(guess.dims) > len(node.out.dims):
                node.out = guess
        except Unknown:
            node.out, partial = before[node], True
        except NetworkError as error:
            node.out, partial = before[node], False
            errors.append(error)
        if partial:
            unknown.append(node)
    loop.unknown = None
    return unknown, errors


def _waiting(unknown: list[Node]) -> list[Node]:
    """Return layers without a template: of a loop in the loop, those in it."""
    found = []
    for node in unknown:
        inner = node.inner.loop if node.inner is not None and node.inner.is_body else None
        nodes = [] if inner is None else [n for n in inner.nodes if n.out is None]
        found += _waiting(nodes) or [node]
    return found


def _guess(node: Node) -> Data | None:
    """Return a first template: of the dims of out_shape, [batch, n_out], that of initial_output."""
    shape = node.common.out_shape
    if shape is not None and all(isinstance(d, Dim) for d in shape):
        dims = tuple(sorted(shape, key=lambda d: (d is not BATCH, d.kind == "feature", d.name)))
        time = next_time(dims)
        feature = next_feature(dims, time)
        return Data(name=node.path, dims=dims, time_dim=time, feature_dim=feature)
    size = _size(node)
    if size is None and node.initial is None:
        return None
    if size is None:
        assert node.initial is not None
        try:
            return template_for(node.initial, node).template()
        except Unknown:
            return None
    feature = node.dim("feature", "feature", size)
    return Data(name=node.path, dims=(BATCH, feature), feature_dim=feature)


def _size(node: Node) -> int | None:
    size: int | None = getattr(node.layer, "n_out", None)
    if size is not None or node.target is None or not node.layer.sized_by_target:
        return size
    streams = ("extern_data", "step_input")
    classes = node.target.layer.layer_class in streams and template_of(node.target).classes
    return classes.size if classes else None
