"""What identifies the labels of a hypothesis, whatever their frames: for recombination."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from returnn_lite.beam import Beam
from returnn_lite.data import Data
from returnn_lite.dim import BATCH
from returnn_lite.lazy import tf
from returnn_lite.site import Site

Topology = Literal["rna", "ctc"]
# The hash of labels is that of Fowler, Noll and Vo (1991), with labels in place of bytes.
_START, _PRIME = -3750763034362895579, 1099511628211


class LabelIds:
    """A hash of the labels of every hypothesis in a step, without the blank.

    topology: in "ctc" equal labels in adjacent frames are one, so that the label of the last frame
    counts, too. blank: its index, from the end where it is negative; -1 is the last.
    """

    def __init__(self, site: Site, topology: Topology, blank: int):
        self.site = site
        self.topology = topology
        self.blank = blank

    def first(self) -> dict[str, Data]:
        """Return the states before the first step: no label, the last one -1."""
        batch = self.site.run.batch
        ids = Data(name="ids", dims=(BATCH,), dtype="int64")
        last = Data(name="last", dims=(BATCH,), dtype="int32")
        return {
            "ids": replace(ids, tensor=tf.fill([batch], tf.constant(_START, tf.int64))),
            "last": replace(last, tensor=tf.fill([batch], -1)),
        }

    def extended(self, parent: Beam, ended: Any, count: int) -> Any:
        """Return int64 [batch, parent size, labels]: equal where extensions have equal labels."""
        ids, last = self._before(parent)
        labels = tf.range(count)[None, :]
        found = self._after(ids[:, None], last[:, None], labels, ended[:, None], count)
        if self.topology == "ctc":
            now = tf.where(ended[:, None], last[:, None], labels)
            found = _hashed(found, now)
        return tf.reshape(found, [-1, parent.size, count])

    def keep(self, beam: Beam, labels: Any, ended: Any) -> None:
        """Set the states after the step; labels: int32 [batch], those chosen."""
        out = self.site.node.out
        assert out is not None and out.sparse_dim is not None
        count = self.site.run.entries(out.sparse_dim)
        parent = beam.parent
        assert parent is not None
        over = Data(name="ended", dims=(BATCH,), dtype="bool", beam=parent, tensor=ended)
        over = over.in_beam(beam)
        ids, last = self.site.state("ids").in_beam(beam), self.site.state("last").in_beam(beam)
        new = self._after(ids.tensor, last.tensor, labels, over.tensor, count)
        self.site.set_state("ids", replace(ids, tensor=new))
        self.site.set_state(
            "last", replace(last, tensor=tf.where(over.tensor, last.tensor, labels))
        )

    def _before(self, parent: Beam) -> tuple[Any, Any]:
        ids, last = (self.site.state(k).in_beam(parent).tensor for k in ("ids", "last"))
        return ids, last

    def _after(self, ids: Any, last: Any, labels: Any, ended: Any, count: int) -> Any:
        """Return the hash with one label more, unless it is no new one."""
        same = ended | (labels == self.blank % count)
        if self.topology == "ctc":
            same |= labels == last
        return tf.where(same, ids, _hashed(ids, labels))


def _hashed(ids: Any, labels: Any) -> Any:
    return tf.bitwise.bitwise_xor(ids, tf.cast(labels + 1, tf.int64)) * _PRIME
