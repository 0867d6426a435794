"""The values of a network's layers in one run: for the whole sequence, or for a step of a loop."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from returnn_lite.beam import Beam
from returnn_lite.data import Data
from returnn_lite.dim import Dim
from returnn_lite.infer import template_of
from returnn_lite.lazy import tf
from returnn_lite.long_chain import far_ends
from returnn_lite.naming import as_named
from returnn_lite.node import Node
from returnn_lite.run import Run
from returnn_lite.seen import once_checked
from returnn_lite.site import Site

if TYPE_CHECKING:
    from returnn_lite.loop import Loop
    from returnn_lite.rec.placement import Placement


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
                if node.common.control_dependencies_on_output is not None:
                    home.values[node] = once_checked(Site(node, home))
        x = home.values[node]
        if home.loop is None or home.loop.encloses(self.loop):
            return x
        dim = home.loop.dim
        return replace(self.run.over(x, dim).first(dim), time_dim=dim)

    def compute_chain(self, node: Node) -> None:
        """Compute what a node outside of loops comes from, where that is a long chain."""

        def before(of: Node) -> Node | None:
            found = (n for n in of.sources if n not in self.values and n.loop is None)
            return next(found, None)

        for other in far_ends(node, before) if node.loop is None else ():
            self.value(other)

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
