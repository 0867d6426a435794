"""A mistake in a network dict, told where a recipe is read: before anything runs."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

_good: set[Any] = set()  # as a grid has the same network many times


def check_network(
    network: dict[str, Any],
    *,
    streams: Collection[str] | None = None,
    search: bool = False,
    layer: str | None = None,
) -> None:
    """Raise ValueError for a wrong class, option or name of a layer, whatever the data are.

    streams: names of the data streams, None where they are not known. layer: the one that is
    needed, None for those that a training needs.
    """
    from returnn_lite.checks import check_dict
    from returnn_lite.errors import NetworkError

    known = (repr(network), None if streams is None else frozenset(streams), search, layer)
    if known in _good:
        return
    outputs = None if layer is None else [layer]
    try:
        check_dict(network, streams=streams, search=search, outputs=outputs)
    except NetworkError as error:
        raise ValueError(f"network: {error}") from None
    _good.add(known)
