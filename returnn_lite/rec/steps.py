"""The loop itself: what cannot leave it runs step by step, with or without a beam search."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from returnn_lite.beam import Beam
from returnn_lite.data import Data
from returnn_lite.dim import BATCH
from returnn_lite.frame import Frame, Search, StepFrame
from returnn_lite.infer import template_of
from returnn_lite.lazy import tf
from returnn_lite.node import Node
from returnn_lite.rec.placement import Placement, top
from returnn_lite.site import Site

State = dict[str, Any]


def run_steps(frame: Frame, placement: Placement, limit: Any, *, include_eos: bool) -> None:
    """Run the layers placed in the loop; their outputs of all steps become values of the frame.

    limit: int32 [batch], the number of steps after which an open search ends; None where the
    lengths of the loop's dim are known.
    """
    Steps(frame, placement, limit, include_eos=include_eos).run()


class Steps:
    """One execution of a loop.

    states: the layers' hidden states and outputs that the next step sees, by (layer, name).
    kept: the layers whose outputs of all steps are needed after the loop.
    """

    def __init__(self, frame: Frame, placement: Placement, limit: Any, *, include_eos: bool):
        assert frame.loop is not None
        self.frame = frame
        self.loop = frame.loop
        self.placement = placement
        self.limit = limit
        self.include_eos = include_eos
        self.mode = frame.run.mode
        inside = placement.at("in")
        self.search_mode = self.loop.node.scope.mode.search
        self.choices = self._ordered_choices(inside) if self.search_mode else []
        self.kept = self._kept(inside)
        self.sliced = self._sliced(inside)
        assert self.loop.scope is not None
        self.end = None if limit is None else self.loop.scope.get("end")

    # -- what the loop consists of

    def _ordered_choices(self, inside: list[Node]) -> list[Node]:
        """Return the choices, each after those that it depends on within a step."""
        order: list[Node] = []

        def visit(node: Node, seen: set[Node]) -> None:
            if node in seen or self.placement.place.get(node) != "in":
                return
            seen.add(node)
            if node.layer.layer_class == "prev":
                return
            for other in node.depends(self.loop.node.scope.mode):
                visit(other, seen)
            if node.layer.layer_class == "choice" and node not in order:
                order.append(node)

        for node in inside:
            visit(node, set())
        return order

    def _kept(self, inside: list[Node]) -> list[Node]:
        """Return the layers in the loop that are used after it."""
        loop = self.loop
        used: set[Node] = set()
        for node in self.placement.at("after"):
            used.update(node.depends(loop.node.scope.mode))
        assert loop.scope is not None
        wanted = {loop.scope.get("output"), *loop.node.wanted}
        return [
            n
            for n in inside
            if n.layer.layer_class != "prev"
            and (n in used or n in wanted or n.common.loss or n.common.is_output_layer)
        ]

    def _sliced(self, inside: list[Node]) -> list[Node]:
        """Return the layers computed before the loop that are used in it."""
        used: dict[Node, None] = {}
        for node in inside:
            for other in node.depends(self.loop.node.scope.mode):
                if self.placement.place.get(other) == "before":
                    used[other] = None
        return list(used)

    # -- the run

    def run(self) -> None:
        """Run the loop and give its outputs to the frame."""
        run = self.frame.run
        lengths = run.lengths[self.loop.dim].tensor if self.limit is None else self.limit
        steps = tf.maximum(tf.reduce_max(lengths), 1)
        sequences = self._sequences()
        first = self._first_states()
        state: State = {
            "states": {k: d.tensor for k, d in first.items()},
            "arrays": {n: self._array(n, steps) for n in self.kept},
        }
        if self.choices:
            size = self.choices[-1].layer.beam_size  # type: ignore[attr-defined]
            only_first = [[0.0] + [float("-inf")] * (size - 1)]
            state["scores"] = tf.tile(only_first, [run.batch, 1])
            state["sources"] = tf.TensorArray(tf.int32, size=steps, element_shape=[None, size])
        if self.end is not None:
            count = run.batch * (size if self.choices else 1)
            state["ended"] = tf.zeros([count], tf.bool)
            state["steps"] = tf.zeros([count], tf.int32)

        def goes_on(index: Any, state: State) -> Any:
            more = index < steps
            if self.end is None:
                return more
            return tf.logical_and(more, tf.logical_not(tf.reduce_all(state["ended"])))

        def body(index: Any, state: State) -> tuple[Any, State]:
            return index + 1, self._step(index, state, first, sequences, lengths)

        index, state = _while(goes_on, body, (tf.constant(0), state))
        self._finish(index, state)

    def _sequences(self) -> dict[Node, Data]:
        """Return the outputs computed before the loop, one entry a step in front."""
        found = {n: self.frame.value(n) for n in self.sliced}
        return {
            n: d.first(self.loop.dim) if self.loop.dim in d.dims else d for n, d in found.items()
        }

    def _first_states(self) -> dict[tuple[Node, str], Data]:
        """Return the states before the first step; what depends on a choice for a full beam."""
        states: dict[tuple[Node, str], Data] = {}
        for node, place in self.placement.place.items():
            if place != "in":
                continue
            site = Site(node, self.frame)
            if node.layer.layer_class == "prev":
                states[node.sources[0], "output"] = site.initial_output(node.sources[0])
            for name, data in node.layer.initial_state(site).items():
                states[node, name] = data
        beam = None
        if self.choices:
            size = self.choices[-1].layer.beam_size  # type: ignore[attr-defined]
            beam = Beam("start", size)
        return {
            (n, name): d.in_beam(beam) if n in self.placement.beamed else d
            for (n, name), d in states.items()
        }

    def _array(self, node: Node, steps: Any) -> Any:
        """Return the array that keeps the outputs of a layer."""
        x = template_of(node)
        shape = tf.TensorShape([d.size for d in x.dims])
        return tf.TensorArray(
            tf.as_dtype(x.dtype), size=steps, element_shape=shape, dynamic_size=False
        )

    def _step(
        self,
        index: Any,
        state: State,
        first: dict[tuple[Node, str], Data],
        sequences: dict[Node, Data],
        lengths: Any,
    ) -> State:
        """Run one step of the loop."""
        start = None
        if self.choices:
            size = self.choices[-1].layer.beam_size  # type: ignore[attr-defined]
            start = Beam("start", size, scores=state["scores"])
        before = {
            key: replace(d, beam=start if d.beam is not None else None, tensor=state["states"][key])
            for key, d in first.items()
        }
        slices = {n: self._slice(d, index) for n, d in sequences.items()}
        search = self._search(index, state, start, lengths)
        step = StepFrame(self.frame, self.placement, index, before, slices, search)
        for choice in self.choices:
            step.value(choice)
        values = {n: step.value(n) for n in self.kept}
        beam = search.beam if search is not None else None
        new: State = {"states": {}, "arrays": {}}
        for node, name in first:
            new["states"][node, name] = self._new_state(step, node, name, beam, first)
        for node, value in values.items():
            value = value.in_beam(beam if node in self.placement.beamed else None)
            value = value.ordered(template_of(node).dims)
            new["arrays"][node] = state["arrays"][node].write(index, value.tensor)
        if self.choices:
            assert beam is not None and start is not None and search is not None
            done = self._done(search)[:, None]
            new["scores"] = tf.where(done, start.scores, beam.scores)
            source = tf.where(done, tf.range(start.size)[None, :], beam.source_in(start))
            new["sources"] = state["sources"].write(index, source)
        if self.end is not None:
            assert search is not None
            new.update(self._ended(step, state, search, start, beam))
        return new

    def _done(self, search: Search) -> Any:
        """Return bool [batch]: which sequences are complete in all hypotheses before the step.

        They stay as they are, also where a choice has a smaller beam than the last one.
        """
        ended = search.ended
        size = ended.beam.size if ended.beam is not None else 1
        return tf.reduce_all(tf.reshape(ended.tensor, [-1, size]), axis=1)

    def _slice(self, x: Data, index: Any) -> Data:
        """Return one step's entry of a sequence."""
        if self.loop.dim not in x.dims:
            return x
        return replace(x.without(self.loop.dim), tensor=x.tensor[index])

    def _search(self, index: Any, state: State, start: Beam | None, lengths: Any) -> Search | None:
        """Return the search before a step; complete is what ended or is behind its length."""
        if start is None and self.end is None:
            return None
        over = Data(name="ended", dims=(BATCH,), dtype="bool", tensor=index >= lengths)
        if self.end is not None:
            over = over.in_beam(start)
            over = replace(over, tensor=tf.logical_or(over.tensor, state["ended"]))
        return Search(start, over)

    def _new_state(
        self,
        step: StepFrame,
        node: Node,
        name: str,
        beam: Beam | None,
        first: dict[tuple[Node, str], Data],
    ) -> Any:
        """Return a state after the step, for the hypotheses at its end."""
        # What lies in a masked_computation is held by it, so that this has to come first.
        step.value(top(self.loop, node) or node)
        value = step.states.get((node, name))
        if value is None:
            value = step.value(node) if name == "output" else step.state(node, name)
        like = first[node, name]
        value = value.in_beam(beam if node in self.placement.beamed else None)
        tensor = value.ordered(like.dims).tensor
        return tf.ensure_shape(tensor, [d.size for d in like.dims])

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
        before = search.ended.in_beam(beam).tensor
        end = step.value(self.end).in_beam(beam).tensor
        counts = tf.logical_not(before) if self.include_eos else ~tf.logical_or(before, end)
        steps = Data(name="steps", dims=(BATCH,), dtype="int32", beam=start, tensor=state["steps"])
        done = tf.repeat(self._done(search), beam.size if beam is not None else 1)
        moved = steps.in_beam(beam).tensor + tf.cast(counts, tf.int32)
        return {
            "ended": tf.logical_or(before, end),
            "steps": tf.where(done, state["steps"], moved),
        }

    # -- after the loop

    def _finish(self, index: Any, state: State) -> None:
        """Bring the outputs of all steps to the final hypotheses, and give them to the frame."""
        run, loop = self.frame.run, self.loop
        final, origin = None, None
        if self.choices:
            size = self.choices[-1].layer.beam_size  # type: ignore[attr-defined]
            final = Beam(self.choices[-1].path, size, scores=state["scores"])
            origin = trace_back(state["sources"].stack()[:index], size)
            run.beams[loop] = final
        if self.end is not None:
            run.set_lengths(loop.dim, state["steps"], final)
        for node in self.kept:
            x = template_of(node)
            tensor = state["arrays"][node].stack()
            if self.end is not None:
                tensor = tensor[:index]
            beam = final if node in self.placement.beamed else None
            if beam is not None:
                tensor = _reordered(tensor, origin, x.dims.index(BATCH), beam.size)
            self.frame.values[node] = replace(
                x, dims=(loop.dim, *x.dims), time_dim=loop.dim, beam=beam, tensor=tensor
            )


def trace_back(sources: Any, size: int) -> Any:
    """Return int32 [steps, batch, size]: which entry each final hypothesis was in after each step.

    sources: int32 [steps, batch, size], which entry of the step before each hypothesis continues.
    """
    last = tf.tile(tf.range(size)[None, :], [tf.shape(sources)[1], 1])
    earlier = tf.scan(
        lambda entry, source: tf.gather(source, entry, batch_dims=1),
        sources[1:],
        initializer=last,
        reverse=True,
    )
    return tf.concat([earlier, last[None]], axis=0)


def _reordered(tensor: Any, origin: Any, batch_axis: int, size: int) -> Any:
    """Reorder the hypotheses of every step.

    tensor: [steps, ...] with batch * size as axis batch_axis + 1. origin: int32 [steps, batch,
    size].
    """
    rank = len(tensor.shape)
    axis = batch_axis + 1
    order = [0, axis, *(i for i in range(1, rank) if i != axis)]
    tensor = tf.transpose(tensor, order)
    steps, batch = tf.shape(origin)[0], tf.shape(origin)[1]
    flat = origin + tf.range(batch)[None, :, None] * size
    tensor = tf.gather(tensor, tf.reshape(flat, [steps, batch * size]), batch_dims=1)
    return tf.transpose(tensor, [order.index(i) for i in range(rank)])


def _while(cond: Any, body: Any, init: tuple[Any, State]) -> tuple[Any, State]:
    """Run tf.while_loop over states with keys of any type, and batch sizes that it cannot know."""
    flat, keys = _flatten(init[1])

    def flat_cond(index: Any, *values: Any) -> Any:
        return cond(index, _unflatten(values, keys))

    def flat_body(index: Any, *values: Any) -> Any:
        index, state = body(index, _unflatten(values, keys))
        new, new_keys = _flatten(state)
        assert new_keys == keys
        return (index, *new)

    out = tf.while_loop(
        flat_cond,
        flat_body,
        (init[0], *flat),
        shape_invariants=(tf.TensorShape([]), *(_invariant(v) for v in flat)),
    )
    return out[0], _unflatten(out[1:], keys)


def _invariant(value: Any) -> Any:
    """Return the shape of a loop variable, with open batch and time."""
    if isinstance(value, tf.TensorArray):
        return tf.TensorShape(None)
    return tf.TensorShape([None, *value.shape[1:]]) if value.shape.rank else value.shape


def _flatten(state: State) -> tuple[list[Any], list[tuple[Any, ...]]]:
    keys: list[tuple[Any, ...]] = []
    values = []
    for name, value in state.items():
        if isinstance(value, dict):
            for key, item in value.items():
                keys.append((name, key))
                values.append(item)
        else:
            keys.append((name,))
            values.append(value)
    order = sorted(range(len(keys)), key=lambda i: repr(keys[i]))
    return [values[i] for i in order], [keys[i] for i in order]


def _unflatten(values: Any, keys: list[tuple[Any, ...]]) -> State:
    state: State = {"states": {}, "arrays": {}}
    for key, value in zip(keys, values, strict=True):
        if len(key) == 2:
            state[key[0]][key[1]] = value
        else:
            state[key[0]] = value
    return state
