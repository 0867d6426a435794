"""States that layers keep from one batch to the next of an epoch: "keep_over_epoch"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from returnn_lite.data import Data
from returnn_lite.dim import BATCH
from returnn_lite.node import Node
from returnn_lite.run import carried_name
from returnn_lite.site import Site


def keeps(node: Node) -> bool:
    """Whether a layer keeps some of its state."""
    return bool(node.resolved.get("kept"))


def declare_kept(site: Site, names: Iterable[str], like: Data | None = None) -> None:
    """Say which parts of the state are kept.

    like: the template of a part, if all are of fixed size. Raises NetworkError where a layer has
    no state that could go on.
    """
    node = site.node
    node.resolved["kept"] = tuple(names)
    if not keeps(node):
        return
    loop = node.loop
    if loop is not None and (loop.node.loop is not None or not node.layer.steps(node)):
        raise site.error(
            "found initial_state 'keep_over_epoch' of what begins anew in each step of a loop, "
            "needed a layer outside of loops, or one that runs over the steps; try 'zeros'"
        )
    if like is not None and any(d is not BATCH and d.size is None for d in like.dims):
        raise site.error(
            f"found initial_state 'keep_over_epoch' for a state {like}, needed one of fixed size; "
            "try 'zeros'"
        )


def state_before(site: Site, name: str, first: Data) -> Data:
    """Return a part of the state after the batch before or, at the beginning, the first one."""
    if site.run.stream:  # where all states go on, from chunk to chunk
        return first
    before: Data = site.run.continued(carried_name(site.node, name), first)
    return before


def keep(site: Site, state: Mapping[str, Data]) -> None:
    """Keep parts of the state at the end of a batch for the next one."""
    for name, data in state.items():
        if data.beam is not None:
            raise site.error(
                "found initial_state 'keep_over_epoch' for the hypotheses of a search, needed one "
                "state for a sequence; try 'zeros' in the search"
            )
        if not site.run.stream:
            site.run.carry[carried_name(site.node, name)] = data.tensor
