"""How kernels walk a batch of automata: the same sums in the same order, whatever the threads.

A sweep adds up, for each state, what comes over its edges. Edges stand in rounds (the jagged
diagonals of sparse matrices: Y. Saad, 1989): round r has edge number r of every state that has so
many. States are numbered by falling degree, "positions", so a round covers the first positions
without a gap: a loop over it reads its edges in order, vectorises, and is a coalesced read on a
GPU. The forward sweep counts a state's incoming edges, the backward sweep its outgoing ones, so
either has positions of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from cupy_kernels.fsa.automaton import Automaton

Array = npt.NDArray[Any]
PIECE = 16  # edges of a label that one thread sums
EDGES, STATES, LABELS, PIECES = 0, 1, 4, 5  # rows of the offsets


class Plan(NamedTuple):
    """Arrays over all sequences; axes of size 2 are the forward and the backward sweep.

    Beginnings count from the first sequence on, and have an end behind the last; all else counts
    from the first of its sequence.
    """

    offsets: Array  # int64 [6, batch + 1]: edges, states, rounds of either sweep, labels, pieces
    rounds: Array  # int64 [rounds of both sweeps + 2]: where the edges of a round begin
    neighbour: Array  # int32 [2, edges]: position of the state that an edge comes from, leads to
    label: Array  # int32 [2, edges]: place in label_ids
    cost: Array  # float32 [2, edges]
    start: Array  # float32 [states], by forward position
    final: Array  # float32 [states], by backward position
    across: Array  # int32 [states]: forward position of a backward one
    state: Array  # int32 [states]: number of a forward position
    label_ids: Array  # int32 [labels]: the labels of each sequence
    label_pieces: Array  # int64 [labels + 1]: where the pieces of a label begin
    pieces: Array  # int64 [pieces + 1]: where the members of a piece begin
    members: Array  # int32 [edges]: edges in the backward order, by label

    def most(self, row: int) -> int:
        """The most edges, states, ... that a sequence has; a row of the offsets."""
        return int(np.diff(self.offsets[row]).max(initial=0))


class Direction(NamedTuple):
    """The order of one sweep."""

    edges: Array  # [edges]: the edges, round by round
    position: Array  # [states]: where the positions of all sequences are numbered on
    rounds: Array  # [rounds + 1]: where each round begins
    offsets: Array  # [batch + 1]: where the rounds of a sequence begin


def plan(a: Automaton) -> Plan:
    """The plan of a batch of automata, on the host."""
    sequence = np.repeat(np.arange(a.batch), np.diff(a.edge_offsets))  # of an edge
    first_state = np.repeat(a.state_offsets[:-1], np.diff(a.state_offsets))
    source, target = (a.state_offsets[sequence] + x for x in (a.source, a.target))
    forward = _direction(a, sequence, target, source)
    backward = _direction(a, sequence, source, target)
    neighbours = forward.position[source[forward.edges]], backward.position[target[backward.edges]]
    label_ids, label_offsets, label = _labels(a, sequence)
    members = np.argsort(label[backward.edges], kind="stable")
    label_pieces, pieces = _pieces(np.bincount(label, minlength=len(label_ids)))
    local = label - label_offsets[sequence]
    state, backward_state = (np.argsort(x.position) for x in (forward, backward))
    beginnings = [a.edge_offsets, a.state_offsets, forward.offsets]
    beginnings += [len(forward.rounds) + backward.offsets]
    beginnings += [label_offsets, label_pieces[label_offsets]]
    return Plan(
        offsets=np.stack(beginnings),
        rounds=np.concatenate([forward.rounds, backward.rounds]),
        neighbour=(np.stack(neighbours) - a.state_offsets[sequence]).astype(np.int32),
        label=np.stack([local[x.edges] for x in (forward, backward)]).astype(np.int32),
        cost=np.stack([a.cost[x.edges] for x in (forward, backward)]),
        start=a.start[state],
        final=a.final[backward_state],
        across=(forward.position[backward_state] - first_state).astype(np.int32),
        state=(state - first_state).astype(np.int32),
        label_ids=label_ids,
        label_pieces=label_pieces,
        pieces=pieces,
        members=(members - a.edge_offsets[sequence]).astype(np.int32),
    )


def _direction(a: Automaton, sequence: Array, state: Array, neighbour: Array) -> Direction:
    """The order of a sweep that sums, for each `state`, over its edges to a `neighbour`.

    The edges of a state come by falling neighbour, parallel ones as given: the order of ties.
    """
    degree = np.bincount(state, minlength=len(a.start))
    of_state = np.repeat(np.arange(a.batch), np.diff(a.state_offsets))
    position = _inverse(np.lexsort((-degree, of_state)))
    by_state = np.lexsort((-neighbour, state))
    rank = np.empty_like(by_state)
    rank[by_state] = np.arange(len(state)) - (np.cumsum(degree) - degree)[state[by_state]]
    edges = np.lexsort((position[state], rank, sequence))
    keys = np.stack([sequence[edges], rank[edges]])
    begins = np.flatnonzero(np.append(True, (keys[:, 1:] != keys[:, :-1]).any(axis=0)))
    begins = begins[: len(edges)]  # none where there is no edge
    offsets = np.searchsorted(keys[0, begins], np.arange(a.batch + 1))
    return Direction(edges, position, np.append(begins, len(edges)), offsets)


def _inverse(order: Array) -> Array:
    inverse = np.empty_like(order)
    inverse[order] = np.arange(len(order))
    return inverse


def _labels(a: Automaton, sequence: Array) -> tuple[Array, Array, Array]:
    """The distinct labels of each sequence, where those of each begin, and each edge's place."""
    size = int(a.label.max(initial=0)) + 1
    keys, place = np.unique(sequence * size + a.label, return_inverse=True)
    return (
        (keys % size).astype(np.int32),
        np.searchsorted(keys, np.arange(a.batch + 1) * size),
        place,
    )


def _pieces(sizes: Array) -> tuple[Array, Array]:
    """Where the pieces of each label begin, and where the members of each piece do."""
    counts = -(-sizes // PIECE)
    label_pieces = np.append(0, np.cumsum(counts))
    number = np.arange(label_pieces[-1]) - np.repeat(label_pieces[:-1], counts)
    begins = np.repeat(np.cumsum(sizes) - sizes, counts) + PIECE * number
    return label_pieces, np.append(begins, sizes.sum())
