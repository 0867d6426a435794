"""The option reuse_params: other layers' parameters in place of a layer's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from returnn_lite.errors import NetworkError, nearest
from returnn_lite.lazy import tf

if TYPE_CHECKING:
    from returnn_lite.node import Node
    from returnn_lite.site import Site

_KEYS = ("reuse_layer", "map", "custom", "auto_create_missing", "layer_output")


@dataclass(frozen=True, kw_only=True)
class Reuse:
    """Where the parameters of a layer come from.

    layer: one whose parameters of the same names they are. parts: by name, in place of all the
    rest. custom: a function that makes them, called with base_layer, reuse_layer (each with
    `params`, {name: tensor}), full_name, name, shape and dtype. output: a layer whose output is the
    parameter. auto_create_missing: what else the layer needs is its own; else that is an error.
    """

    layer: Node | None = None
    parts: Mapping[str, Reuse] | None = None
    custom: Callable[..., Any] | None = None
    output: Node | None = None
    auto_create_missing: bool = False

    def outputs(self) -> list[Node]:
        """Return the layers whose outputs are parameters."""
        own = [] if self.output is None else [self.output]
        return own + [n for part in (self.parts or {}).values() for n in part.outputs()]

    def source(self, name: str) -> Reuse | None:
        """Return where a parameter comes from; None for the layer's own."""
        if self.custom is not None or self.output is not None:
            return self
        if self.parts is not None and name in self.parts:
            return self.parts[name].source(name)
        if self.layer is not None and self._has(name):
            return self
        if self.auto_create_missing:
            return None
        raise NetworkError(
            f"found no parameter {name!r} in reuse_params, needed it; "
            "try auto_create_missing, or a 'map' with None for it"
        )

    def _has(self, name: str) -> bool:
        from returnn_lite.infer import template_of

        if self.layer is None or (self.parts is not None and not self.auto_create_missing):
            return False
        # What is missing in the layer is found when all layers are inferred, see check_reuse.
        if not self.auto_create_missing:
            return True
        template_of(self.layer)
        return name in self.layer.shapes

    def value(self, site: Site, name: str, shape: tuple[int, ...]) -> Any:
        """Return the parameter's tensor."""
        if self.output is not None:
            return site.data(self.output).tensor
        if self.custom is None:
            assert self.layer is not None
            return site.of(self.layer).exact_param(name)
        value = self.custom(
            base_layer=_View(site, site.node),
            reuse_layer=None if self.layer is None else _View(site, self.layer),
            full_name=site.node.param_name(name),
            name=name,
            shape=shape,
            dtype=tf.float32,
        )
        if tuple(value.shape) != shape:
            raise site.error(
                f"found shape {tuple(value.shape)} from 'custom' for {name!r}, needed {shape}"
            )
        return value


@dataclass(frozen=True)
class _View:
    """What a function in `custom` sees of a layer."""

    site: Site
    node: Node

    @property
    def params(self) -> dict[str, Any]:
        """The parameters of the layer as tensors."""
        site = self.site.of(self.node)
        found = {n: site.param(n, shape, None) for n, shape in self.node.shapes.items()}
        return {n: tf.convert_to_tensor(value) for n, value in found.items()}


def opened(opts: Any, get: Callable[[str], Node], where: str) -> Reuse:
    """Return what reuse_params says; get: a layer by its name. Raises NetworkError."""
    if isinstance(opts, str):
        return Reuse(layer=get(opts))
    if opts is None:
        return Reuse(auto_create_missing=True)
    if not isinstance(opts, Mapping):
        raise NetworkError(f"{where}: found {opts!r} in reuse_params, needed a layer or a dict")
    for key in opts:
        if key not in _KEYS:
            raise NetworkError(f"{where}: unknown key {key!r} in reuse_params{nearest(key, _KEYS)}")
    parts = opts.get("map")
    return Reuse(
        layer=get(opts["reuse_layer"]) if "reuse_layer" in opts else None,
        parts=None if parts is None else {k: opened(v, get, where) for k, v in parts.items()},
        custom=opts.get("custom"),
        output=get(opts["layer_output"]) if "layer_output" in opts else None,
        auto_create_missing=bool(opts.get("auto_create_missing", False)),
    )


def check_reuse(node: Node) -> None:
    """Raise NetworkError where a parameter from elsewhere is missing there or has another shape."""
    from returnn_lite.infer import template_for

    for name, shape in node.shapes.items():
        part = None if node.reuse is None else node.reuse.source(name)
        if part is None or part.custom is not None:
            continue
        if part.output is not None:
            dims = template_for(part.output, node).dims
            found, where = tuple(d.size for d in dims), part.output.path
        else:
            assert part.layer is not None
            known, where = part.layer.shapes, part.layer.path
            if name not in known:
                raise NetworkError(
                    f"{node}: found no parameter {name!r} in {where}{nearest(name, known)}"
                )
            found = known[name]
        if found != shape:
            raise NetworkError(f"{node}: found {name!r} of {found} in {where}, needed {shape}")
