"""A batch of weighted automata over labels: what the operations of this folder sum over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from cupy_kernels import check
from cupy_kernels.fsa.plan import Plan, plan

Ints = npt.NDArray[np.int32]
Costs = npt.NDArray[np.float32]
Offsets = npt.NDArray[np.int64]
Edge = tuple[int, int, int] | tuple[int, int, int, float]
LARGEST = 90000.0  # cost or score that a kernel can hold: e^-90000 is zero to it


@dataclass(frozen=True, eq=False)
class Automaton:
    """One automaton for each sequence of a batch; every edge takes one frame.

    It is described on the host, by numpy arrays; what a GPU needs of it is copied there at the
    first call and kept. A cost is -log of a weight: costs add up along a path, inf is never. An
    edge stands in `edge_offsets[b]` to `edge_offsets[b + 1]` if it is of sequence b, in any order
    among these. States of a sequence are numbered from 0. There may be loops, parallel edges, and
    states that no path reaches. `dataclasses.replace(automaton, cost=...)` gives other costs.

    Args:
        source: int32 [edges], the state that an edge leaves.
        target: int32 [edges], the state that it enters.
        label: int32 [edges], whose score it takes from a frame.
        cost: float32 [edges], between -90000 and 90000, or inf.
        start: float32 [states], cost of starting in a state; a finite one for each sequence.
        final: float32 [states], cost of ending in a state.
        edge_offsets: int64 [batch + 1], where the edges of each sequence begin.
        state_offsets: int64 [batch + 1], where its states begin.

    Raises:
        ArgumentError: an array has the wrong dtype, shape or range.
    """

    source: Ints
    target: Ints
    label: Ints
    cost: Costs
    start: Costs
    final: Costs
    edge_offsets: Offsets
    state_offsets: Offsets

    def __post_init__(self) -> None:
        _check(self)
        for field in fields(self):  # the plan is made once, so what it is made of must not change
            view = getattr(self, field.name).view()
            view.flags.writeable = False
            object.__setattr__(self, field.name, view)

    @classmethod
    def of(
        cls,
        edges: Sequence[Sequence[Edge]],
        start: Sequence[Mapping[int, float]],
        final: Sequence[Mapping[int, float]],
    ) -> Automaton:
        """Automata from plain lists.

        Args:
            edges: for each sequence its edges (source, target, label) or, with a cost other than
                0, (source, target, label, cost).
            start: for each sequence state -> cost.
            final: likewise.
        """
        counts = (len(edges), len(start), len(final))
        if len(set(counts)) > 1:
            needed = "as many sequences in each"
            check.fail("Automaton.of", "edges, start, final", f"{counts} sequences", needed)
        return cls.join([_single(*one) for one in zip(edges, start, final, strict=True)])

    @classmethod
    def join(cls, automata: Sequence[Automaton]) -> Automaton:
        """The sequences of several automata, one batch after the other."""
        names = ("source", "target", "label", "cost", "start", "final")
        dtypes = (np.int32, np.int32, np.int32, np.float32, np.float32, np.float32)
        arrays: dict[str, npt.NDArray[Any]] = {
            name: np.concatenate([np.empty(0, dtype), *(getattr(a, name) for a in automata)])
            for name, dtype in zip(names, dtypes, strict=True)
        }
        edges = [np.diff(a.edge_offsets) for a in automata]
        states = [np.diff(a.state_offsets) for a in automata]
        return cls(**arrays, edge_offsets=offsets(edges), state_offsets=offsets(states))

    @property
    def batch(self) -> int:
        """How many sequences there are."""
        return len(self.edge_offsets) - 1

    def __iter__(self) -> Iterator[Automaton]:
        """The automata of the sequences, each a batch of its own."""
        for b in range(self.batch):
            edges = slice(*self.edge_offsets[b : b + 2])
            states = slice(*self.state_offsets[b : b + 2])
            of_edges = (self.source[edges], self.target[edges], self.label[edges], self.cost[edges])
            of_states = (self.start[states], self.final[states])
            sizes = offsets([of_edges[0].size]), offsets([of_states[0].size])
            yield Automaton(*of_edges, *of_states, *sizes)

    def plan(self, xp: ModuleType) -> Plan:
        """The order in which kernels walk the edges, in arrays of the current device."""
        device = -1 if xp is np else xp.cuda.Device().id
        if device not in self._plans:
            host = self._plans.setdefault(-1, plan(self))
            self._plans[device] = Plan(*(xp.asarray(x) for x in host))
        return self._plans[device]

    @cached_property
    def _plans(self) -> dict[int, Plan]:
        return {}


def offsets(counts: Any) -> Offsets:
    """Where the parts begin, and the last one ends, of which the sizes are given."""
    sizes = np.concatenate([np.zeros(1, np.int64), *(np.atleast_1d(x) for x in counts)])
    return np.cumsum(sizes, dtype=np.int64)


def _single(
    edges: Sequence[Edge], start: Mapping[int, float], final: Mapping[int, float]
) -> Automaton:
    columns = [np.array([edge[i] for edge in edges], np.int32) for i in range(3)]
    cost = np.array([edge[3] if len(edge) > 3 else 0.0 for edge in edges], np.float32)
    named = [*start, *final, *columns[0].tolist(), *columns[1].tolist()]
    ends = []
    for costs in (start, final):
        row = np.full(max(named, default=0) + 1, np.inf, np.float32)
        for state, value in costs.items():
            if state < 0:
                check.fail("Automaton", "start, final", f"state {state}", "0 or more")
            row[state] = value
        ends.append(row)
    sizes = offsets([len(edges)]), offsets([len(ends[0])])
    return Automaton(columns[0], columns[1], columns[2], cost, ends[0], ends[1], *sizes)


def _check(a: Automaton) -> None:
    where = "Automaton"
    names = [field.name for field in fields(a)]
    for name in names:
        value = getattr(a, name)
        if not isinstance(value, np.ndarray):
            needed = "a numpy array: an automaton is described on the host"
            check.fail(where, name, f"a {type(value).__name__}", needed)
    edges, states = a.source.size, a.start.size
    for name in ("source", "target", "label"):
        check.array(where, name, getattr(a, name), np.int32, edges=edges)
    check.array(where, "cost", a.cost, np.float32, edges=edges)
    for name in ("start", "final"):
        check.array(where, name, getattr(a, name), np.float32, states=states)
    for name, size in (("edge_offsets", edges), ("state_offsets", states)):
        value = getattr(a, name)
        check.array(where, name, value, np.int64, offsets=a.edge_offsets.size)
        if value.size == 0 or value[0] != 0 or value[-1] != size or (np.diff(value) < 0).any():
            check.fail(where, name, f"{value}", f"offsets that rise from 0 to {size}")
    for name in ("cost", "start", "final"):
        value = getattr(a, name)
        wrong = ~((abs(value) < LARGEST) | (value == np.inf))
        needed = f"between {-LARGEST:.0f} and {LARGEST:.0f}, or inf"
        check.outside(where, name, value, wrong, needed)
    limits = np.repeat(np.diff(a.state_offsets), np.diff(a.edge_offsets))
    for name in ("source", "target"):
        value = getattr(a, name)
        needed = "a state of its sequence, from 0 to their number - 1"
        check.outside(where, name, value, (value < 0) | (value >= limits), needed)
    check.outside(where, "label", a.label, a.label < 0, "0 or more")
    starts = np.add.reduceat(np.append(a.start < np.inf, False), a.state_offsets[:-1], dtype=int)
    empty = np.diff(a.state_offsets) == 0
    without = np.flatnonzero((starts == 0) | empty)
    if without.size:
        found = f"sequence {without[0]} without one"
        check.fail(where, "start", found, "a state of finite cost for every sequence")
