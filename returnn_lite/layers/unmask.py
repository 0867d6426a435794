"""From the frames that a masked computation ran on back to all of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from returnn_lite.data import Data
from returnn_lite.dim import BATCH, Dim
from returnn_lite.initial_output import initial_output
from returnn_lite.layers.base import Layer, register
from returnn_lite.layers.gather import take
from returnn_lite.layers.masked_computation import where
from returnn_lite.lazy import tf
from returnn_lite.node import Node
from returnn_lite.site import Site


@register("unmask")
@dataclass(frozen=True, kw_only=True)
class Unmask(Layer):
    """The output of a masked_computation for every frame: that of the last one with a true mask.

    in: [batch, masked, ...]; out: [batch, time, ...], in a loop [batch, ...] for its steps. mask:
    that of the masked_computation, bool [batch, time] or in a loop [batch]. Before the first true
    mask it is the initial_output of the input or, with skip_initial, the input's first entry, which
    is in front of those for true masks. An input that has a value for every frame already, as of a
    masked_computation in the same loop, is the output.
    """

    refs = ("mask",)
    mask: str
    skip_initial: bool = False

    def steps(self, node: Node) -> bool:
        """Return whether it counts steps of a loop."""
        return node.loop is not None and node.resolved.get("masked") is not None

    def infer(self, site: Site) -> Data:
        """Return the template with the time dim of the mask, or in a loop without time."""
        node, x, mask = site.node, site.source, site.ref("mask")
        if len(node.sources) != 1:
            raise site.error(f"found {len(node.sources)} sources, needed one")
        if mask.dtype != "bool":
            raise site.error(f"found mask {mask}, needed bool")
        masked = node.resolved["masked"] = self._masked(site, x, mask)
        if masked is None:
            return x
        if not x.has_batch:
            raise site.error(f"found source {x}, needed a batch dim")
        if node.loop is not None:
            return x.without(masked)
        assert mask.time_dim is not None
        return x.renamed(masked, mask.time_dim)

    def _masked(self, site: Site, x: Data, mask: Data) -> Dim | None:
        """Return the dim of the masked frames; None where the input has all frames."""
        if site.node.loop is None and (mask.time_dim is None or x.time_dim is None):
            raise site.error(f"found source {x} and mask {mask}, needed time dims")
        return None if x.time_dim in mask.dims else x.time_dim

    def first_state(self, site: Site) -> dict[str, Data]:
        """Return how many masks were true: none."""
        if not self.steps(site.node):
            return {}
        none = tf.zeros([site.run.batch], tf.int32)
        return {"count": Data(name="count", dims=(BATCH,), dtype="int32", tensor=none)}

    def begins_with(self, node: Node) -> Iterable[Node]:
        """Yield the input, where it is masked."""
        if node.resolved["masked"] is not None:
            yield node.sources[0]

    def call(self, site: Site) -> Data:
        """Return the output of the last frame with a true mask."""
        x, masked = site.source, site.node.resolved["masked"]
        if masked is None:
            return x
        count = self._count(site)
        if self.skip_initial:
            return site.as_output(replace(take(site, x, count, masked), time_dim=None))
        found = take(site, x, replace(count, tensor=count.tensor - 1), masked)
        initial = initial_output(site, site.node.sources[0], x.without(masked))
        some = replace(count, dtype="bool", tensor=count.tensor > 0)
        found, initial = replace(found, time_dim=None), replace(initial, time_dim=None)
        return site.as_output(where(some, found, initial))

    def _count(self, site: Site) -> Data:
        """Return how many masks were true so far: int32 [batch], or [batch, time] of all frames."""
        mask = site.over(site.ref("mask"), BATCH)
        axis = mask.time_dim if site.node.loop is None else site.axis
        if axis is not None:
            mask = site.over(mask, axis).ordered([BATCH, axis])
            tensor = tf.cumsum(tf.cast(mask.tensor, tf.int32), axis=1)
            return replace(mask, dtype="int32", tensor=tensor)
        before = site.state("count").in_beam(mask.beam)
        count = replace(mask, dtype="int32", tensor=before.tensor + tf.cast(mask.tensor, tf.int32))
        site.set_state("count", count)
        return count
