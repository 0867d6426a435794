"""What all layers share in one run: parameters, lengths, seeds, and states between runs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from returnn_lite import random
from returnn_lite.beam import Beam, latest
from returnn_lite.config import Config
from returnn_lite.data import Data
from returnn_lite.dim import BATCH, Dim
from returnn_lite.errors import NetworkError
from returnn_lite.lazy import tf
from returnn_lite.node import Mode, Node

if TYPE_CHECKING:
    from returnn_lite.loop import Loop


class Lengths(dict[Dim, Data]):
    """The lengths of dynamic dims, int32 [batch]; those of derived dims come from their parts.

    Those of what a loop has seen so far are by step, int32 [steps]: see `cum_concat`.
    They are computed where they are asked for, never kept: that may be inside a loop.
    """

    def __missing__(self, dim: Dim) -> Data:
        if dim.formula is None:
            raise NetworkError(
                f"found Dim {dim.name!r}, which no stream and no layer before makes; try "
                "shape_deps, or out_dim of a layer with it"
            )
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
    are, int32 [batch, selected]. rows: of a packed dim, which sequence each of its entries is of,
    int32 [entries]. beams: the final hypotheses of each loop with a search. updates:
    what parameters become after a step of training, other than by gradients. carried: the states at
    the end of the run before, by name, and carry: those at the end of this one, as far as they go
    on: all of them where the sequences come in chunks (stream), else those that layers keep.
    skips_padding: whether layers may leave out what lies behind the ends, since none sees it.
    """

    mode: Mode
    params: dict[str, Any]
    batch: Any
    config: Config
    seed: int = 0
    step: Any = 0
    lengths: Lengths = field(default_factory=Lengths)
    positions: dict[Dim, tuple[Dim, Any]] = field(default_factory=dict)
    rows: dict[Dim, Any] = field(default_factory=dict)
    beams: dict[Loop, Beam] = field(default_factory=dict)
    updates: dict[str, Any] = field(default_factory=dict)
    carried: dict[str, Any] = field(default_factory=dict)
    carry: dict[str, Any] = field(default_factory=dict)
    stream: bool = False
    skips_padding: bool = False

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
        return self.lengths_of(dim, x.beam) if x.has_batch else self.lengths_for(x, dim).tensor

    def lengths_for(self, x: Data, dim: Dim) -> Data:
        """Return the lengths of a dim of x: those by sequence, by entry of a packed dim of x."""
        lengths = self.lengths[dim].in_beam(x.beam)
        packed = next((d for d in x.dims if d in self.rows), None)
        if packed is None or lengths.dims != (BATCH,):
            return lengths
        tensor = tf.gather(lengths.tensor, self.rows[packed])
        return replace(lengths, dims=(packed,), tensor=tensor)

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
        return dim.dynamic and (x.has_batch or set(self.lengths_for(x, dim).dims) <= set(x.dims))

    def counted(self, x: Data) -> tuple[Any, int]:
        """Return the lengths, int32 [batch], of the frames of x that are of use, and their axis.

        None as lengths: all are, or as `framed`.
        """
        return self.framed(x) if self.skips_padding else (None, 1)

    def framed(self, x: Data) -> tuple[Any, int]:
        """Return the lengths, int32 [batch], of frames of x that are no padding, and their axis.

        None as lengths: x is no [batch, time, ...] or [time, batch, ...].
        """
        for axis in (1, 0) if len(x.dims) > 2 else ():
            dim, other = x.dims[axis], x.dims[1 - axis]
            if other is BATCH and dim.dynamic and self.lengths[dim].dims == (BATCH,):
                return self.lengths_of(dim, x.beam), axis
        return None, 1

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
        for other in self.lengths_for(x, dim).dims:
            if other not in x.dims:
                x = self.over(x, other).last(other)
        return x

    def mask(self, dim: Dim, x: Data) -> Any:
        """Return bool, shaped to broadcast against x: which entries of a dynamic dim are valid.

        x has the dim of the lengths, too: the batch, mostly.
        """
        lengths = self.lengths_for(x, dim)
        steps = tf.range(tf.shape(x.tensor)[x.axis(dim)])
        steps = tf.reshape(steps, [-1 if d is dim else 1 for d in x.dims])
        (of,) = lengths.dims
        assert of in x.dims, f"{x} has no {of} for the lengths of {dim}"
        return steps < tf.reshape(lengths.tensor, [-1 if d is of else 1 for d in x.dims])


def carried_name(node: Node, name: str) -> str:
    """Return what a state is called in `Run.carried`."""
    return f"{node.path}:{name}"
