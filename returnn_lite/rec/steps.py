"""The loop itself: what cannot leave it runs step by step, with or without a beam search."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from returnn_lite.beam import Beam
from returnn_lite.data import Data
from returnn_lite.dim import BATCH
from returnn_lite.frame import Before, Frame, Search, StepFrame, has_steps
from returnn_lite.infer import template_of
from returnn_lite.initial_output import initial_output
from returnn_lite.layers.kept_state import keeps
from returnn_lite.lazy import tf
from returnn_lite.node import Node
from returnn_lite.rec.carried_states import (
    StateKey,
    carried_states,
    carry_states,
    keep_states,
)
from returnn_lite.rec.contents import kept_after, used_from_before
from returnn_lite.rec.hypotheses import beam_around, beam_size, ordered_choices
from returnn_lite.rec.placement import Placement, top
from returnn_lite.rec.products import BEFORE, first_products, made_of
from returnn_lite.rec.trace_back import reordered, trace_back
from returnn_lite.rec.while_loop import State, while_loop
from returnn_lite.run import carried_name
from returnn_lite.site import Site

if TYPE_CHECKING:
    from returnn_lite.layers.rec import Rec


def run_steps(
    frame: Frame,
    placement: Placement,
    limit: Any,
    *,
    include_eos: bool,
    with_gradient: bool = True,
) -> None:
    """Run the layers placed in the loop; their outputs of all steps become values of the frame.

    limit: int32 [batch], the number of steps after which an open search ends; None where the
    lengths of the loop's dim are known. with_gradient: whether there is one through the loop.
    """
    steps = Steps(frame, placement, limit, include_eos=include_eos)
    steps.with_gradient = with_gradient
    steps.run()


class Steps:
    """One execution of a loop.

    states: the layers' hidden states and outputs that the next step sees, by (layer, name).
    kept: the layers whose outputs of all steps are needed after the loop. around: the hypotheses
    of another search that it runs for, each of them a sequence of its own; without choices only.
    """

    def __init__(self, frame: Frame, placement: Placement, limit: Any, *, include_eos: bool):
        assert frame.loop is not None
        self.frame = frame
        self.loop = frame.loop
        self.placement = placement
        self.limit = limit
        self.around: Beam | None = None
        self.with_gradient = True
        self.include_eos = include_eos
        searches = self.loop.node.scope.mode.search
        self.choices = ordered_choices(self.loop, placement) if searches else []
        self.kept = kept_after(self.loop, placement)
        self.sliced = used_from_before(self.loop, placement)
        assert self.loop.scope is not None
        self.end = None if limit is None else self.loop.scope.get("end")

    @property
    def beam_size(self) -> int:
        """The number of hypotheses between steps."""
        return beam_size(self.choices)

    def run(self) -> None:
        """Run the loop and give its outputs to the frame."""
        run = self.frame.run
        sequences = self._sequences()
        known = None if self.limit is not None else self.loop.dim
        self.around = beam_around(self.frame, self.placement, sequences.values(), known)
        if self.choices and self.around is not None:
            raise Site(self.loop.node).error(
                f"found hypotheses of {self.around} in a search, needed none; try 'decide' before"
            )
        lengths = self._lengths()
        steps = tf.maximum(tf.reduce_max(lengths), 1)
        # An end may come long before the limit, for which there need not be room.
        room = steps if self.limit is None else tf.minimum(steps, 1024)
        before = Before(self.frame, sequences, saves=self._saves(), steps=room)
        first = self._first_states()
        if self.streams:
            first = carried_states(run, first)
        state: State = {
            "states": {k: d.tensor for k, d in first.items()},
            "arrays": {n: self._array(n, room) for n in self.kept},
        }
        if self.choices:
            size = self.beam_size
            only_first = [[0.0] + [float("-inf")] * (size - 1)]
            scores = tf.tile(only_first, [run.batch, 1])
            if self.streams:
                scores = run.carried.get(self._scores_name, scores)
            state["scores"] = tf.ensure_shape(scores, [None, size])
            if any(c.layer.cheating for c in self.choices):  # type: ignore[attr-defined]
                state["truth"] = tf.zeros([run.batch], tf.int32)
            shape, grows = tf.TensorShape([None, size]), self.limit is not None
            state["sources"] = tf.TensorArray(tf.int32, room, grows, element_shape=shape)
        if self.end is not None:
            count = run.batch * self._count()
            state["ended"] = tf.zeros([count], tf.bool)
            state["steps"] = tf.zeros([count], tf.int32)

        def goes_on(index: Any, state: State) -> Any:
            more = index < steps
            if self.end is None:
                return more
            return tf.logical_and(more, tf.logical_not(tf.reduce_all(state["ended"])))

        def body(index: Any, state: State) -> tuple[Any, State]:
            return index + 1, self._step(index, state, first, before, lengths)

        index, state = while_loop(goes_on, body, (tf.constant(0), state))
        self._finish(index, state)
        self._finish_states(state, first)
        final = {k: replace(d, tensor=state["states"][k]) for k, d in first.items()}
        keep_states(self.frame, final, lengths, known=self.limit is None)
        if self.streams:
            carry_states(run, state["states"])
            run.carry |= {self._scores_name: state["scores"]} if self.choices else {}

    def _lengths(self) -> Any:
        """Return int32 [batch]: how many steps each sequence has, or each hypothesis around."""
        run, dim = self.frame.run, self.loop.dim
        if self.limit is None and dim.dynamic and self.around is None:
            return run.lengths[dim].tensor
        if self.limit is None and dim.dynamic:
            return run.lengths_of(dim, self.around)
        every = tf.fill([run.batch], run.entries(dim)) if self.limit is None else self.limit
        lengths = Data(name="lengths", dims=(BATCH,), dtype="int32", tensor=every)
        return lengths.in_beam(self.around).tensor

    def _count(self) -> int:
        """Return how many rows of the batch each sequence has between steps."""
        if self.choices:
            return self.beam_size
        return 1 if self.around is None else self.around.size

    @property
    def streams(self) -> bool:
        """Whether the sequences are chunks, whose states go on into the next ones."""
        return self.frame.run.stream and self.loop.node.loop is None

    @property
    def _scores_name(self) -> str:
        return carried_name(self.loop.node, "scores")

    def _sequences(self) -> dict[Node, Data]:
        """Return the outputs computed before the loop, one entry a step in front."""
        found = {n: self.frame.value(n) for n in self.sliced}
        return {n: d.first(self.loop.dim) if has_steps(n, d) else d for n, d in found.items()}

    def _first_states(self) -> dict[StateKey, Data]:
        """Return the states before the first step; what depends on a choice for a full beam."""
        states: dict[StateKey, Data] = {}
        for node, place in self.placement.place.items():
            if place != "in":
                continue
            site = Site(node, self.frame)
            if node.layer.layer_class == "prev":
                states[node.sources[0], "output"] = initial_output(site, node.sources[0])
                states |= self._first_parts(site, node.sources[0])
            first = node.layer.first_state(site)
            if self._saves():
                first = first | first_products(site, self.placement)
            states |= {(node, name): data for name, data in first.items()}
        beam = Beam("start", self.beam_size) if self.choices else self.around
        return {
            (n, name): d.in_beam(beam) if n in self.placement.beamed or not self.choices else d
            for (n, name), d in states.items()
        }

    def _first_parts(self, site: Site, node: Node) -> dict[StateKey, Data]:
        """Return what products with `prev:` of a layer are made of in the first step."""
        found = made_of(node) if self._saves() else None
        if found is None or self.placement.place.get(found[0]) != "in":
            return {}
        of, value = found
        return {(of, BEFORE): site.constant(value, template_of(of))}

    def _saves(self) -> bool:
        """Return whether products are made before the loop: in a search, where that is wanted."""
        run = self.frame.run
        rec: Rec = self.loop.node.layer  # type: ignore[assignment]
        return bool(self.choices) and not run.mode.train and rec.optimises(self.loop.node)

    def _array(self, node: Node, room: Any) -> Any:
        """Return the array that keeps the outputs of a layer."""
        x = template_of(node)
        shape = tf.TensorShape([d.size for d in x.dims])
        grows = self.limit is not None
        return tf.TensorArray(tf.as_dtype(x.dtype), room, grows, element_shape=shape)

    def _step(
        self,
        index: Any,
        state: State,
        first: dict[StateKey, Data],
        before: Before,
        lengths: Any,
    ) -> State:
        """Run one step of the loop."""
        start = None
        if self.choices:
            size = self.beam_size
            start = Beam("start", size, scores=state["scores"], truth=state.get("truth"))
        states = {
            key: replace(d, beam=d.beam and (start or self.around), tensor=state["states"][key])
            for key, d in first.items()
        }
        search = self._search(index, state, start, lengths)
        step = StepFrame(self.frame, self.placement, index, states, before, search)
        for choice in self.choices:
            step.value(choice)
        values = {n: step.value(n) for n in self.kept}
        beam = search.beam if search is not None else None
        new: State = {"states": {}, "arrays": {}}
        for node, name in first:
            new["states"][node, name] = self._new_state(step, node, name, beam, first, lengths)
        for node, value in values.items():
            value = self._at_end(node, value, beam).ordered(template_of(node).dims)
            new["arrays"][node] = state["arrays"][node].write(index, value.tensor)
        if self.choices:
            assert beam is not None and start is not None and search is not None
            done = self._done(search)[:, None]
            new["scores"] = tf.where(done, start.scores, beam.scores)
            source = tf.where(done, tf.range(start.size)[None, :], beam.source_in(start))
            new["sources"] = state["sources"].write(index, source)
            if "truth" in state:
                new["truth"] = tf.where(done[:, 0], start.truth, beam.truth)
        if self.end is not None:
            assert search is not None
            new.update(self._ended(step, state, search, start, beam))
        return new

    def _at_end(self, node: Node, value: Data, beam: Beam | None) -> Data:
        """Return an output or a state for the hypotheses at the end of the step."""
        if node in self.placement.beamed or not self.choices:
            return value.in_beam(beam or self.around)
        if value.beam is not None:
            raise Site(node).error(
                f"found {value.beam} of another search in the steps of {self.loop.node}, needed "
                "none; try 'decide' before that loop, and no search in it"
            )
        return value

    def _done(self, search: Search) -> Any:
        """Return bool [batch]: which sequences are complete in all hypotheses before the step.

        They stay as they are, also where a choice has a smaller beam than the last one.
        """
        ended = search.ended
        size = ended.beam.size if ended.beam is not None else 1
        return tf.reduce_all(tf.reshape(ended.tensor, [-1, size]), axis=1)

    def _search(self, index: Any, state: State, start: Beam | None, lengths: Any) -> Search | None:
        """Return the search before a step; complete is what ended or is behind its length."""
        if start is None and self.end is None:
            return None
        over = self._over(index, lengths)
        if self.end is None:
            return Search(start, over)
        ended, steps = state["ended"], state["steps"]
        over = over.in_beam(start)
        over = replace(over, tensor=tf.logical_or(over.tensor, ended))
        taken = steps if self.include_eos else steps + tf.cast(ended, tf.int32)
        return Search(start, over, replace(over, name="taken", dtype="int32", tensor=taken))

    def _over(self, index: Any, lengths: Any) -> Data:
        """Return bool [batch]: what is behind its length in a step."""
        over = Data(name="over", dims=(BATCH,), dtype="bool", tensor=index >= lengths)
        return replace(over, beam=self.around)

    def _new_state(
        self,
        step: StepFrame,
        node: Node,
        name: str,
        beam: Beam | None,
        first: dict[StateKey, Data],
        lengths: Any,
    ) -> Any:
        """Return a state after the step, for the hypotheses at its end."""
        # What lies in a masked_computation is held by it, so that this has to come first.
        step.value(top(self.loop, node) or node)
        value = step.states.get((node, name))
        if value is None:
            same = name not in ("output", BEFORE)
            value = step.state(node, name) if same else step.value(node)
        like = first[node, name]
        value = self._at_end(node, value, beam)
        read = "final_state" in node.resolved or keeps(node)
        if self.streams or (read and name != "output" and not any(d.dynamic for d in like.dims)):
            value = self._held(step, value, step.state(node, name), lengths)
        tensor = value.ordered(like.dims).tensor
        return tf.ensure_shape(tensor, [d.size for d in like.dims])

    def _held(self, step: StepFrame, new: Data, old: Data, lengths: Any) -> Data:
        """Return the new state, and the old one of what is complete before the step."""
        over = self._over(step.index, lengths)
        if step.search is not None:
            over = step.search.ended
        shape = [-1 if d is BATCH else 1 for d in new.dims]

        def where(chosen: Any, state: Data, other: Any) -> Any:
            return tf.where(tf.reshape(chosen, shape), state.ordered(new.dims).tensor, other)

        tensor = where(over.in_beam(new.beam).tensor, old.in_beam(new.beam), new.tensor)
        if new.beam is not None and step.search is not None:
            # The hypotheses of a complete sequence stay where they are, see `_done`.
            done = tf.repeat(self._done(step.search), new.beam.size)
            tensor = where(done, old, tensor)
        return replace(new, tensor=tensor)

    def _ended(
        self,
        step: StepFrame,
        state: State,
        search: Search,
        start: Beam | None,
        beam: Beam | None,
    ) -> State:
        """Return which hypotheses are complete after the step, and of how many steps they are."""
        assert self.end is not None
        start, beam = start or self.around, beam or self.around
        before = search.ended.in_beam(beam).tensor
        end = step.value(self.end).in_beam(beam).tensor
        counts = tf.logical_not(before) if self.include_eos else ~tf.logical_or(before, end)
        steps = Data(name="steps", dims=(BATCH,), dtype="int32", beam=start, tensor=state["steps"])
        done = tf.repeat(self._done(search), self._count())
        moved = steps.in_beam(beam).tensor + tf.cast(counts, tf.int32)
        return {
            "ended": tf.logical_or(before, end),
            "steps": tf.where(done, state["steps"], moved),
        }

    # -- after the loop

    def _finish_states(self, state: State, first: dict[StateKey, Data]) -> None:
        """Give the final hidden states that are read from outside to the frame."""
        final = self.frame.run.beams[self.loop] if self.choices else self.around
        for (node, name), like in first.items():
            if name == "output" or "final_state" not in node.resolved:
                continue
            tensor = self._outside(state["states"][node, name])
            beam = final if node in self.placement.beamed or not self.choices else None
            self.frame.states[node, name] = replace(like, beam=beam, tensor=tensor)

    def _outside(self, tensor: Any) -> Any:
        return tensor if self.with_gradient else tf.stop_gradient(tensor)

    def _finish(self, index: Any, state: State) -> None:
        """Bring the outputs of all steps to the final hypotheses, and give them to the frame."""
        run, loop = self.frame.run, self.loop
        final, origin = self.around, None
        if self.choices:
            size = self.beam_size
            final = Beam(self.choices[-1].path, size, scores=self._outside(state["scores"]))
            sources = state["sources"].stack()[:index]
            origin = trace_back(sources, size)
            if self.streams:
                # Which hypothesis before the chunk each one continues.
                start = tf.gather(sources[0], origin[0], batch_dims=1)
                run.carry[carried_name(loop.node, "origin")] = start
            run.beams[loop] = final
        if self.end is not None:
            run.set_lengths(loop.dim, state["steps"], final)
        for node in self.kept:
            x = template_of(node)
            tensor = self._outside(state["arrays"][node].stack())
            if self.end is not None:
                tensor = tensor[:index]
            beam = final if node in self.placement.beamed or not self.choices else None
            if self.choices and beam is not None:
                tensor = reordered(tensor, origin, x.dims.index(BATCH), beam.size)
            # A search may take a step more than what it found is long: that of the end.
            tensor = tensor[: run.entries(loop.dim)]
            self.frame.values[node] = replace(
                x, dims=(loop.dim, *x.dims), time_dim=loop.dim, beam=beam, tensor=tensor
            )
