"""What a loss is: options, what it needs of a layer and its target, and its parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, NamedTuple, TypeVar

from returnn_lite import options
from returnn_lite.data import Data
from returnn_lite.dim import BATCH
from returnn_lite.errors import NetworkError, nearest
from returnn_lite.frame import Frame
from returnn_lite.lazy import tf
from returnn_lite.node import Node
from returnn_lite.run import Run


@dataclass(frozen=True)
class Loss:
    """The loss of a layer.

    value: float32 [batch], per sequence; zeros where there are only errors. error: float32 [batch],
    number of errors, or None where it is not computed. weight: float32 [batch], what the loss is
    divided by: the length of the target. scale: its factor in the objective. normalized: whether it
    is divided in `summed`, too.
    """

    value: Any
    error: Any
    weight: Any
    scale: float
    normalized: bool = False


class Parts(NamedTuple):
    """Value and error before they are summed: by frame and the like, or by sequence."""

    value: Data | None = None
    error: Data | None = None


@dataclass
class Given:
    """What a loss is computed from.

    node: the layer. frame: where its value is. to: the target. refs: the layers that the loss's
    options name. errors: whether to count errors where that costs time.
    """

    node: Node
    frame: Frame
    to: Node | None = None
    refs: Mapping[str, Node] = field(default_factory=dict)
    errors: bool = False

    @property
    def run(self) -> Run:
        """The run that the values belong to."""
        return self.frame.run

    @property
    def out(self) -> Data:
        """The output of the layer."""
        return self.frame.value(self.node)

    @property
    def target(self) -> Data:
        """The target, for each hypothesis of the output."""
        assert self.to is not None
        return self.frame.value(self.to).in_beam(self.out.beam)

    @property
    def before(self) -> tuple[str | None, Data]:
        """The name of the activation that the output is of, and what it was applied to."""
        out, node = self.out, self.node
        while node.layer.layer_class == "copy" and len(node.sources) == 1:
            if node.common.dropout and self.run.mode.train:
                break
            (node,) = node.sources
        found = self.frame.home(node).before_activation.get(node, (None, out))
        return found[0], found[1].ordered(out.dims)

    def error(self, text: str) -> NetworkError:
        """Return an error that begins with the layer's name and class."""
        return NetworkError(f"{self.node}: {text}")


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """Base of all losses; the fields of a subclass are what `loss_opts` may have.

    scale: factor in the objective. custom_inv_norm_factor: a layer; its sum, in place of the number
    of labels, is what the loss is divided by. custom_norm_factor: a number that the loss is
    multiplied by instead. use_normalized_loss: in the summed objective, of which there are
    gradients, it is so divided, too; that of a training always is. use_flatten_frames: without
    effect, since padding never counts.

    needs_target, needs_search: without which there is no loss. in_search: whether it is computed in
    a search that is no training and, in one that is, in a loop. by_frame: whether its parts are by
    frame, rather than by sequence. of_input: whether it needs what the layer's output is computed
    from. refs: options that name layers.
    """

    needs_target: ClassVar[bool] = True
    needs_search: ClassVar[bool] = False
    in_search: ClassVar[bool] = False
    by_frame: ClassVar[bool] = True
    of_input: ClassVar[bool] = False
    refs: ClassVar[tuple[str, ...]] = ("custom_inv_norm_factor",)

    scale: float = 1.0
    custom_inv_norm_factor: str | None = None
    custom_norm_factor: float | None = None
    use_normalized_loss: bool = False
    use_flatten_frames: bool = True

    def check(self) -> None:
        """Raise NetworkError for options that do not fit."""

    def check_target(self, out: Data, target: Data) -> None:
        """Raise NetworkError where the target does not fit to the output, of the templates."""

    def parts(self, given: Given) -> Parts:
        """Return value and error by frame or by sequence."""
        raise NotImplementedError

    def weight(self, given: Given) -> Any:
        """Return float32 [batch]: the length of the target, else of the output, else 1."""
        if self.custom_inv_norm_factor is not None:
            return sequence_sums(given.run, given.frame.value(given.refs["custom_inv_norm_factor"]))
        out, run = given.out, given.run
        if self.custom_norm_factor is not None:
            count = tf.cast(run.batch, tf.float32)
            return tf.fill([run.batch], 1.0 / (self.custom_norm_factor * count))
        of = out
        if given.to is not None and out.time_dim is not None and given.target.time_dim is not None:
            of = given.target
        lengths = tf.ones([run.batch * (out.beam.size if out.beam else 1)])
        if of.time_dim is not None and out.has_batch:
            size = of.time_dim.size
            lengths = lengths * size if size else run.lengths_of(of.time_dim, of.beam)
        elif not out.has_batch:
            lengths = lengths / tf.cast(run.batch, tf.float32)
            lengths = lengths * tf.cast(self._entries(run, of), tf.float32)
        return sequence_sums(run, replace(out, dims=(BATCH,), time_dim=None, tensor=lengths))

    def _entries(self, run: Run, of: Data) -> Any:
        """Return how many entries data have in what takes the place of the batch, or 1."""
        if of.time_dim is not None and run.pads(of, of.time_dim):
            return tf.reduce_sum(run.lengths[of.time_dim].tensor)
        batch = of.batch_dim
        return 1 if batch is None else tf.shape(of.tensor)[of.axis(batch)]


_registry: dict[str, type[Criterion]] = {}
C = TypeVar("C", bound=type[Criterion])


def register(name: str) -> Any:
    """Register a loss by name."""

    def add(cls: C) -> C:
        _registry[name] = cls
        return cls

    return add


def registered() -> dict[str, type[Criterion]]:
    """Return all losses by name."""
    return dict(_registry)


# Losses of RETURNN that RASR computes, and what there is in their place.
_LIBRARIES = {"sprint": "'fast_bw', 'ctc' or, in a search, 'expected_loss'"}


def find(name: str, opts: Mapping[str, Any]) -> Criterion:
    """Return a loss with its options. Raises NetworkError for unknown or wrong ones."""
    if name in _LIBRARIES:
        raise NetworkError(
            f"found the loss {name!r}, which needs the decoder RASR, needed one of this project; "
            f"try {_LIBRARIES[name]}"
        )
    if name not in _registry:
        raise NetworkError(f"unknown loss {name!r}{nearest(name, _registry)}")
    cls = _registry[name]
    known = [f.name for f in fields(cls)]
    # mypy takes a dataclass's own hash for that of the class.
    hints = options.hints(cls)  # type: ignore[arg-type]
    for key, value in opts.items():
        if key not in known:
            raise NetworkError(f"unknown option {key!r} of the loss {name!r}{nearest(key, known)}")
        if not options.fits(value, hints[key]):
            needed = options.described(hints[key])
            where = f"option {key!r} of the loss {name!r}"
            raise NetworkError(f"{where}: found {value!r}, needed {needed}")
    try:
        criterion = cls(**opts)
    except TypeError as error:
        missing = str(error).partition("argument")[2].lstrip("s: ")
        raise NetworkError(f"missing option {missing} of the loss {name!r}") from None
    if criterion.custom_norm_factor is not None and criterion.custom_inv_norm_factor is not None:
        raise NetworkError(
            f"found custom_norm_factor and custom_inv_norm_factor of the loss {name!r}, "
            "needed one of them"
        )
    criterion.check()
    return criterion


def computes_loss(node: Node) -> bool:
    """Whether a layer computes a loss besides its output, for the loss via_layer."""
    given = getattr(node.layer, "eval_for_output_loss", False)
    return node.layer.layer_class == "fast_bw" or bool(given)


def hypothesis_sums(run: Run, x: Data) -> Any:
    """Return float32 [batch * beam]: the sum over all valid entries of each hypothesis."""
    tensor = tf.cast(x.tensor, tf.float32)
    for dim in x.dims:
        if run.pads(x, dim):
            tensor = tf.where(run.mask(dim, x), tensor, 0.0)
    if not x.has_batch:
        share = tf.reduce_sum(tensor) / tf.cast(run.batch, tf.float32)
        return tf.fill([run.batch], share)
    batch = x.axis(BATCH)
    return tf.reduce_sum(tensor, axis=[i for i in range(len(x.dims)) if i != batch])


def sequence_sums(run: Run, x: Data) -> Any:
    """Return float32 [batch]: the sum over all valid entries of each sequence, beams included."""
    sums = hypothesis_sums(run, x)
    return sums if x.beam is None else tf.reduce_sum(tf.reshape(sums, [-1, x.beam.size]), axis=1)
