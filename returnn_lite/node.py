"""A layer in its place in a network: what it is made from, and what it makes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from returnn_lite.data import Data
from returnn_lite.dim import Dim, Kind
from returnn_lite.entry_by_entry import entry_by_entry

if TYPE_CHECKING:
    from returnn_lite.layers.base import Layer
    from returnn_lite.loop import Loop
    from returnn_lite.losses import Criterion
    from returnn_lite.reuse import Reuse
    from returnn_lite.scope import Scope


@dataclass(frozen=True, kw_only=True)
class Mode:
    """What a network is run for. train: dropout and the like are active. search: choices search."""

    train: bool = False
    search: bool = False


@dataclass(frozen=True, kw_only=True)
class ParamSpec:
    """A parameter: its shape and dtype, its initialiser, and whether training changes it.

    device: where it is kept, such as "CPU"; None for TensorFlow's choice.
    """

    shape: tuple[int, ...]
    init: Any
    trainable: bool = True
    dtype: str = "float32"
    device: str | None = None

    def unlike(self, other: ParamSpec) -> str | None:
        """Return what another layer that shares the parameter says otherwise about it."""
        for field_ in fields(self):
            one, two = getattr(self, field_.name), getattr(other, field_.name)
            if not (one is two or np.array_equal(one, two)):
                return f"{field_.name} {one!r}, which another layer has with {two!r}"
        return None


@dataclass(frozen=True, kw_only=True)
class Common:
    """The options that every layer has; the network handles them, no layer does.

    dropout: share of the input that is dropped in training; dropout_on_forward: and otherwise, too.
    dropout_noise_shape, dropout_axis: along which axes the input is dropped as a whole, see
    `dropout`. initial_output: what `prev:` of the layer is in the first step: a number, "zeros",
    "ones", "var" for a parameter, "apply(0)" for what the layer makes of zeros, or the name of a
    layer. loss, loss_opts, loss_scale, target: see `losses`; of several targets in a list, the
    first is meant.
    loss_only_on_non_search: no loss in a search. L2: weight of the squared parameters in the
    objective. trainable: False freezes the parameters, those of a subnetwork too. reuse_params:
    other layers' parameters in place of its own, see `reuse`; the name of a layer stands for all of
    them, and with use_transposed_weights for W. param_device: where its parameters are kept, such
    as "CPU". param_variational_noise, param_dropout, param_dropout_min_ndim: see `param_noise`;
    where they are absent, those of the config. name_scope: the prefix of their names, in place of
    the layer's name: within the network around, or from "/" on, in all; "" for none. batch_norm:
    True or the options of the layer batch_norm, which is then applied to the output.
    register_as_extern_data: the name under which `data:` and targets find the output.
    collocate_with: layers that it leaves a loop together with, or not at all. in_dim: the dim of
    the input that is its feature dim. out_dim: a Dim by which others may name the feature dim, or
    another one that the layer makes; its size is n_out, where that is absent. out_shape: Dims that
    the output must have, and no others. only_on_search: in no other mode it is an output of the
    network; only_on_eval: in training it has no loss. size_target: of which target a dynamic dim of
    out_type is; else without effect, since the lengths are those of the dims. need_last: without
    effect, since rec_last_output finds the last step anyway. control_dependencies_on_output: a
    function of the layer that returns operations, or one, such as assertions: they run before
    anything uses the output.
    """

    loss: str | None = None
    loss_opts: dict[str, Any] = field(default_factory=dict)
    loss_scale: float = 1.0
    loss_only_on_non_search: bool = False
    target: str | None = None
    dropout: float = 0.0
    dropout_noise_shape: dict[Any, Any] | tuple[int | None, ...] | None = None
    dropout_axis: str | tuple[str, ...] | None = None
    dropout_on_forward: bool = False
    L2: float | None = 0.0
    initial_output: str | float | bool | None = None
    trainable: bool = True
    reuse_params: str | dict[str, Any] | None = None
    param_device: str | None = None
    param_variational_noise: float | None = None
    param_dropout: float | None = None
    param_dropout_min_ndim: int | None = None
    name_scope: str | None = None
    batch_norm: bool | dict[str, Any] = False
    register_as_extern_data: str | None = None
    is_output_layer: bool = False
    in_dim: Dim | None = None
    out_dim: Dim | None = None
    out_shape: set[Dim] | None = None
    collocate_with: str | tuple[str, ...] = ()
    only_on_search: bool = False
    only_on_eval: bool = False
    need_last: bool = False
    control_dependencies_on_output: Callable[[Any], Any] | None = None
    size_target: str | None = None


class Node:
    """One layer of a network: its options, the layers it depends on, its template and parameters.

    path: full name, such as `output/rec/s`; param_path: the prefix of its parameters. sources,
    refs: the layers that `from` and the layer's other options name. criterion, loss_refs: its
    loss, and the layers that the loss's options name. inner: the scope of its
    subnetwork. loop: the rec layer's loop that it lies in. params: what it declared, by full name;
    shapes: of all parameters that it uses, by the layer's own name for them; reuse: where others
    come from; updated: its names of those that training changes other than by gradients. resolved:
    what the layer found out while it was inferred. wanted: layers in the layer's loop whose outputs
    are used outside.
    """

    def __init__(self, name: str, layer: Layer, common: Common, scope: Scope, path: str):
        self.name = name
        self.layer = layer
        self.common = common
        self.scope = scope
        self.path = path
        self.param_path = path
        self.loop: Loop | None = scope.loop
        self.sources: list[Node] = []
        self.refs: dict[str, list[Node]] = {}
        self.target: Node | None = None
        self.criterion: Criterion | None = None
        self.loss_refs: dict[str, Node] = {}
        self.initial: Node | None = None
        self.inner: Scope | None = None
        self.out: Data | None = None
        self.params: dict[str, ParamSpec] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.reuse: Reuse | None = None
        self.updated: set[str] = set()
        self.resolved: dict[str, Any] = {}
        self.wanted: set[Node] = set()
        self._dims: dict[tuple[Any, ...], Dim] = {}

    def __repr__(self) -> str:
        return f"{self.path} ({self.layer.layer_class})"

    def dim(self, kind: Kind, name: str, size: int | None = None) -> Dim:
        """Return the layer's own dim of that kind, name and size: the same object every time."""
        key = (kind, name, size)
        if key not in self._dims:
            self._dims[key] = Dim(kind, f"{kind}:{self.path}:{name}", size)
        return self._dims[key]

    def param_name(self, name: str) -> str:
        """Return the full name of a parameter, or the prefix of a network in it.

        Those of recurrent layers are under `rec/`, but not with a name_scope, as in RETURNN.
        """
        if self.common.name_scope is not None:
            name = name.removeprefix("rec/")
        return f"{self.param_path}/{name}".lstrip("/")

    @property
    def trainable(self) -> bool:
        """Whether training may change its parameters: those around it may forbid it."""
        owner = self.scope.owner
        return self.common.trainable and (owner is None or owner.trainable)

    @property
    def sees_padding(self) -> bool:
        """Whether what lies behind the ends of sequences may change the output within them."""
        activation = getattr(self.layer, "activation", None)
        if isinstance(activation, str) and "(" in activation and not entry_by_entry(activation):
            return True
        batch_norm = self.resolved.get("batch_norm") if self.common.batch_norm else None
        layers = [self.layer, *([] if batch_norm is None else [batch_norm])]
        return any(layer.sees_padding(self) for layer in layers)

    def plain(self, *classes: str, dropout: bool = False) -> bool:
        """Whether the layer is of a class, and no common option changes its input or output.

        dropout: whether there may be that of its input.
        """
        common = self.common
        changed = common.in_dim is not None or common.batch_norm or (common.dropout and not dropout)
        return self.layer.layer_class in classes and not changed

    def depends(self) -> list[Node]:
        """Return the layers whose outputs this layer needs."""
        nodes = list(self.layer.needs(self))
        if self.inner is not None:
            nodes += self.inner.external()
        return nodes

    def depends_in_step(self) -> list[Node]:
        """Return what `depends` does, but for what a subnetwork needs for the next step alone.

        That is what only layers look at that others see by `prev:`. `prev` itself needs nothing.
        """
        if self.layer.layer_class == "prev":
            return []
        if self.inner is None or self.layer.layer_class != "subnetwork":
            return self.depends()
        return [*self.layer.needs(self), *self.inner.external(in_step=True)]
