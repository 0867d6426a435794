"""What a layer is: options, the inference of a template, and a computation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from returnn_lite import options
from returnn_lite.data import Data
from returnn_lite.errors import NetworkError, nearest
from returnn_lite.node import Common, Mode, Node
from returnn_lite.param_noise import check_noise

if TYPE_CHECKING:
    from returnn_lite.frame import Frame
    from returnn_lite.site import Site


@dataclass(frozen=True, kw_only=True)
class Layer:
    """Base of all layers; the fields of a subclass are the options of the layer.

    layer_class: its name in a network dict. refs: options whose values name layers. default_from:
    what `from` is where it is absent. paired_sources: whether `from` has (layer, axis) pairs.
    sized_by_target: whether the target gives n_out where it is absent. source_dims: options that
    name dims of the source, though other layers name dims of their output by them. newer: options
    that have another default from a behaviour version on, with that version and that default.
    """

    layer_class: ClassVar[str] = ""
    sized_by_target: ClassVar[bool] = False
    refs: ClassVar[tuple[str, ...]] = ()
    default_from: ClassVar[Any] = "data"
    paired_sources: ClassVar[bool] = False
    source_dims: ClassVar[tuple[str, ...]] = ()
    newer: ClassVar[Mapping[str, tuple[int, Any]]] = {}

    @classmethod
    def sources_of(cls, opts: dict[str, Any]) -> Any:
        """Take `from` out of a dict, and return the layers that it means."""
        return opts.pop("from", cls.default_from)

    def open(self, node: Node) -> None:
        """Build the subnetwork, where the layer has one, before any template is inferred."""

    def parts(self, node: Node) -> Mapping[str, Layer]:
        """Return layers that `<layer>/<name>` means, with this layer as their source."""
        return {}

    def seen(self, node: Node, inner: Node) -> Node:
        """Return what `<layer>/<name>` means of a layer in its subnetwork: that layer itself."""
        return inner

    def needs(self, node: Node) -> Iterable[Node]:
        """Yield the layers that this one needs."""
        yield from node.sources
        for refs in node.refs.values():
            yield from refs

    def infer(self, site: Site) -> Data:
        """Return the template of the output, and declare parameters; touches no tensor."""
        raise NotImplementedError(self.layer_class)

    def call(self, site: Site) -> Data:
        """Return the output."""
        raise NotImplementedError(self.layer_class)

    def scores_found(self, node: Node, frame: Frame) -> Any:
        """Return float32 [batch, beam], the scores of its hypotheses; None where it has none."""
        beam = frame.value(node).beam
        return None if beam is None else beam.scores

    def steps(self, node: Node) -> bool:
        """Whether the layer, in a loop, differs from step to step even if its sources do not."""
        return False

    def stays(self, node: Node) -> bool:
        """Whether the layer, in a loop, stays there if its input differs from step to step."""
        return False

    def sees_padding(self, node: Node) -> bool:
        """Whether what lies behind the ends of sequences may change the output within them."""
        return False

    def chooses(self, mode: Mode) -> bool:
        """Whether it makes other hypotheses of those before it, in a loop and a mode."""
        return False

    def first_state(self, site: Site) -> dict[str, Data]:
        """Return the hidden state before the first step of a loop, where the layer has one."""
        return {}

    def kept_state(self, site: Site, state: dict[str, Data], lengths: Any) -> dict[str, Data]:
        """Return what is kept for the next batch of the state at the end of a loop.

        lengths: int32 [batch], the steps of each sequence. See `layers.kept_state`.
        """
        return state

    def product_size(self, site: Site) -> int | None:
        """Return the size of the product of the sources with weights, see `rec.products`."""
        return None

    def begins_as(self, node: Node) -> Node:
        """Return the layer whose initial_output is that of this one: of a network, its output."""
        return node

    def begins_with(self, node: Node) -> Iterable[Node]:
        """Yield the layers whose initial_output the layer asks for."""
        return ()

    def first_output(self, site: Site) -> Data | None:
        """Return what `prev:` of the layer is in the first step, where its state says so."""
        return None


Condition = Callable[[Mapping[str, Any]], bool]
_registry: dict[str, list[tuple[Condition | None, type[Layer]]]] = {}
L = TypeVar("L", bound=type[Layer])
# Layers of RETURNN that need what is not there, such as libraries of others, and what to do.
_MISSING = {
    "decide_keep_beam": "hypotheses as they were in each step, needed those of the end; try the "
    "layer itself for them, or decide for the best",
    "fast_bw_factored": "the decoder RASR, needed a layer of this project; try fast_bw with "
    "align_target 'hmm'",
}
# Older names.
_ALIASES = {
    "forward": "linear",
    "hidden": "linear",
    "self_attention_share_kv": "self_attention",
}


def register(name: str, when: Condition | None = None) -> Callable[[L], L]:
    """Register a layer class by name; among several, `when` tells from the dict which it is."""

    def add(cls: L) -> L:
        cls.layer_class = name
        # Those with a condition come first.
        entries = _registry.setdefault(name, [])
        entries.insert(0 if when else len(entries), (when, cls))
        return cls

    return add


def layer_classes() -> list[str]:
    """Return the names of all layer classes."""
    return sorted(_registry)


def classes_of(name: str) -> list[type[Layer]]:
    """Return the layer classes of a name."""
    return [cls for _, cls in _registry[name]]


def find_class(name: str, opts: Mapping[str, Any], where: str) -> type[Layer]:
    """Return the layer class of a dict. Raises NetworkError for an unknown name."""
    if not isinstance(name, str):
        raise NetworkError(f"{where}: found class {name!r}, needed the name of a layer class")
    name = _ALIASES.get(name, name)
    if name in _MISSING:
        raise NetworkError(f"{where}: found class {name!r}, which needs {_MISSING[name]}")
    if name not in _registry:
        raise NetworkError(f"{where}: unknown layer class {name!r}{nearest(name, _registry)}")
    return next(cls for when, cls in _registry[name] if when is None or when(opts))


@dataclass(frozen=True, kw_only=True)
class Recomputed(Layer):
    """A part of a layer that is made of what the layer needs, rather than of its output."""

    of: Node

    def needs(self, node: Node) -> Iterable[Node]:
        """Yield the layer, and what it needs."""
        yield from node.sources
        yield from self.of.depends()


def option_names(cls: type) -> list[str]:
    """Return the names of the options of a layer class, or of those that every layer has."""
    return [f.name for f in fields(cls)]


@cache
def _takes_none(hint: Any) -> bool:
    return options.fits(None, hint)


def split_options(
    cls: type[Layer], opts: dict[str, Any], where: str, version: int
) -> tuple[Layer, Common]:
    """Return the layer and its common options; NetworkError for unknown, missing or wrong ones.

    version: the behaviour version, from which some options have other defaults.
    """
    own, shared = option_names(cls), option_names(Common)
    if options.fits(opts.get("target"), tuple[str, ...]) and opts["target"]:
        opts = {**opts, "target": opts["target"][0]}
    # mypy takes a dataclass's own hash for that of the class.
    types = {**options.hints(Common), **options.hints(cls)}  # type: ignore[arg-type]
    # Such as "loss_opts": {...} if train else None.
    opts = {k: v for k, v in opts.items() if v is not None or _takes_none(types.get(k, Any))}
    for key, value in opts.items():
        if key not in own and key not in shared:
            known = [*own, *shared, "class", "from"]
            raise NetworkError(f"{where}: unknown option {key!r}{nearest(str(key), known)}")
        if not options.fits(value, types[key]):
            needed = options.described(types[key])
            raise NetworkError(f"{where}: option {key!r}: found {value!r}, needed {needed}")
    if opts.get("n_out") is not None and opts["n_out"] < 1:
        raise NetworkError(f"{where}: found n_out {opts['n_out']}, needed 1 or more")
    if not 0.0 <= opts.get("dropout", 0.0) < 1.0:
        raise NetworkError(f"{where}: found dropout {opts['dropout']}, needed 0 or more, below 1")
    check_noise(opts, where)
    if "n_out" in own and "n_out" not in opts and opts.get("out_dim") is not None:
        opts = {**opts, "n_out": opts["out_dim"].size}
    opts = options.newest(cls.newer, version) | opts
    try:
        layer = cls(**{k: v for k, v in opts.items() if k in own})
    except TypeError as error:
        missing = str(error).partition("argument")[2].lstrip("s: ")
        raise NetworkError(f"{where}: missing option {missing}") from None
    # An option that both have (such as the target of a choice) is given to both.
    return layer, Common(**{k: v for k, v in opts.items() if k in shared})
