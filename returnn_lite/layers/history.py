"""The frames of all steps of a loop so far."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from returnn_lite.axes import is_time
from returnn_lite.data import Data
from returnn_lite.dim import BATCH, Dim
from returnn_lite.layers.base import Layer, register
from returnn_lite.lazy import tf
from returnn_lite.node import Node
from returnn_lite.site import Site


def no_entries(site: Site, dims: tuple[Dim, ...], history: Dim, dtype: str) -> Data:
    """Return data without any entry of the history, whose size the graph does not fix."""
    sizes = [0 if d is history else site.size(d) for d in dims]
    shape = [None if d is history else d.size for d in dims]
    zeros = tf.zeros(sizes, tf.as_dtype(dtype))
    tensor = tf.compat.v1.placeholder_with_default(zeros, shape)
    return Data(name=site.node.path, dims=dims, dtype=dtype, tensor=tensor)


@register("cum_concat")
@dataclass(frozen=True, kw_only=True)
class CumConcat(Layer):
    """In a loop, the input of this step and of all before: keys and values of self-attention.

    in: [batch, ...] in a step; out: [batch, history, ...]. axis: the steps of the loop, "T" or a
    Dim.
    out_spatial_dim: the dim of the history; by default one for all such layers of a loop, which
    "stag:rec-history" finds. Moved out of the loop, it is the sequence itself, of which each step
    sees the frames up to its own: its lengths are by step.
    """

    axis: Any = None
    out_spatial_dim: Any = None

    def open(self, node: Node) -> None:
        """Check where it lies."""
        site, scope = Site(node), node.scope
        if node.loop is None:
            raise site.error("found it outside of the unit of a rec layer; move it there")
        while scope.owner is not None and scope is not node.loop.scope:
            if scope.owner.layer.layer_class == "masked_computation":
                raise site.error("found it in a masked_computation, needed every step; move it out")
            assert scope.parent is not None
            scope = scope.parent
        if self.out_spatial_dim is not None and not isinstance(self.out_spatial_dim, Dim):
            raise site.error(f"found out_spatial_dim {self.out_spatial_dim!r}, needed a Dim")

    def steps(self, node: Node) -> bool:
        """Return True: every step adds a frame."""
        return True

    def _history(self, node: Node) -> Dim:
        if self.out_spatial_dim is not None:
            dim: Dim = self.out_spatial_dim
            return dim
        assert node.loop is not None
        return node.loop.node.dim("spatial", "rec-history")

    def infer(self, site: Site) -> Data:
        """Return the template with the dim of the history behind the batch."""
        if self.axis is not None and not is_time(self.axis) and not site.names_steps(self.axis):
            raise site.error(f"found axis {self.axis!r}, needed the steps of the loop, 'T'")
        x, history = site.source, self._history(site.node)
        if history in x.dims or not history.dynamic:
            raise site.error(f"found {history} for {x}, needed a dynamic dim that it has not")
        rest = [d for d in x.dims if d is not BATCH]
        time = history if x.time_dim is None else x.time_dim
        return replace(x, dims=(BATCH, history, *rest), time_dim=time)

    def first_state(self, site: Site) -> dict[str, Data]:
        """Return no frame."""
        out, history = site.node.out, self._history(site.node)
        assert out is not None
        return {"frames": no_entries(site, out.dims, history, out.dtype)}

    def call(self, site: Site) -> Data:
        """Return the frames so far, and set their number."""
        x, history, out = site.over(site.source, BATCH), self._history(site.node), site.node.out
        assert out is not None
        if site.axis is not None:
            axis = site.axis
            x = site.over(x, axis)
            counts = tf.range(1, site.run.entries(axis) + 1)
            by_step = Data(name="counts", dims=(axis,), dtype="int32", tensor=counts)
            site.run.lengths[history] = by_step
            return site.as_output(x.renamed(axis, history))
        before = site.state("frames").in_beam(x.beam)
        x = x.ordered([d for d in out.dims if d is not history])
        frames = tf.concat([before.tensor, tf.expand_dims(x.tensor, 1)], axis=1)
        site.run.set_lengths(history, tf.fill(tf.shape(x.tensor)[:1], site.index + 1), x.beam)
        new = replace(out, beam=x.beam, tensor=frames)
        site.set_state("frames", new)
        return new
