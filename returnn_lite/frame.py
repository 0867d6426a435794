"""The values of a network's layers in one run: for the whole sequence, or for a step of a loop."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from returnn_lite import random
from returnn_lite.beam import Beam, latest
from returnn_lite.config import Config
from returnn_lite.data import Data
from returnn_lite.dim import BATCH, Dim
from returnn_lite.errors import NetworkError
from returnn_lite.infer import template_of
from returnn_lite.lazy import tf
from returnn_lite.naming import as_named
from returnn_lite.node import Mode, Node
from returnn_lite.site import Site

if TYPE_CHECKING:
    from returnn_lite.loop import Loop
    from returnn_lite.rec.placement import Placement


class Lengths(dict[Dim, Data]):
    """The lengths of dynamic dims, int32 [batch]; those of derived dims come from their parts.

    Those of what a loop has seen so far are by step, int32 [steps]: see `cum_concat`.
    They are computed where they are asked for, never kept: that may be inside a loop.
    """

    def __missing__(self, dim: Dim) -> Data:
        if dim.formula is None:
            raise KeyError(dim)
        parts = [None if p.size is not None else self[p] for p in dim.parts]
        beam = latest([p.beam for p in parts if p is not None])
        sizes = [
            d.size if p is None else p.in_beam(beam).tensor
            for d, p in zip(dim.parts, parts, strict=True)
        ]
        like = next(p for p in parts if p is not None)
        return replace(like, name=f"{dim.name}:lengths", beam=beam, tensor=dim.formula(*sizes))


@dataclass(kw_only=True)
class Run:
    """What all layers share in one run.

    params: {name: tensor}. batch: int32, the number of sequences, without beams. config: values
    that eval strings ask for. seed, step: what random numbers depend on. lengths: int32 [batch] of
    each dynamic dim. positions: of a dim of selected frames, the dim they are from, and which they
    are, int32 [batch, selected]. beams: the final hypotheses of each loop with a search. updates:
    what parameters become after a step of training, other than by gradients. carried: the states at
    the end of the run before, by name, and carry: those at the end of this one, as far as they go
    on: all of them where the sequences come in chunks (stream), else those that layers keep.
    """

    mode: Mode
    params: dict[str, Any]
    batch: Any
    config: Config
    seed: int = 0
    step: Any = 0
    lengths: Lengths = field(default_factory=Lengths)
    positions: dict[Dim, tuple[Dim, Any]] = field(default_factory=dict)
    beams: dict[Loop, Beam] = field(default_factory=dict)
    updates: dict[str, Any] = field(default_factory=dict)
    carried: dict[str, Any] = field(default_factory=dict)
    carry: dict[str, Any] = field(default_factory=dict)
    stream: bool = False

    def continued(self, name: str, first: Data) -> Data:
        """Return the state after the run before, of what a hypothesis continues; or the first."""
        if name not in self.carried:
            return first
        rows = tf.ensure_shape(self.carried[name], [d.size for d in first.dims])
        beam = first.beam
        loop = next((x for x, other in self.beams.items() if other is beam), None)
        if loop is not None and first.has_batch:
            assert beam is not None
            origin = self.carry[carried_name(loop.node, "origin")]
            index = origin + tf.range(tf.shape(origin)[0])[:, None] * beam.size
            rows = tf.gather(rows, tf.reshape(index, [-1]), axis=first.axis(BATCH))
        return replace(first, tensor=rows)

    def rng(self, path: str) -> Any:
        """Return the seed of a place in the network: int32 [2]."""
        return random.seed_for(self.seed, self.step, path)

    def set_lengths(self, dim: Dim, lengths: Any, beam: Beam | None = None) -> None:
        """Set the lengths of a dim: int32 [batch]."""
        self.lengths[dim] = Data(
            name=f"{dim.name}:lengths", dims=(BATCH,), dtype="int32", beam=beam, tensor=lengths
        )

    def entries(self, dim: Dim) -> Any:
        """Return int32 []: the entries of a dim; at least one, so that no axis is empty."""
        if dim.size is not None:
            return dim.size
        if dim.formula is not None:
            return tf.maximum(dim.formula(*(self.entries(p) for p in dim.parts)), 1)
        return tf.maximum(tf.reduce_max(self.lengths[dim].tensor), 1)

    def set_positions(self, dim: Dim, of: Dim, positions: Any) -> None:
        """Say which entries of another dim those of a dim are: int32 [batch, entries]."""
        of, before = self.steps_of(of)
        if before is not None:
            positions = tf.gather(before, positions, batch_dims=1)
        self.positions[dim] = of, positions

    def steps_of(self, dim: Dim) -> tuple[Dim, Any]:
        """Return the dim of which a dim has entries, and int32 [batch, entries]; None for all."""
        return self.positions.get(dim, (dim, None))

    def lengths_of(self, dim: Dim, beam: Beam | None) -> Any:
        """Return int32 [batch]: the lengths of a dim, for each hypothesis of a beam."""
        lengths = self.lengths[dim]
        if any(d.kind == "batch" and d is not BATCH for d in lengths.dims):
            raise NetworkError(
                f"found lengths of {dim} by chunk, needed those of sequences; "
                "try time_unchunking before"
            )
        if lengths.dims != (BATCH,):
            raise NetworkError(
                f"found lengths of {dim} by step of a loop, needed those of sequences; "
                "try optimize_move_layers_out: False"
            )
        return lengths.in_beam(beam).tensor

    def lengths_in(self, x: Data, dim: Dim) -> Any:
        """Return int32 [batch]: the lengths of a dim of x, or of what takes its place."""
        return self.lengths_of(dim, x.beam) if x.has_batch else self.lengths[dim].tensor

    def with_dim(self, x: Data, old: Dim, new: Dim, where: str) -> Data:
        """Return x with another dim in place of one, whose lengths must be the same."""
        return x if old is new else self.with_lengths_as(x, old, new, where).renamed(old, new)

    def with_lengths_as(self, x: Data, old: Dim, new: Dim, where: str) -> Data:
        """Return x; fails where the lengths of one of its dims are not those of another dim."""
        found, needed = (self.lengths[d].tensor if d.dynamic else d.size for d in (old, new))
        text = f"{where}: found lengths of {old.name}, needed those of {new.name}"
        check = tf.debugging.assert_equal(found, needed, message=text)
        with tf.control_dependencies([check] if check is not None else []):
            return replace(x, tensor=tf.identity(x.tensor))

    def pads(self, x: Data, dim: Dim) -> bool:
        """Whether entries of a dim of x are padding: what has the lengths is a dim of x, too."""
        return dim.dynamic and (x.has_batch or set(self.lengths[dim].dims) <= set(x.dims))

    def masked(self, x: Data, dim: Dim, value: Any = 0) -> Data:
        """Return x with a number in the entries of a dim that are padding."""
        if not self.pads(x, dim):
            return x
        x = self.with_lengths(x, dim)
        number = tf.cast(value, x.tensor.dtype)
        return replace(x, tensor=tf.where(self.mask(dim, x), x.tensor, number))

    def fitting(self, x: Data, old: Dim, new: Dim) -> Data:
        """Return x with a dim in place of one, cut, or padded with zeros, to its entries."""
        axis = x.axis(old)
        tensor = x.tensor[(*[slice(None)] * axis, slice(self.entries(new)))]
        paddings: list[Any] = [[0, 0]] * len(x.dims)
        paddings[axis] = [0, self.entries(new) - tf.shape(tensor)[axis]]
        return replace(x.renamed(old, new), tensor=tf.pad(tensor, paddings))

    def over(self, x: Data, dim: Dim) -> Data:
        """Return x with a dim in front along which its entries repeat, where it has no such dim."""
        if dim in x.dims:
            return x
        count = self.batch if dim is BATCH else self.entries(dim)
        return replace(x, dims=(dim, *x.dims), tensor=tf.repeat(x.tensor[None], count, axis=0))

    def with_lengths(self, x: Data, dim: Dim) -> Data:
        """Return x with the dims that the lengths of one of its dims have, new ones at the end."""
        for other in self.lengths[dim].dims:
            if other not in x.dims:
                x = self.over(x, other).last(other)
        return x

    def mask(self, dim: Dim, x: Data) -> Any:
        """Return bool, shaped to broadcast against x: which entries of a dynamic dim are valid.

        x has the dim of the lengths, too: the batch, mostly.
        """
        lengths = self.lengths[dim].in_beam(x.beam)
        steps = tf.range(tf.shape(x.tensor)[x.axis(dim)])
        steps = tf.reshape(steps, [-1 if d is dim else 1 for d in x.dims])
        (of,) = lengths.dims
        assert of in x.dims, f"{x} has no {of} for the lengths of {dim}"
        return steps < tf.reshape(lengths.tensor, [-1 if d is of else 1 for d in x.dims])


def carried_name(node: Node, name: str) -> str:
    """Return what a state is called in `Run.carried`."""
    return f"{node.path}:{name}"


class Frame:
    """The values of the layers that are computed at once for whole sequences.

    loop: the loop whose layers these are, None for the network itself. parent: the frame around.
    index, search: the step of a loop, int32, and the search in it; None for whole sequences.
    """

    def __init__(self, run: Run, loop: Loop | None = None, parent: Frame | None = None):
        self.run = run
        self.loop = loop
        self.parent = parent
        self.values: dict[Node, Data] = {}
        self.states: dict[tuple[Node, str], Data] = {}
        self.inside: dict[Loop, Frame] = {}
        self.before_activation: dict[Node, tuple[str, Data]] = {}
        self.index: Any = None
        self.search: Search | None = None
        self.graph = None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()

    def inside_graph(self) -> Any:
        """Return a context in which tensors are made that belong to this frame, not to a step."""
        return self.graph.as_default() if self.graph is not None else nullcontext()

    def home(self, node: Node) -> Frame:
        """Return the frame of a node's value: this, one around, or that of a loop inside."""
        frame: Frame | None = self
        while frame is not None:
            if frame.loop is node.loop:
                return frame
            frame = frame.parent
        assert node.loop is not None
        outer = self.home(node.loop.node)
        if node.loop not in outer.inside:
            outer.value(node.loop.node)
        return outer.inside[node.loop]

    def value(self, node: Node) -> Data:
        """Return the output of a node, computed when it is first asked for.

        That of a layer in a loop, seen from outside, has the outputs of all steps.
        """
        home = self.home(node)
        if node not in home.values:
            # Asked for by a step, it is still computed once, before the loop.
            with nullcontext() if home is self else home.inside_graph():
                home.values[node] = home.compute(node)
        x = home.values[node]
        if home.loop is None or home.loop.encloses(self.loop):
            return x
        dim = home.loop.dim
        return replace(self.run.over(x, dim).first(dim), time_dim=dim)

    def compute(self, node: Node) -> Data:
        """Compute the output of a node that belongs to this frame."""
        with tf.name_scope(_scope_name(node.path) + "/"):
            out = node.layer.call(Site(node, self))
            if node.common.batch_norm:
                out = node.resolved["batch_norm"].normalised(Site(node, self), out)
                self.before_activation.pop(node, None)
            out = as_named(Site(node, self), out)
        return replace(out, name=node.path)

    def axis(self, node: Node) -> Dim | None:
        """Return what the recurrency of a node in this frame's loop runs over."""
        assert self.loop is not None
        scope = node.scope
        while scope is not self.loop.scope:
            assert scope.owner is not None and scope.parent is not None
            if "masked" in scope.owner.resolved:
                dim: Dim = scope.owner.resolved["masked"]
                return dim
            scope = scope.parent
        return self.loop.dim

    def state(self, node: Node, name: str) -> Data:
        """Return a part of the hidden state of a node, at its beginning."""
        raise AssertionError(f"{node}: only a step has a state before")

    def hidden(self, node: Node, unit: Node, name: str) -> Data:
        """Return a part of the hidden state that a unit has after the layer that it is in has run.

        In a step it is that of the step, else the final one.
        """
        self.value(node)
        frame: Frame | None = self.home(unit)
        while frame is not None and (unit, name) not in frame.states:
            frame = frame.parent
        assert frame is not None
        return frame.states[unit, name]

    def set_state(self, node: Node, name: str, value: Data) -> None:
        """Keep a part of the final hidden state of a node."""
        self.states[node, name] = value


class Search:
    """The state of a beam search within one step.

    beam: the hypotheses after the last choice, with their scores; None where nothing is chosen, and
    only the end is searched for. ended: bool, for each sequence or
    hypothesis whether it is complete, so that it is carried on unchanged. taken: int32, how many
    labels each hypothesis has, with that of the end; None where all of a sequence have as many.
    """

    def __init__(self, beam: Beam | None, ended: Data, taken: Data | None = None):
        self.beam = beam
        self.ended = ended
        self.taken = taken


class Before:
    """What the steps of a loop share, all of it computed before the loop.

    frame: that of whole sequences. sequences: outputs of layers that are computed before, that of a
    step in front of the others where they differ by steps. saves: whether products with weights are
    made before, see `rec.products`. steps: int32, how many there may be.
    """

    def __init__(self, frame: Frame, sequences: dict[Node, Data], *, saves: bool, steps: Any):
        self.frame = frame
        self.sequences = sequences
        self.saves = saves
        self.steps = steps
        self._made: dict[Any, Any] = {}

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """Return what is the same in every step, made before the loop when it is first needed."""
        if key not in self._made:
            with self.frame.inside_graph():
                self._made[key] = make()
        return self._made[key]


class StepFrame(Frame):
    """The values of the layers in one step of a loop.

    parent: the frame of the whole sequences. index: int32, the step. states: what is remembered of
    the step before.
    """

    def __init__(
        self,
        parent: Frame,
        placement: Placement,
        index: Any,
        states: dict[tuple[Node, str], Data],
        before: Before,
        search: Search | None,
    ):
        super().__init__(parent.run, parent.loop, parent)
        self.placement = placement
        self.index = index
        self.states_before = states
        self.before = before
        self.search = search

    def compute(self, node: Node) -> Data:
        """Compute the output of a node in this step, or take it from what was computed before."""
        if node in self.before.sequences:
            return self.sliced(node, self.before.sequences[node])
        if self.placement.place.get(node) == "before":
            assert self.parent is not None
            return self.parent.value(node)
        if node.layer.layer_class == "prev":
            return self.state(node.sources[0], "output")
        return super().compute(node)

    def known(self, node: Node) -> Data | None:
        """Return the output of a node for all steps, if it is known before the loop."""
        if node in self.before.sequences:
            return self.before.sequences[node]
        return self.value(node) if self.home(node) is not self else None

    def by_steps(self, node: Node) -> bool:
        """Whether what is known of a node before the loop has an entry for each step, in front."""
        x = self.before.sequences.get(node)
        return x is not None and has_steps(node, x)

    def sliced(self, node: Node, x: Data) -> Data:
        """Return a step's entry of what is known of a node, or of what was made of it; or all."""
        if not self.by_steps(node):
            return x
        assert self.loop is not None
        return replace(x.without(self.loop.dim), tensor=x.tensor[self.index])

    def axis(self, node: Node) -> Dim | None:
        """Return None: a recurrency makes one step."""
        return None

    def state(self, node: Node, name: str) -> Data:
        """Return a part of the hidden state of a node after the step before."""
        return self.states_before[node, name]


def has_steps(node: Node, x: Data) -> bool:
    """Whether the value of a layer in a loop, computed outside of it, has those of all steps.

    One that is the same in every step may have the loop's dim in each: that of the whole source.
    """
    assert node.loop is not None
    return node.loop.dim in x.dims and node.loop.dim not in template_of(node).dims


def _scope_name(path: str) -> str:
    return "".join(c if c.isalnum() or c in "_/-." else "_" for c in path).lstrip("_/-") or "layer"
