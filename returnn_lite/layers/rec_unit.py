"""Predefined recurrent units over a sequence, or for one step of a loop: rec, and rnn_cell."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Literal

from returnn_lite import cells, random
from returnn_lite.beam import latest
from returnn_lite.cells.sequence import run_kernel, run_steps
from returnn_lite.data import Data
from returnn_lite.dim import BATCH, SINGLE_STEP, Dim
from returnn_lite.errors import NetworkError
from returnn_lite.layers.base import Layer, register
from returnn_lite.layers.initial_state import declare, first_states, open_given, open_state
from returnn_lite.layers.kept_state import keep
from returnn_lite.lazy import tf
from returnn_lite.node import Node
from returnn_lite.rec.masked_rows import masked_rows
from returnn_lite.rec.products import once, product
from returnn_lite.run import carried_name
from returnn_lite.site import Site


@dataclass(frozen=True, kw_only=True)
class Recurrent(Layer):
    """What rec and rnn_cell have in common.

    in: float or sparse [..., time, in] or, in a step of a loop, [..., in]; out: float [..., n_out].
    unit: a name of `cells.UNITS`, in any case. unit_opts: the options of that cell. initial_state:
    "zeros", "ones", "var" for a parameter, "keep_over_epoch" for the final state of the batch
    before, zeros in the first one of an epoch, see `Network.run`; or a layer with all parts of the
    state, in the order of the cell; or such for each part: a dict by key, such as {"c": ..., "h":
    ...}, or a list. One that runs over the loop needs layers from outside of it. state: a layer for
    each part, whose outputs are the state before the one step that the unit then makes.
    """

    units: ClassVar[dict[str, type[cells.Cell]]] = cells.UNITS
    sized_by_target = True
    unit: str = "lstm"
    n_out: int | None = None
    unit_opts: dict[str, Any] | None = None
    initial_state: Any = None
    state: Any = None

    def open(self, node: Node) -> None:
        """Check the options, and find the layers of the initial state."""
        try:
            version = node.scope.behavior_version
            cell = cells.find(self.unit, self.unit_opts or {}, self.units, version)
        except NetworkError as error:
            raise Site(node).error(str(error)) from None
        if self.state is not None and self.initial_state is not None:
            raise Site(node).error("found both state and initial_state, needed one of them")
        node.resolved["cell"], node.resolved["once"] = cell, self.once(node)
        if self.state is not None:
            open_given(node, cell, self.state)
        else:
            open_state(node, cell, self.initial_state)

    def once(self, node: Node) -> bool:
        """Return whether it makes one step from a state that is none of its own."""
        return self.state is not None

    def inits(self) -> dict[str, Any]:
        """Return the initialisers of what enters a step, of what recurs, and of the bias."""
        raise NotImplementedError

    def steps(self, node: Node) -> bool:
        """Return whether it runs over the loop, rather than over a dim of its input."""
        return node.resolved.get("over") is None and not node.resolved["once"]

    def stays(self, node: Node) -> bool:
        """Return whether it runs over a dim of its input, or its state is read in every step."""
        return not self.steps(node) or "state_is_read" in node.resolved

    def way(self) -> int:
        """Return 1, or -1 for one that begins at the end."""
        return 1

    def over(self, site: Site, x: Data) -> Dim | None:
        """Return the dim of the input that it runs over; None where it makes steps."""
        return None if site.node.resolved["once"] else x.time_dim

    def infer(self, site: Site) -> Data:
        """Return the template [time, batch, n_out], or [batch, n_out] in a step."""
        x, node, cell = site.source, site.node, cell_of(site.node)
        batch = x.batch_dim
        if x.classes is None or x.classes.size is None or batch is None:
            raise site.error(f"found source {x}, needed a batch dim and features of fixed size")
        over = self.over(site, x)
        if over is None and node.loop is None and not node.resolved["once"]:
            raise site.error(f"found source {x}, needed a time dim")
        if over is None and self.way() == -1:
            raise site.error("found direction -1 in a loop, needed 1: later steps are not known")
        cell.check_source(x)
        node.resolved["over"] = over
        size = site.size_by_target() if self.n_out is None else self.n_out
        node.resolved["size"] = size
        inits = self.inits()
        for name, (shape, init) in cell.params(x.classes.size, size).items():
            chosen = inits[init] if isinstance(init, str) else init
            site.param(f"rec/{name}", shape, chosen)
        node.resolved["params"] = list(cell.params(x.classes.size, size))
        out = x.with_feature(site.feature(size))
        out = out.first(batch) if over is None else replace(out, time_dim=over).first(over, batch)
        declare(site, out if over is None else out.without(over))
        return out

    def first_state(self, site: Site) -> dict[str, Data]:
        """Return the hidden state before the first step, where it runs over the loop."""
        assert site.node.out is not None
        return first_states(site, site.node.out) if self.steps(site.node) else {}

    def first_output(self, site: Site) -> Data | None:
        """Return the part of the initial state that is the output, where one is given."""
        if self.initial_state is None or not self.steps(site.node):
            return None
        return self.first_state(site)[cell_of(site.node).output]

    def call(self, site: Site) -> Data:
        """Return the outputs of all steps, or of one."""
        x, once = site.source, site.node.resolved["once"]
        over: Dim | None = site.node.resolved.get("over")
        if over is None and not once and site.axis is not None:
            over = site.axis
            x = site.over(x, over)
        batch = x.batch_dim
        if batch is None:
            x, batch = site.over(x, BATCH), BATCH
        out = x.with_feature(site.feature(site.node.resolved["size"]))
        if over is None:
            step = self._one if once else self._step
            return step(site, x.first(batch), out.first(batch))
        x, out = x.first(over, batch), out.first(over, batch)
        return self._sequence(site, x, replace(out, time_dim=over), over)

    def _params(self, site: Site) -> dict[str, Any]:
        """Return the parameters, in training without what is dropped of them."""
        p = {n: site.param(f"rec/{n}", (), None) for n in site.node.resolved["params"]}
        for name, drop in cell_of(site.node).drops(site.node.resolved["size"]).items():
            if drop.of == "param" and drop.rate and site.run.mode.train:
                noise = random.uniform(tf.shape(p[name]), self._seed(site, name, drop.seed))
                keep = tf.cast(noise >= drop.rate, p[name].dtype)
                p[name] = p[name] * keep / (1.0 - drop.rate)
        return p

    def _seed(self, site: Site, name: str, seed: int | None) -> Any:
        own = "" if seed is None else f":{seed}"
        return site.run.rng(f"{site.node.path}/drop_{name}{own}")

    def _kept(self, site: Site, of: str, like: Data) -> dict[str, Any]:
        """Return what is kept in training: by a sequence like one frame, by a step like all."""
        if not site.run.mode.train:
            return {}
        found = {}
        for name, drop in cell_of(site.node).drops(site.node.resolved["size"]).items():
            if drop.of == of and drop.rate:
                if of == "step":
                    noise = site.noise(like, f"drop_{name}")
                else:
                    noise = random.uniform(like.sizes(), self._seed(site, name, drop.seed))
                found[name] = tf.cast(noise >= drop.rate, tf.float32)
        return found

    def _step(self, site: Site, x: Data, out: Data) -> Data:
        cell = cell_of(site.node)
        state = {k: site.state(k).in_beam(x.beam).ordered(out.dims).tensor for k in cell.states}
        like = replace(out, tensor=state[cell.output])
        kept = self._kept(site, "sequence", like) | self._kept(site, "step", like)
        z = self._projected(site)
        old, rows = state, masked_rows(site, out, self._weights(site))
        if rows is not None:
            x, z = rows.of_data(x), None if z is None else rows.of(z)
            state = {k: rows.of(v) for k, v in state.items()}
        if z is None:
            y, new = cell.single(x, state, self._params(site), kept)
        else:
            recurrent = once(site, "recurrent", lambda: cell.recurrent(self._params(site)))
            y, new = cell.step(z, state, recurrent, kept)
        if rows is not None:
            y = rows.put(y, old[cell.output])
            new = {k: rows.put(v, old[k]) for k, v in new.items()}
        for key, value in new.items():
            site.set_state(key, replace(out, tensor=value))
        return replace(out, tensor=y)

    def _one(self, site: Site, x: Data, out: Data) -> Data:
        """Make one step from the state that is given, for each entry of dims but features."""
        cell = cell_of(site.node)
        given = first_states(site, out)
        beam = latest([x.beam, *(d.beam for d in given.values())])
        x, out = x.in_beam(beam), replace(out, beam=beam)
        state = {k: d.in_beam(beam).ordered(out.dims) for k, d in given.items()}
        like, merge = state[cell.output], _Merge(len(out.dims) > 2)
        kept = self._kept(site, "sequence", like) | self._kept(site, "step", like)
        p = self._params(site)
        y, new = cell.step(
            merge(cell.project(x, p), 0),
            {k: merge(d.tensor, 0) for k, d in state.items()},
            cell.recurrent(p),
            {k: merge(m, 0) for k, m in kept.items()},
        )
        for key, value in new.items():
            site.set_state(key, replace(out, tensor=merge.undone(value, like.sizes())))
        return replace(out, tensor=merge.undone(y, like.sizes()))

    def _weights(self, site: Site) -> int:
        """Return how many weights there are."""
        return sum(math.prod(shape) for shape in site.node.shapes.values())

    def product_size(self, site: Site) -> int | None:
        """Return how much enters a step, where that is a product."""
        made = cell_of(site.node).input_weights(self._params(site))
        return int(made[0].shape[-1]) if made is not None and self.steps(site.node) else None

    def _projected(self, site: Site) -> Any:
        """Return what enters a step, where a part of it is made before the loop; else None."""
        cell = cell_of(site.node)
        made = once(site, "input", lambda: cell.input_weights(self._params(site)))
        y = None if made is None else product(site, lambda: made[0])
        return None if y is None else y.first(BATCH).tensor + made[1]

    def _sequence(self, site: Site, x: Data, out: Data, over: Dim) -> Data:
        """Run over a dim, which comes first, then the batch; other dims count as sequences, too."""
        cell, p = cell_of(site.node), self._params(site)
        like = out.without(over)
        given = first_states(site, state_template(site.node))
        beam = latest([x.beam, *(d.beam for d in given.values())])
        x, out, like = x.in_beam(beam), out.in_beam(beam), replace(like, beam=beam)
        first = {k: d.in_beam(beam).ordered(like.dims) for k, d in given.items()}
        if site.run.stream and site.node.loop is None:
            name = partial(carried_name, site.node)
            first = {k: site.run.continued(name(k), d) for k, d in first.items()}
        merge = _Merge(len(like.dims) > 2)
        states = {k: merge(d.tensor, 0) for k, d in first.items()}
        shape = [*x.sizes()[: len(out.dims) - 1], site.node.resolved["size"]]
        lengths = _lengths(site, x, over)
        weights = cell.native(p)
        if weights is None:
            z = merge(cell.project(x, p), 1)
            kept = self._kept(site, "sequence", first[cell.output])
            kept = {k: merge(m, 0) for k, m in kept.items()}
            by_step = self._kept(site, "step", replace(out, tensor=tf.zeros(shape)))
            by_step = {k: merge(m, 1) for k, m in by_step.items()}
            recurrent = cell.recurrent(p)
            y, final = run_steps(cell, z, states, recurrent, kept, by_step, lengths, self.way())
        else:
            sparse = x.sparse_dim is not None
            how: dict[str, Any] = {"direction": self.way(), "alone": self._alone(site.node)}
            how["low_memory"] = getattr(cell, "low_memory", False)
            how["precision"] = getattr(cell, "precision", "float32")
            below = merge((x if sparse else x.last(x.feature)).tensor, 1, vectors=not sparse)
            y, final = run_kernel(weights, below, states, lengths, sparse=sparse, **how)
        for key, value in final.items():
            value = merge.undone(value, first[key].sizes())
            last = replace(like, tensor=value)
            site.set_state(key, last)
            if site.run.stream and site.node.loop is None:
                site.run.carry[carried_name(site.node, key)] = value
            if key in site.node.resolved["kept"]:
                keep(site, {key: last.ordered(given[key].dims)})
        return replace(out, tensor=merge.undone(y, shape))

    def _alone(self, node: Node) -> bool:
        """Whether no other LSTM can run at the same time: one of the other direction, mostly."""
        return not any(
            isinstance(other.layer, Recurrent)
            and other is not node
            and other.sources == node.sources
            for other in node.scope.nodes.values()
        )


def cell_of(node: Node) -> cells.Cell:
    """Return the cell of a recurrent layer."""
    cell: cells.Cell = node.resolved["cell"]
    return cell


def state_template(node: Node) -> Data:
    """Return the template of a part of the hidden state."""
    assert node.out is not None
    over = node.resolved["over"]
    return node.out if over is None else node.out.without(over)


class _Merge:
    """Axes between those of time and of features as one, where there are more than the batch."""

    def __init__(self, needed: bool):
        self.needed = needed

    def __call__(self, tensor: Any, lead: int, *, vectors: bool = True) -> Any:
        """Return a tensor with `lead` axes, one axis and, of vectors, that of features."""
        if not self.needed:
            return tensor
        first = [tf.shape(tensor)[i] for i in range(lead)]
        return tf.reshape(tensor, [*first, -1, *([tensor.shape[-1]] if vectors else [])])

    def undone(self, tensor: Any, shape: list[Any]) -> Any:
        """Return a tensor with its axes again."""
        return tf.reshape(tensor, shape) if self.needed else tensor


def _lengths(site: Site, x: Data, over: Dim) -> Any:
    """Return int32 [rows]: the frames of every sequence."""
    sizes = x.sizes()[: len(x.dims) - (x.sparse_dim is None)]
    rest = tf.reduce_prod(tf.stack([tf.constant(1), *sizes[2:]]))
    if over.dynamic:
        lengths = site.run.lengths_in(x, over)
        return lengths if len(sizes) == 2 else tf.repeat(lengths, rest)
    return tf.fill([sizes[1] * rest], sizes[0])


@register("rec")
@dataclass(frozen=True, kw_only=True)
class RecUnit(Recurrent):
    """A predefined unit over the time dim of its input or, in a loop without one, over the loop.

    direction: -1 runs from each sequence's own end. axis: the dim that it runs over, instead of
    time; single_step_dim: the loop or, out of any, none, with one step from initial_state for each
    entry. forward_weights_init, recurrent_weights_init: of what enters a step, and of what recurs;
    one of them alone is for both. bias_init: of the bias, where the unit has no value for it.
    unroll, max_seq_len: without effect: how steps are made, and for how many there is room then.
    Parameters: see the cells; those of the LSTM are rec/W [in, 4 n_out], rec/W_re [n_out, 4 n_out],
    rec/b [4 n_out].
    """

    direction: Literal[1, -1] = 1
    axis: Any = None
    forward_weights_init: Any = None
    recurrent_weights_init: Any = None
    bias_init: Any = 0.0
    unroll: bool = False
    max_seq_len: int | str | None = None

    def once(self, node: Node) -> bool:
        """Return whether it makes one step from a state that is none of its own."""
        given = super().once(node)
        if given and self.axis is not None and self.axis is not SINGLE_STEP:
            raise Site(node).error(f"found state and axis {self.axis!r}, needed one of them")
        return given or (self.axis is SINGLE_STEP and node.loop is None)

    def inits(self) -> dict[str, Any]:
        """Return the initialisers."""
        forward, recurrent = self.forward_weights_init, self.recurrent_weights_init
        return {
            "forward": forward or recurrent or "glorot_uniform",
            "recurrent": recurrent or forward or "glorot_uniform",
            "bias": self.bias_init,
        }

    def way(self) -> int:
        """Return the direction."""
        return self.direction

    def over(self, site: Site, x: Data) -> Dim | None:
        """Return the dim of the input that it runs over; None where it makes steps."""
        if self.axis is None:
            return super().over(site, x)
        if site.node.resolved["once"] or site.names_steps(self.axis):
            return None
        axis = site.axis_of(self.axis, x)
        if axis.kind == "batch" or axis is x.feature_dim:
            raise site.error(f"found axis {self.axis!r} in {x}, needed neither batch nor features")
        return axis


@register("rnn_cell")
@dataclass(frozen=True, kw_only=True)
class RnnCell(Recurrent):
    """A predefined unit in a loop; the unit LSTMBlock is TensorFlow's LSTMCell here.

    weights_init: of all matrices.
    """

    units = cells.UNITS_OF_A_STEP
    unit: str
    weights_init: Any = "glorot_uniform"

    def inits(self) -> dict[str, Any]:
        """Return the initialisers."""
        return {"forward": self.weights_init, "recurrent": self.weights_init, "bias": 0.0}
