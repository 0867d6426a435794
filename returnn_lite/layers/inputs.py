"""What a subnetwork sees from outside: extern data, its input, a step's slice, the last step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from returnn_lite.data import Data
from returnn_lite.dim import Dim
from returnn_lite.errors import NetworkError
from returnn_lite.initial_output import initial_output
from returnn_lite.layers.base import Layer
from returnn_lite.lazy import tf
from returnn_lite.node import Node

if TYPE_CHECKING:
    from returnn_lite.site import Site


@dataclass(frozen=True, kw_only=True)
class ExternData(Layer):
    """A data stream of the dataset; the network sets its value at the start of a run."""

    layer_class = "extern_data"
    template: Data

    def infer(self, site: Site) -> Data:
        """Return the template that extern_data declares."""
        return self.template

    def call(self, site: Site) -> Data:
        """Raise NetworkError: the batch lacks the stream."""
        raise NetworkError(f"batch: found no stream {site.node.name!r}, needed it for the layers")


@dataclass(frozen=True, kw_only=True)
class ScopeInput(Layer):
    """The input `data` of a subnetwork: what the layer around it gives to it.

    index: of a source of that layer, for one alone. of: a layer outside, for what the layer around,
    a masked_computation, lets through of it.
    """

    layer_class = "scope_input"
    owner: Node
    index: int | None = None
    of: Node | None = None

    def steps(self, node: Node) -> bool:
        """Return whether the layer around selects steps, such as masked_computation."""
        return self.owner.layer.steps(self.owner)

    def needs(self, node: Node) -> Iterable[Node]:
        """Yield what the layer around needs."""
        yield from self.owner.sources if self.of is None else [self.of, *self.owner.refs["mask"]]

    def infer(self, site: Site) -> Data:
        """Return the template of the input."""
        if self.of is not None:
            return self._of(site)
        if self.index is not None:
            return site.data(self.owner.sources[self.index])
        return self.owner.layer.inner_input(site.of(self.owner))  # type: ignore[attr-defined,no-any-return]

    def call(self, site: Site) -> Data:
        """Return the input."""
        if self.of is not None:
            return self._of(site)
        if self.index is not None:
            return site.of(self.owner).sources[self.index]
        return self.owner.layer.inner_input(site.of(self.owner))  # type: ignore[attr-defined,no-any-return]

    def _of(self, site: Site) -> Data:
        owner = site.of(self.owner)
        assert self.of is not None
        return self.owner.layer.masked(owner, owner.data(self.of))  # type: ignore[attr-defined,no-any-return]


@dataclass(frozen=True, kw_only=True)
class StepInput(Layer):
    """A sequence from outside of a loop: one entry of it in each step.

    axis: the dim that the loop runs over, by default time, if the data have it. bounds: whether a
    loop that goes on until its end makes no more steps than there are entries.
    """

    layer_class = "step_input"
    axis: Any = "T?"
    bounds: bool = False

    def steps(self, node: Node) -> bool:
        """Return True."""
        return True

    def infer(self, site: Site) -> Data:
        """Return the template without the dim."""
        x = site.sources[0]
        dims = site.axes_of(self.axis, x)
        return x.without(dims[0]) if dims else x

    def call(self, site: Site) -> Data:
        """Return the whole sequence, with the loop's dim in place of its own."""
        x = site.sources[0]
        loop = site.node.loop
        assert loop is not None
        dims = site.axes_of(self.axis, x)
        if not dims:
            return x
        if "max_len" in loop.node.resolved and self.bounds:
            return self._bounding(site, x.first(dims[0]), dims[0])
        if "max_len" in loop.node.resolved:
            raise site.error(
                f"found a sequence in the steps of {loop.node}, which 'end' ends, needed as many "
                "steps as it is long; try size_target"
            )
        return site.as_loop_dim(x.first(dims[0]), dims[0])

    def _bounding(self, site: Site, x: Data, dim: Dim) -> Data:
        """Return the entry of a step or, after the loop, those of its steps."""
        loop = site.node.loop
        assert loop is not None
        if site.axis is None:
            return replace(x.without(dim), tensor=x.tensor[site.index])
        beam = site.run.lengths[loop.dim].beam
        return site.run.fitting(x, dim, loop.dim).in_beam(beam)  # type: ignore[no-any-return]


@dataclass(frozen=True, kw_only=True)
class StepIndex(Layer):
    """`:i`, the number of the step, from 0: int32 without dims."""

    layer_class = "step_index"

    def steps(self, node: Node) -> bool:
        """Return True."""
        return True

    def infer(self, site: Site) -> Data:
        """Return the template int32 []."""
        return Data(name=":i", dims=(), dtype="int32")

    def call(self, site: Site) -> Data:
        """Return the index of the step, or those of all steps."""
        axis = site.axis
        if axis is None:
            return Data(name=":i", dims=(), dtype="int32", tensor=site.index)
        steps = tf.range(site.run.entries(axis))
        return Data(name=":i", dims=(axis,), dtype="int32", time_dim=axis, tensor=steps)


@dataclass(frozen=True, kw_only=True)
class Prev(Layer):
    """The output of a layer in the step before; in the first step its `initial_output`."""

    layer_class = "prev"

    def steps(self, node: Node) -> bool:
        """Return True: the first step differs from the others."""
        return True

    def needs(self, node: Node) -> Iterable[Node]:
        """Yield the layer, and the one that gives its initial output."""
        (source,) = node.sources
        yield source
        if source.initial is not None:
            yield source.initial

    def begins_with(self, node: Node) -> Iterable[Node]:
        """Yield the layer."""
        yield node.sources[0]

    def infer(self, site: Site) -> Data:
        """Return the template of the layer's output."""
        return site.sources[0].template()

    def call(self, site: Site) -> Data:
        """Return the layer's outputs of all steps, shifted by one."""
        axis = site.axis
        assert axis is not None
        x = site.over(site.sources[0], axis).first(axis)
        initial = initial_output(site, site.node.sources[0]).in_beam(x.beam)
        start = initial.ordered(x.dims[1:]).tensor[None]
        return replace(x, tensor=tf.concat([start, x.tensor[:-1]], axis=0))
