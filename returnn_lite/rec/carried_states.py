"""The states of a loop that go on from one run to the next."""

from __future__ import annotations

from typing import Any

from returnn_lite.data import Data
from returnn_lite.frame import Frame
from returnn_lite.layers import kept_state
from returnn_lite.node import Node
from returnn_lite.run import Run, carried_name
from returnn_lite.site import Site

StateKey = tuple[Node, str]


def carried_states(run: Run, first: dict[StateKey, Data]) -> dict[StateKey, Data]:
    """Return the states before the first step of a chunk: those after the chunk before."""
    found = {}
    for (node, name), data in first.items():
        if any(d.dynamic for d in data.dims):
            raise Site(node).error(
                "found a state that grows with the steps, needed one of fixed size in a stream"
            )
        found[node, name] = run.continued(carried_name(node, f"step:{name}"), data)
    return found


def carry_states(run: Run, states: dict[StateKey, Any]) -> None:
    """Give the states at the end of a chunk to the run."""
    for (node, name), tensor in states.items():
        run.carry[carried_name(node, f"step:{name}")] = tensor


def keep_states(frame: Frame, states: dict[StateKey, Data], lengths: Any, *, known: bool) -> None:
    """Keep what layers keep of their states at the end of a loop.

    lengths: int32 [batch], the steps of each sequence; known: whether they are before the loop.
    """
    for node in {node: None for node, _ in states if kept_state.keeps(node)}:
        site = Site(node, frame)
        if not known:
            raise site.error(
                "found initial_state 'keep_over_epoch' in a loop that its layer 'end' ends, "
                "needed one of known length; try 'zeros' here"
            )
        names = node.resolved["kept"]
        state = {name: states[node, name] for name in names}
        kept_state.keep(site, node.layer.kept_state(site, state, lengths))
