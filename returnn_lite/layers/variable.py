"""A parameter as a layer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from returnn_lite.data import Data
from returnn_lite.dim import BATCH, Dim
from returnn_lite.layers.base import Layer, register
from returnn_lite.lazy import tf
from returnn_lite.site import Site


@register("variable")
@dataclass(frozen=True, kw_only=True)
class Variable(Layer):
    """A parameter: float [*shape], the same for all sequences; its last axis is the feature dim.

    shape: sizes, or Dims. add_batch_axis, add_time_axis: a batch axis, and an axis of size 1, in
    front. init: its first value, see `initialisers`; init_by_layer: a layer whose output that is,
    made without data. param_name: its name, by default that of the layer.
    """

    refs = ("init_by_layer",)
    default_from: ClassVar[Any] = ()
    shape: tuple[int | Dim, ...]
    dtype: Literal["float32", "float64", "int32", "int64"] = "float32"
    add_batch_axis: bool = False
    add_time_axis: bool = False
    init: Any = 0
    init_by_layer: str | None = None
    param_name: str | None = None

    def infer(self, site: Site) -> Data:
        """Return the template, and declare the parameter."""
        if min(self._sizes(), default=1) < 1:
            raise site.error(f"found shape {tuple(self.shape)}, needed sizes of 1 or more")
        init = self._init(site)
        trainable = self.dtype.startswith("float")
        shape = self._sizes()
        site.param(self._name(site), shape, init, trainable=trainable, dtype=self.dtype)
        return self._out(site)

    def _init(self, site: Site) -> Any:
        if self.init_by_layer is None:
            return 0 if self.init is None else self.init
        x = site.ref("init_by_layer")
        if tuple(d.size for d in x.dims) != self._sizes() or x.dtype != self.dtype:
            raise site.error(f"found init_by_layer {x}, needed {self.dtype} of {self._sizes()}")
        return site.node.refs["init_by_layer"][0]

    def _sizes(self) -> tuple[int, ...]:
        return tuple(n.size or 0 if isinstance(n, Dim) else n for n in self.shape)

    def _name(self, site: Site) -> str:
        return self.param_name or site.node.name

    def _out(self, site: Site) -> Data:
        dims: list[Dim] = [
            site.node.dim("spatial", f"static:{i}", n) if isinstance(n, int) else n
            for i, n in enumerate(self.shape[:-1])
        ]
        last = self.shape[-1:]
        dims += [site.feature(n) if isinstance(n, int) else n for n in last]
        time = site.node.dim("spatial", "time", 1) if self.add_time_axis else None
        front = ([BATCH] if self.add_batch_axis else []) + ([time] if time else [])
        return Data(
            name=site.node.path,
            dims=(*front, *dims),
            dtype=self.dtype,
            time_dim=time,
            feature_dim=dims[-1] if dims else None,
        )

    def call(self, site: Site) -> Data:
        """Return the parameter."""
        out = self._out(site)
        value = tf.convert_to_tensor(site.param(self._name(site), self._sizes(), None))
        sizes = [site.size(d) for d in out.dims]
        return replace(out, tensor=tf.broadcast_to(value, sizes))
