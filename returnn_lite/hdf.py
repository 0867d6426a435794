"""Sequences in HDF5 files, in the layout that RETURNN's HDFDataset reads.

Root datasets: `inputs`, all sequences one after the other, float32 [frames, dim], or int32 [frames]
for sparse data; `seqLengths`, int32 [sequences, streams]; `seqTags`, UTF-8 strings [sequences];
`labels`, UTF-8 strings, [dim] or empty. Root attributes: numTimesteps, numSeqs, inputPattSize,
numDims, numLabels. A file may hold further streams below `targets`: in data, like `inputs`; in
labels; and in size the attributes [dim, axes]. Their lengths are further columns of seqLengths, by
the streams' names.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

CHUNK_BYTES = 1 << 16  # a few sequences, so that a random read touches little else
BUFFER_BYTES = 1 << 22
KINDS = {"fiu": "numbers", "iu": "integers", "OS": "strings"}


class HdfStream(NamedTuple):
    """A further stream. dim, sparse: as of HdfWriter."""

    dim: int
    sparse: bool = False


class _Rows:
    """A dataset that sequences are appended to; few writes, of many rows each."""

    def __init__(self, file: h5py.File, name: str, path: Path, dim: int, sparse: bool) -> None:
        self.path, self.dim, self.sparse = path, dim, sparse
        self.count = self._buffered = 0
        self._buffer: list[NDArray[Any]] = []
        shape = () if sparse else (dim,)
        self._row_bytes = 4 if sparse else 4 * dim
        self._dataset = file.create_dataset(
            name,
            (0, *shape),
            dtype=np.int32 if sparse else np.float32,
            maxshape=(None, *shape),
            chunks=(max(1, CHUNK_BYTES // self._row_bytes), *shape),
        )

    def append(self, rows: NDArray[Any]) -> None:
        """Append rows of `checked`."""
        self._buffer.append(rows)
        self._buffered += len(rows)
        if self._buffered * self._row_bytes >= BUFFER_BYTES:
            self.flush()

    def checked(self, tag: str, array: NDArray[Any]) -> NDArray[Any]:
        """Return a copy of the array in the file's type."""
        found = f"{self.path}: sequence {tag!r}: found {array.dtype} {list(array.shape)}"
        if not self.sparse:
            if array.ndim != 2 or array.shape[1] != self.dim or array.dtype.kind not in "fiu":
                raise ValueError(f"{found}, needed float [time, {self.dim}]")
            return array.astype(np.float32)
        if array.ndim != 1 or (array.dtype.kind not in "iu" and array.size):
            raise ValueError(f"{found}, needed int [time]")
        if array.size and (array.min() < 0 or array.max() >= self.dim):
            raise ValueError(
                f"{self.path}: sequence {tag!r}: found labels from {array.min()} to {array.max()}, "
                f"needed 0 to {self.dim - 1}"
            )
        return array.astype(np.int32)

    def flush(self) -> None:
        """Write what is still in memory."""
        if self._buffer:
            end = self.count + self._buffered
            self._dataset.resize(end, axis=0)
            self._dataset[self.count : end] = np.concatenate(self._buffer)
            self.count, self._buffer, self._buffered = end, [], 0


class HdfWriter:
    """Write sequences one by one with constant memory; the file appears when it is complete.

    A context manager: where its body raises, no file is left. Memory grows with the tags only.

    path: the file; one that exists is replaced. dim: size of the feature axis, or number of labels
    of sparse data. labels: name of each of the dim entries. streams: further ones, by name.
    Raises ValueError for labels that are not dim many.
    """

    def __init__(
        self,
        path: Path,
        dim: int,
        sparse: bool = False,
        labels: Sequence[str] | None = None,
        streams: Mapping[str, HdfStream] | None = None,
    ) -> None:
        self.path, self.dim, self.sparse = path, dim, sparse
        self._streams = dict(sorted((streams or {}).items()))
        if min([dim, *(stream.dim for stream in self._streams.values())]) < 1:
            raise ValueError(f"{path}: found dim {dim}, needed at least 1")
        if labels is not None and len(labels) != dim:
            raise ValueError(
                f"{path}: found {len(labels)} labels, needed {dim}, one for each index"
            )
        self._labels = list(labels or [])
        self._lengths: dict[str, list[int]] = {}  # of all streams, by tag
        self._tmp = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        self._file = h5py.File(self._tmp, "w")
        self._rows = {"": _Rows(self._file, "inputs", path, dim, sparse)} | {
            name: _Rows(self._file, f"targets/data/{name}", path, *stream)
            for name, stream in self._streams.items()
        }

    def write(
        self, tag: str, array: ArrayLike, streams: Mapping[str, ArrayLike] | None = None
    ) -> None:
        """Append a sequence.

        tag: its name, unique in the file. array: [time, dim] float, or [time] int in [0, dim) for
        sparse data; stored as float32 or int32. streams: the same of every further stream.
        Raises ValueError for another shape, type or range, or a tag that is there already.
        """
        if tag in self._lengths or not tag or "\0" in tag:
            raise ValueError(f"{self.path}: found tag {tag!r}, needed one that is new and no null")
        arrays = {"": array, **(streams or {})}
        if arrays.keys() != self._rows.keys():
            found, needed = sorted(streams or {}), list(self._streams)
            raise ValueError(f"{self.path}: found the streams {found}, needed {needed}")
        checked = {n: rows.checked(tag, np.asarray(arrays[n])) for n, rows in self._rows.items()}
        self._lengths[tag] = [len(rows) for rows in checked.values()]
        for name, rows in checked.items():
            self._rows[name].append(rows)

    def _finish(self) -> None:
        """Write what is known at the end: lengths, tags, labels and sizes."""
        for rows in self._rows.values():
            rows.flush()
        strings = h5py.string_dtype()
        # HDFDataset counts a second stream `classes` where a file has none: its lengths are zero.
        lengths = np.zeros((len(self._lengths), max(2, len(self._rows))), np.int32)
        for row, counts in zip(lengths, self._lengths.values(), strict=True):
            row[: len(counts)] = counts
        self._file.create_dataset("seqLengths", data=lengths)
        self._file.create_dataset("seqTags", data=list(self._lengths), dtype=strings)
        self._file.create_dataset("labels", data=self._labels, dtype=strings)
        for name, stream in self._streams.items():
            self._file.create_dataset(f"targets/labels/{name}", data=[], dtype=strings)
            sizes = self._file.require_group("targets/size")
            sizes.attrs[name] = [stream.dim, 1 if stream.sparse else 2]
        self._file.attrs.update(
            numTimesteps=self._rows[""].count,
            numSeqs=len(self._lengths),
            inputPattSize=self.dim,
            numDims=1,
            numLabels=self.dim,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._finish()
            self._file.close()
            if kind is None:
                self._tmp.rename(self.path)
        finally:
            self._file.close()
            self._tmp.unlink(missing_ok=True)


class HdfReader:
    """Read sequences by index in any order; one read takes one slice of the file.

    path: a file of HdfWriter, or of RETURNN. stream: `data`, or the name of a stream below
    `targets`.
    tags: names of the sequences. lengths: int64 [sequences], in frames. dim: size of the feature
    axis, or number of labels of sparse data. sparse: whether read gives labels. labels: name of
    each index, or None.
    Raises ValueError, with file, found and needed, for a file that is none, or is damaged.
    """

    def __init__(self, path: Path, stream: str = "data") -> None:
        self.path = Path(path)
        try:
            self._file = h5py.File(self.path, "r")
        except FileNotFoundError:
            raise
        except OSError as error:
            raise ValueError(f"{path}: found no readable HDF5 file ({error})") from None
        try:
            self._open(stream)
        except (OSError, RuntimeError, KeyError, TypeError, UnicodeDecodeError) as error:
            self.close()
            raise ValueError(f"{path}: found a damaged HDF5 file ({error})") from None
        except ValueError:
            self.close()
            raise

    def _open(self, stream: str) -> None:
        """Check the layout and set all attributes."""
        has_inputs = "inputs" in self._file
        if stream == "data" and has_inputs:
            self._rows = self._dataset("inputs", "fiu", (1, 2))
            column, size = 0, self._file.attrs.get("inputPattSize", 0)
            names = self._strings("labels") if "labels" in self._file else []
        else:
            streams = self._targets()
            if stream not in streams:
                known = ", ".join(["data"] * has_inputs + streams) or "none"
                raise ValueError(f"{self.path}: found the streams {known}, needed {stream!r}")
            self._rows = self._dataset(f"targets/data/{stream}", "fiu", (1, 2))
            column = streams.index(stream) + has_inputs
            size = self._file["targets/size"].attrs.get(stream, 0)
            names = self._strings(f"targets/labels/{stream}")
        self.sparse = self._rows.ndim == 1
        if self.sparse and self._rows.dtype.kind == "f":
            raise ValueError(f"{self.path}: found {self._rows.dtype} labels, needed int")
        self.dim = int(np.ravel(size)[0]) if self.sparse else int(self._rows.shape[1])
        if self.dim < 1:
            raise ValueError(f"{self.path}: found no size of stream {stream!r}, needed one")
        self.labels = names if len(names) == self.dim else None
        self._read_lengths(column)

    def _targets(self) -> list[str]:
        """Return the streams below `targets`, in the order of their columns in seqLengths."""
        if "targets/data" not in self._file:
            return []
        return sorted({*self._file["targets/data"], *self._file["targets/size"].attrs})

    def _read_lengths(self, column: int) -> None:
        """Read lengths and tags, and check that they fit to each other and to the data."""
        dataset = self._dataset("seqLengths", "iu", (1, 2))
        lengths = dataset[...].astype(np.int64)
        if lengths.ndim == 2 and column >= lengths.shape[1]:
            raise ValueError(f"{self.path}: found {lengths.shape[1]} columns in seqLengths")
        self.lengths: NDArray[np.int64] = lengths if lengths.ndim == 1 else lengths[:, column]
        self.tags = self._strings("seqTags")
        self._offsets = np.concatenate([[0], np.cumsum(self.lengths)])
        self._index = {tag: i for i, tag in enumerate(self.tags)}
        frames = self._rows.shape[0]
        if (self.lengths < 0).any() or self._offsets[-1] != frames:
            raise ValueError(
                f"{self.path}: found {frames} frames, needed {self._offsets[-1]} by seqLengths"
            )
        if len(self.tags) != len(self.lengths):
            raise ValueError(
                f"{self.path}: found {len(self.tags)} seqTags, needed {len(self.lengths)}"
            )
        if len(self._index) != len(self.tags):
            raise ValueError(f"{self.path}: found a tag twice in seqTags, needed each once")

    def _dataset(self, name: str, kinds: str, ndims: tuple[int, ...]) -> Any:
        """Return a dataset that lies in this very file and has the type and rank needed."""
        dataset = self._file.get(name)
        if not isinstance(dataset, h5py.Dataset):
            there = ", ".join(self._file) or "nothing"
            raise ValueError(f"{self.path}: found {there}, needed the dataset {name!r}")
        if dataset.file != self._file or dataset.external or dataset.is_virtual:
            raise ValueError(f"{self.path}: found {name!r} in another file, needed it in this one")
        if dataset.dtype.kind not in kinds or dataset.ndim not in ndims:
            raise ValueError(
                f"{self.path}: found {name!r} as {dataset.dtype} {list(dataset.shape)}, "
                f"needed {KINDS[kinds]} with {' or '.join(map(str, ndims))} axes"
            )
        return dataset

    def _strings(self, name: str) -> list[str]:
        """Read a dataset of strings, of variable or of fixed length."""
        dataset = self._dataset(name, "OS", (1,))
        if h5py.check_string_dtype(dataset.dtype) is None:
            raise ValueError(f"{self.path}: found {name!r} as {dataset.dtype}, needed strings")
        return [value.decode("utf-8").split("\0")[0] for value in dataset[...].tolist()]

    def __len__(self) -> int:
        return len(self.tags)

    def index(self, tag: str) -> int:
        """Return the index of a sequence. Raises ValueError for an unknown tag."""
        if tag not in self._index:
            there = f"{len(self)} sequences" + (f" such as {self.tags[0]!r}" if self.tags else "")
            raise ValueError(f"{self.path}: found {there}, needed {tag!r}")
        return self._index[tag]

    def read(self, index: int) -> NDArray[Any]:
        """Return a sequence: float32 [time, dim], or int32 [time] where sparse.

        Raises IndexError outside [0, len), ValueError where the file is damaged.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"{self.path}: found index {index}, needed 0 to {len(self) - 1}")
        try:
            rows = self._rows[self._offsets[index] : self._offsets[index + 1]]
        except OSError as error:
            raise ValueError(f"{self.path}: found a damaged HDF5 file ({error})") from None
        result: NDArray[Any] = rows.astype(np.int32 if self.sparse else np.float32, copy=False)
        return result

    def close(self) -> None:
        """Close the file; reading is over."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
