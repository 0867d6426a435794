"""Outputs of layers that are written to HDF5 files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from returnn_lite.beam import latest
from returnn_lite.data import Data
from returnn_lite.dim import BATCH
from returnn_lite.hdf import HdfStream, HdfWriter
from returnn_lite.layers.base import Layer, register
from returnn_lite.lazy import tf
from returnn_lite.node import Node
from returnn_lite.site import Site

if TYPE_CHECKING:
    from returnn_lite.network import Network


class Dump:
    """The files of one `dumping`. tags: the names of the sequences of the next batch.

    Without tags, sequences are called seq-0, seq-1, ... Hypotheses of a beam have -beam0, ...
    behind their names.
    """

    def __init__(self) -> None:
        self.tags: Sequence[str] | None = None
        self.files = contextlib.ExitStack()
        self._writers: dict[Node, HdfWriter] = {}
        self._numbers: dict[Node, count[int]] = {}

    def write(self, node: Node, parts: list[Part], arrays: Sequence[npt.NDArray[Any]]) -> None:
        """Append the sequences of a batch: values and lengths of the layer and its streams."""
        layer = node.layer
        assert isinstance(layer, HdfDump)
        if node not in self._writers:
            main, *others = parts
            streams = {part.name: part.stream for part in others}
            writer = HdfWriter(Path(layer.filename), *main.stream, main.labels, streams)
            self._writers[node] = self.files.enter_context(writer)
        values, lengths = arrays[::2], arrays[1::2]
        rows = len(values[0])
        beam = parts[0].beam or 1
        for row, tag in enumerate(self._names(node, rows // beam, beam)):
            cut = [
                part.entry(v[row], n[row])
                for part, v, n in zip(parts, values, lengths, strict=True)
            ]
            more = {part.name: x for part, x in zip(parts[1:], cut[1:], strict=True)}
            self._writers[node].write(tag, cut[0], more)

    def _names(self, node: Node, batch: int, beam: int) -> list[str]:
        if self.tags is None:
            numbers = self._numbers.setdefault(node, count())
            tags: Sequence[str] = [f"seq-{next(numbers)}" for _ in range(batch)]
        elif len(self.tags) == batch:
            tags = self.tags
        else:
            raise ValueError(f"{node}: found {len(self.tags)} tags, needed {batch}")
        return [f"{tag}-beam{i}" for tag in tags for i in range(beam)] if beam > 1 else list(tags)


@contextlib.contextmanager
def dumping(network: Network) -> Iterator[Dump]:
    """Let the layers hdf_dump of a network write, in a `with`, when they are run.

    The files are there, and complete, at its end; where its body raises, there are none.
    """
    dump = Dump()
    nodes = [n for n in network.nodes() if isinstance(n.layer, HdfDump)]
    with dump.files:
        for node in nodes:
            node.resolved["dump"] = dump
        try:
            yield dump
        finally:
            for node in nodes:
                del node.resolved["dump"]


@dataclass(frozen=True)
class Part:
    """What a file has of one layer. frames: whether it has a time dim, else it is one frame."""

    name: str
    stream: HdfStream
    frames: bool
    vectors: bool
    labels: Sequence[str] | None
    beam: int | None

    @classmethod
    def of(cls, name: str, x: Data) -> Part:
        """Return that of data in the order of `_ordered`."""
        sparse = not x.dtype.startswith("float")
        dim = x.classes.size if x.classes is not None else 1
        stream = HdfStream(dim or 1, sparse)
        beam = x.beam.size if x.beam is not None else None
        return cls(name, stream, x.time_dim is not None, x.feature_dim is not None, x.vocab, beam)

    def entry(self, values: npt.NDArray[Any], length: int) -> npt.NDArray[Any]:
        """Return the entry of one sequence, as HdfWriter wants it."""
        values = values[:length] if self.frames else values[None]
        return values if self.stream.sparse or self.vectors else values[:, None]


@register("hdf_dump")
@dataclass(frozen=True, kw_only=True)
class HdfDump(Layer):
    """The input; where it is run within `dumping`, it is also written to a file, see `hdf`.

    in, out: [batch, time] or [batch, time, feature]. filename: of the file. extra: further streams
    of it by name, layers that may also lack time or features. labels: names of the features or
    classes, by default those of the data. As in RETURNN, is_output_layer makes it an output of the
    network; otherwise it is run where it is fetched.
    """

    filename: str
    extra: dict[str, str] | None = None
    labels: tuple[str, ...] | None = None

    def open(self, node: Node) -> None:
        """Find the further streams."""
        names = sorted((self.extra or {}).items())
        node.refs["extra"] = [node.scope.get(name, str(node)) for _, name in names]

    def infer(self, site: Site) -> Data:
        """Return the template of the input."""
        if site.node.loop is not None:
            raise site.error("found it in a loop, needed it outside; try from '<rec layer>/<name>'")
        if len(site.node.sources) != 1:
            raise site.error(f"found {len(site.node.sources)} sources, needed one")
        x = site.source
        others = zip(sorted(self.extra or {}), site.node.refs["extra"], strict=True)
        for name, data in [("", x), *((name, site.data(node)) for name, node in others)]:
            self._check(site, name, data)
        if x.time_dim is None:
            raise site.error(f"found source {x}, needed a time dim")
        if self.labels is not None and (x.classes is None or len(self.labels) != x.classes.size):
            raise site.error(f"found {len(self.labels)} labels for {x}, needed one for each class")
        return x

    def _check(self, site: Site, name: str, x: Data) -> None:
        """Raise NetworkError for data that a file does not have."""
        where = f"extra {name!r}" if name else "source"
        known = [BATCH, x.time_dim, x.feature_dim]
        if not x.has_batch or any(d not in known for d in x.dims):
            raise site.error(
                f"found {where} {x}, needed [batch, time, feature] or a part of these; "
                "try merge_dims"
            )
        kinds = ("float", "int")
        if not x.dtype.startswith(kinds) or (x.dtype[0] == "i" and x.sparse_dim is None):
            raise site.error(f"found {where} {x}, needed floats, or labels of a sparse dim")

    def call(self, site: Site) -> Data:
        """Return the input, and write it where files are open when it is run."""
        node, x = site.node, site.source
        found = [x, *(site.data(n) for n in node.refs["extra"])]
        beam = latest([d.beam for d in found])
        found = [_ordered(d.in_beam(beam)) for d in found]
        names = ["", *sorted(self.extra or {})]
        parts = [Part.of(name, d) for name, d in zip(names, found, strict=True)]
        if self.labels is not None:
            parts[0] = replace(parts[0], labels=self.labels)
        tensors = []
        for d in found:
            tensors += [d.tensor, _counts(site, d)]

        def write(*arrays: npt.NDArray[Any]) -> Any:
            dump: Dump | None = node.resolved.get("dump")
            if dump is not None:
                dump.write(node, parts, arrays)
            return np.int32(0)

        done = tf.numpy_function(write, tensors, tf.int32)
        with tf.control_dependencies([done]):
            return replace(x, tensor=tf.identity(x.tensor))


def _ordered(x: Data) -> Data:
    order = [d for d in (BATCH, x.time_dim, x.feature_dim) if d is not None]
    return x.ordered(order)


def _counts(site: Site, x: Data) -> Any:
    """Return int32 [batch]: the frames of each sequence."""
    if x.time_dim is not None and x.time_dim.dynamic:
        return site.run.lengths_of(x.time_dim, x.beam)
    frames = 1 if x.time_dim is None else x.time_dim.size
    return tf.fill([tf.shape(x.tensor)[0]], frames)
