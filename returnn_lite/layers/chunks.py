"""Sequences in overlapping chunks, each of them a sequence of its own, and back again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from returnn_lite import native
from returnn_lite.data import Data
from returnn_lite.dim import BATCH, Dim
from returnn_lite.layers.base import Layer, register
from returnn_lite.lazy import tf
from returnn_lite.node import Node
from returnn_lite.site import Site


@register("time_chunking")
@dataclass(frozen=True, kw_only=True)
class TimeChunking(Layer):
    """Overlapping chunks of every sequence, which take the place of the batch.

    in: float32 [batch, time, ...]; out: [chunk_size, batch * chunks, ...]. chunk_size: frames in a
    chunk. chunk_step: frames from the start of a chunk to that of the next one. A last chunk may be
    shorter.
    """

    chunk_size: int
    chunk_step: int
    axis: Any = "T"

    def infer(self, site: Site) -> Data:
        """Return the template [chunk_size, batch * chunks, ...]."""
        x = site.source
        axis = site.axis_of(self.axis, x)
        if min(self.chunk_size, self.chunk_step) < 1:
            raise site.error(
                f"found chunks of {self.chunk_size} every {self.chunk_step}, needed 1 or more"
            )
        if axis is BATCH or not x.has_batch or x.dtype != "float32" or site.node.loop is not None:
            raise site.error(
                f"found axis {self.axis!r} in {x}, needed a dim of a batch of sequences, float32 "
                "and outside of a loop"
            )
        return self._out(site, x, axis)

    def _out(self, site: Site, x: Data, axis: Dim) -> Data:
        frames, chunks = site.node.dim("spatial", "frames"), site.node.dim("batch", "chunks")
        rest = [d for d in x.dims if d not in (BATCH, axis)]
        return replace(x, dims=(frames, chunks, *rest), time_dim=frames, tensor=None)

    def call(self, site: Site) -> Data:
        """Return the chunks."""
        x = site.source
        axis = site.axis_of(self.axis, x)
        out = self._out(site, x, axis)
        x = x.first(axis, BATCH)
        flat = _flat(x.tensor)
        lengths = tf.fill([tf.shape(flat)[1]], tf.shape(flat)[0])
        if axis.dynamic:
            lengths = site.run.lengths_of(axis, x.beam)
        sizes = {"chunk_size": self.chunk_size, "chunk_step": self.chunk_step}
        chunks, counts = native.chunk(flat, lengths, **sizes)
        frames, batch = out.dims[:2]
        scalar = Data(name="chunks", dims=(), dtype="int32", tensor=tf.shape(counts)[0])
        site.run.lengths[batch] = scalar
        site.run.lengths[frames] = replace(scalar, dims=(batch,), tensor=counts)
        shape = tf.concat([tf.shape(chunks)[:2], tf.shape(x.tensor)[2:]], axis=0)
        return replace(out, beam=x.beam, tensor=tf.reshape(chunks, shape))


@register("time_unchunking")
@dataclass(frozen=True, kw_only=True)
class TimeUnchunking(Layer):
    """The inverse of time_chunking: a frame that lies in several chunks is their mean.

    in: [chunk_size, batch * chunks, ...]; out: [time, batch, ...]. chunking_layer: the
    time_chunking.
    """

    refs = ("chunking_layer",)
    chunking_layer: str

    def _source(self, site: Site) -> Node:
        chunking = site.node.refs["chunking_layer"][0]
        if chunking.layer.layer_class != "time_chunking":
            raise site.error(f"found chunking_layer {chunking}, needed a time_chunking")
        return chunking

    def infer(self, site: Site) -> Data:
        """Return the template with time and batch of what was taken apart."""
        chunking, x = self._source(site), site.source
        frames, batch = site.ref("chunking_layer").dims[:2]
        if frames not in x.dims or batch not in x.dims or x.dtype != "float32":
            raise site.error(f"found source {x}, needed chunks of {chunking} of float32")
        return self._out(site, x, chunking)

    def _out(self, site: Site, x: Data, chunking: Node) -> Data:
        of = site.of(chunking)
        layer: Any = chunking.layer
        axis = of.axis_of(layer.axis, of.source)
        frames, batch = site.ref("chunking_layer").dims[:2]
        rest = [d for d in x.dims if d not in (frames, batch)]
        return replace(x, dims=(axis, BATCH, *rest), time_dim=axis, tensor=None)

    def call(self, site: Site) -> Data:
        """Return the sequences."""
        x, chunking = site.source, self._source(site)
        layer: Any = chunking.layer
        out = self._out(site, x, chunking)
        frames, batch = site.ref("chunking_layer").dims[:2]
        x = x.first(frames, batch)
        counts = site.run.lengths[frames].tensor
        sizes = {"chunk_size": layer.chunk_size, "chunk_step": layer.chunk_step}
        time = site.run.entries(out.dims[0])
        number = site.run.batch * (x.beam.size if x.beam is not None else 1)
        flat = _fitted(_flat(x.tensor), layer.chunk_size)
        found, _ = native.unchunk(flat, counts, number, time, **sizes)
        shape = tf.concat([[time, number], tf.shape(x.tensor)[2:]], axis=0)
        return replace(out, beam=x.beam, tensor=tf.reshape(found, shape))


def _flat(tensor: Any) -> Any:
    """Return [time, batch, features], with all other axes in one."""
    features = 1
    for size in tensor.shape[2:]:
        features = -1 if None in (size, features) or features < 0 else features * size
    return tf.reshape(tensor, [*tf.unstack(tf.shape(tensor)[:2]), features])


def _fitted(tensor: Any, frames: int) -> Any:
    """Return a tensor with so many frames, where layers between left out those without content."""
    missing = frames - tf.shape(tensor)[0]
    padded = tf.pad(tensor, [[0, tf.maximum(missing, 0)], [0, 0], [0, 0]])[:frames]
    return tf.ensure_shape(padded, [frames, None, tensor.shape[2]])
