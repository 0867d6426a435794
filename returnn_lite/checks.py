"""Mistakes that are found before a network runs: in its dependencies, and in a batch."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from returnn_lite import layers
from returnn_lite.data import Data, fitted
from returnn_lite.dim import BATCH, Dim
from returnn_lite.errors import NetworkError, nearest
from returnn_lite.extern_data import dynamic_dims
from returnn_lite.infer import template_for, template_of
from returnn_lite.layers.activations import activation
from returnn_lite.layers.inputs import ExternData
from returnn_lite.lazy import tf
from returnn_lite.network_dict import default_outputs
from returnn_lite.node import Common, Mode, Node
from returnn_lite.scope import Scope

Batch = Mapping[str, tuple[Any, Any]]


class _Streams(dict[str, Node]):
    """Data streams of which only the names are known; with no names, there is one by any name."""

    def __init__(self, scope: Scope, names: Collection[str] | None) -> None:
        super().__init__()
        self._scope, self._any = scope, names is None
        for name in names or ():
            self[name] = self[name]

    def __contains__(self, key: object) -> bool:
        return self._any or super().__contains__(key)

    def __missing__(self, key: str) -> Node:
        stream = ExternData(template=Data(name=key, dims=(BATCH,)))
        self[key] = Node(key, stream, Common(), self._scope, f"data:{key}")
        return self[key]


def check_dict(
    network: dict[str, Any],
    *,
    streams: Collection[str] | None = None,
    search: bool = False,
    outputs: Sequence[str] | None = None,
) -> None:
    """Raise NetworkError for a mistake in a network dict that any data would show.

    Those are classes, options and layers that there are not, values of a wrong type, and layers
    that depend on one another. streams: the names of the data streams, None where they are not
    known. search, outputs: as for `Network`.
    """
    layers.load()
    scope = Scope(network, mode=Mode(train=not search, search=search))
    scope.inputs = _Streams(scope, streams)
    for name in default_outputs(network, scope.mode) if outputs is None else outputs:
        scope.get(name, "outputs")
    check_loops(scope)
    for node in scope.all_nodes():
        _check_activation(node)
        check_choices(node)


def _check_activation(node: Node) -> None:
    try:
        activation(getattr(node.layer, "activation", None))
    except NetworkError as error:
        raise NetworkError(f"{node}: {error}") from None


def check_loops(scope: Scope) -> None:
    """Raise NetworkError where layers depend on one another other than by `prev:`."""
    done: set[Node] = set()

    def visit(node: Node, path: list[Node]) -> None:
        if node in path:
            names = " -> ".join(n.path for n in [*path[path.index(node) :], node])
            raise NetworkError(f"found layers that depend on one another: {names}; try 'prev:'")
        if node in done:
            return
        for other in node.depends_in_step():
            visit(other, [*path, node])
        done.add(node)

    for node in scope.all_nodes():
        visit(node, [])


def check_choices(node: Node) -> None:
    """Raise NetworkError where some choices of a loop have the target in a search, but not all."""
    if not node.scope.mode.search or node.inner is None or not node.inner.is_body:
        return
    assert node.inner.loop is not None
    choices = [n for n in node.inner.loop.nodes if n.layer.layer_class == "choice"]
    searching: list[Any] = [n for n in choices if n.layer.searches]  # type: ignore[attr-defined]
    without = [n for n in searching if not n.layer.cheating]
    if without and len(without) < len(searching):
        having = next(n for n in searching if n.layer.cheating)
        raise NetworkError(
            f"{without[0]}: found no cheating, which {having.path} has, needed it in all choices "
            "of a loop, or in none"
        )


def check_initial(node: Node) -> None:
    """Raise NetworkError where the layer that initial_output names has other dims."""
    if node.initial is None:
        return
    try:
        fitted(template_for(node.initial, node), template_of(node))
    except NetworkError as error:
        raise NetworkError(f"{node}: initial_output {node.initial.name!r}: {error}") from None


def check_batch(batch: Batch, templates: Mapping[str, Data]) -> dict[str, tuple[Any, Any]]:
    """Return a batch as arrays; NetworkError where it does not fit to the streams of a network."""
    if not batch and templates:
        raise NetworkError(f"batch: found no stream, needed some of: {', '.join(templates)}")
    found: dict[str, tuple[Any, Any]] = {}
    seen: dict[Dim, tuple[str, Any]] = {}
    for key, pair in batch.items():
        if key not in templates:
            raise NetworkError(f"batch: no data stream {key!r}{nearest(key, templates)}")
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise NetworkError(f"batch: found {type(pair)} for {key!r}, needed (values, lengths)")
        template = templates[key]
        values, rows = _arrays(key, *pair, template)
        _check_values(key, values, rows, template)
        for dim, row in zip(dynamic_dims(template), rows, strict=True):
            other, same = seen.setdefault(dim, (key, row))
            if not np.array_equal(same, row):
                raise NetworkError(
                    f"batch: found lengths {row.tolist()} of {key!r}, "
                    f"needed those of {other!r}: {same.tolist()}"
                )
        found[key] = values, rows if len(rows) > 1 else rows.reshape(-1)
    counts = {
        key: values.shape[templates[key].axis(BATCH)]
        for key, (values, _) in found.items()
        if templates[key].has_batch
    }
    if len(set(counts.values())) > 1:
        raise NetworkError(f"batch: found {counts} sequences, needed as many in every stream")
    return found


def _arrays(key: str, values: Any, lengths: Any, template: Data) -> tuple[Any, Any]:
    """Return values, and int32 [dynamic axes, batch] lengths, that have the template's shape."""
    values, dims = np.asarray(values), dynamic_dims(template)
    rows = np.zeros([0], np.int32) if lengths is None else np.asarray(lengths)
    shape = rows.shape
    sizes = [(d.size, n) for d, n in zip(template.dims, values.shape, strict=False)]
    fits = values.ndim == len(template.dims) and all(d is None or d == n for d, n in sizes)
    if fits:
        batch = [values.shape[template.axis(BATCH)]] if template.has_batch else []
        needed = [len(dims), *batch] if len(dims) > 1 else batch if dims else [0]
        fits = list(shape) == needed and 0 not in batch
    if not fits:
        what = {0: "None for the lengths", 1: "a length for every sequence"}.get(
            len(dims), f"lengths [{len(dims)}, batch] of {', '.join(d.name for d in dims)}"
        )
        raise NetworkError(
            f"batch: found {key!r} of shape {values.shape} and lengths of shape {shape}, "
            f"needed {template} and {what}"
        )
    rows = rows.reshape([len(dims), *shape[-1:]]) if dims else rows.reshape([0, 0])
    for dim, row in zip(dims, rows, strict=True):
        size = values.shape[template.axis(dim)]
        if not 0 <= np.min(row) <= np.max(row) <= size:
            raise NetworkError(
                f"batch: found lengths {np.min(row)} to {np.max(row)} for {key!r} "
                f"of shape {values.shape}, needed 0 to {size}"
            )
    return values, rows


def _check_values(key: str, values: Any, rows: Any, template: Data) -> None:
    """Raise NetworkError for values of another kind, or labels that there are not."""
    kinds = {"f": "iuf", "b": "b"}.get(template.dtype[0], "iu")
    if values.dtype.kind not in kinds:
        raise NetworkError(f"batch: found {key!r} of {values.dtype}, needed {template.dtype}")
    if template.sparse_dim is None:
        return
    valid = np.ones(values.shape, bool)
    for dim, row in zip(dynamic_dims(template), rows, strict=True):
        steps = np.arange(values.shape[template.axis(dim)])
        shape = [1] * values.ndim
        shape[template.axis(dim)] = -1
        ends = [1] * values.ndim
        ends[template.axis(BATCH)] = -1
        valid &= steps.reshape(shape) < row.reshape(ends)
    classes = template.sparse_dim.size
    wrong = values[valid & ((values < 0) | (classes is not None and values >= classes))]
    if len(wrong):
        needed = "0 or more" if classes is None else f"0 to {classes - 1}"
        raise NetworkError(f"batch: found label {wrong[0]} in {key!r}, needed {needed}")


@contextmanager
def readable_errors() -> Iterator[None]:
    """Turn what our checks during a run find, and those of the kernels, into NetworkError."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        found = re.search(r"assertion failed: \[(.*?)\]|check\.ArgumentError: (.*)", str(error))
        if found is None:
            raise
        raise NetworkError(found[1] or found[2]) from None
