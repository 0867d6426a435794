"""A dataset: named sequences, each with an array per data stream."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from returnn_lite.errors import NetworkError
from returnn_lite.hdf import HdfReader

Array = np.ndarray[Any, np.dtype[Any]]


class Dataset(Protocol):
    """What training and search need of data."""

    @property
    def tags(self) -> Sequence[str]:
        """The names of the sequences."""
        ...

    @property
    def extern_data(self) -> Mapping[str, Mapping[str, Any]]:
        """The streams, {name: {"dim", "sparse", ...}}, as a network takes them."""
        ...

    def lengths(self, stream: str) -> Array:
        """Return the length of every sequence: int64 [sequences]."""
        ...

    def read(self, index: int) -> dict[str, Array]:
        """Return a sequence: float32 [time, dim], or int32 [time] for a sparse stream."""
        ...


@dataclass(frozen=True, kw_only=True)
class Stream:
    """A stream of an HdfDataset.

    path: the file. statistics: a JSON file with "mean" and "std" per feature, by which the values
    are normalised. append: a label that is put behind every sequence.
    """

    path: Path
    statistics: Path | None = None
    append: int | None = None


class HdfDataset:
    """Streams from HDF5 files, joined by the names of the sequences; the first stream says which.

    delayed: {new stream: (stream, label)}: the stream, one label later, beginning with the given
    one. skip_missing: whether sequences that a stream lacks are left out; `missing` names them.
    Raises NetworkError where a stream lacks a sequence of the first, unless they are left out.
    """

    def __init__(
        self,
        streams: Mapping[str, Stream],
        delayed: Mapping[str, tuple[str, int]] | None = None,
        *,
        skip_missing: bool = False,
    ):
        self._streams = dict(streams)
        self._delayed = dict(delayed or {})
        self._readers = {key: HdfReader(s.path) for key, s in streams.items()}
        first = next(iter(self._readers.values()))
        everywhere = set.intersection(*(set(r.tags) for r in self._readers.values()))
        self.missing = [t for t in first.tags if t not in everywhere] if skip_missing else []
        left_out = set(self.missing)
        self.tags: list[str] = [t for t in first.tags if t not in left_out]
        self._index = {k: self._indices(k, r) for k, r in self._readers.items()}
        self._norm = {k: _statistics(s.statistics) for k, s in streams.items() if s.statistics}
        self.extern_data: dict[str, dict[str, Any]] = {
            k: _extern(r) for k, r in self._readers.items()
        }
        for key, (of, _) in self._delayed.items():
            self.extern_data[key] = {**self.extern_data[of], "same_dim_tags_as": {"t": of}}

    def _indices(self, key: str, reader: HdfReader) -> list[int]:
        """Return where a stream's file has each sequence."""
        known = {tag: i for i, tag in enumerate(reader.tags)}
        missing = [tag for tag in self.tags if tag not in known]
        if missing:
            raise NetworkError(
                f"{self._streams[key].path}: found no sequence {missing[0]!r} and "
                f"{len(missing) - 1} others, needed for the stream {key!r}"
            )
        return [known[tag] for tag in self.tags]

    def keep(self, indices: Sequence[int] | Array) -> None:
        """Leave out all sequences but the given ones."""
        self.tags = [self.tags[i] for i in indices]
        self._index = {k: [v[i] for i in indices] for k, v in self._index.items()}

    def lengths(self, stream: str) -> Array:
        """Return the length of every sequence: int64 [sequences]."""
        of = self._delayed[stream][0] if stream in self._delayed else stream
        lengths = np.asarray(self._readers[of].lengths)[self._index[of]]
        return lengths + (self._streams[of].append is not None)

    def read(self, index: int) -> dict[str, Array]:
        """Return a sequence: float32 [time, dim], or int32 [time] for a sparse stream."""
        found = {k: self._read(k, index) for k in self._readers}
        for key, (of, label) in self._delayed.items():
            found[key] = np.concatenate([[label], found[of]])[:-1].astype(np.int32)
        return found

    def _read(self, key: str, index: int) -> Array:
        x = self._readers[key].read(self._index[key][index])
        append = self._streams[key].append
        if append is not None:
            x = np.concatenate([x, [append]]).astype(np.int32)
        if key in self._norm:
            mean, scale = self._norm[key]
            x = (x - mean) * scale
        return x


def _extern(reader: HdfReader) -> dict[str, Any]:
    return {"dim": reader.dim, "sparse": reader.sparse}


def _statistics(path: Path | None) -> tuple[Array, Array]:
    """Return mean and 1 / standard deviation per feature: float32 [dim] each."""
    assert path is not None
    values = json.loads(path.read_text("utf-8"))
    mean = np.asarray(values["mean"], dtype=np.float32)
    return mean, 1.0 / np.asarray(values["std"], dtype=np.float32)
