"""Sequence files: round trips, files of RETURNN, damaged files."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from returnn_lite.hdf import HdfReader, HdfStream, HdfWriter


def _dense(seed: int = 0) -> dict[str, NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    return {f"utt-{i}": rng.normal(size=(n, 3)).astype(np.float32) for i, n in enumerate([5, 1, 9])}


def _write(path: Path, data: dict[str, NDArray[np.float32]]) -> Path:
    with HdfWriter(path, 3) as writer:
        for tag, array in data.items():
            writer.write(tag, array)
    return path


def test_dense_sequences_come_back_in_any_order(tmp_path: Path) -> None:
    data = _dense()
    with HdfReader(_write(tmp_path / "a.hdf", data)) as reader:
        assert (reader.tags, reader.dim, reader.sparse, reader.labels) == (
            list(data),
            3,
            False,
            None,
        )
        assert reader.lengths.tolist() == [5, 1, 9]
        for tag in reversed(data):
            array = reader.read(reader.index(tag))
            assert array.dtype == np.float32
            np.testing.assert_array_equal(array, data[tag])


def test_further_streams_have_lengths_of_their_own(tmp_path: Path) -> None:
    streams = {"score": HdfStream(1), "labels": HdfStream(3, sparse=True)}
    with HdfWriter(tmp_path / "a.hdf", 3, streams=streams) as writer:
        writer.write("a", np.ones((2, 3)), {"labels": [2, 0, 1], "score": [[0.5]]})
        writer.write("b", np.zeros((0, 3)), {"labels": [], "score": [[1.5]]})
        with pytest.raises(
            ValueError, match=r"found the streams \['labels'\], needed \['labels', "
        ):
            writer.write("c", np.ones((2, 3)), {"labels": [1]})
        with pytest.raises(ValueError, match=r"found labels from 3 to 3, needed 0 to 2"):
            writer.write("c", np.ones((2, 3)), {"labels": [3], "score": [[0.5]]})
    for name, needed in (("labels", [[2, 0, 1], []]), ("score", [[[0.5]], [[1.5]]])):
        with HdfReader(tmp_path / "a.hdf", name) as reader:
            assert [reader.read(i).tolist() for i in range(2)] == needed
            assert reader.tags == ["a", "b"]


def test_sparse_sequences_carry_their_labels(tmp_path: Path) -> None:
    with HdfWriter(tmp_path / "a.hdf", 3, sparse=True, labels=["</s>", "<unk>", "ü"]) as writer:
        writer.write("a", [2, 1, 2])
        writer.write("b", [])
    with HdfReader(tmp_path / "a.hdf") as reader:
        assert (reader.sparse, reader.dim, reader.labels) == (True, 3, ["</s>", "<unk>", "ü"])
        assert reader.read(0).tolist() == [2, 1, 2]
        assert reader.read(1).shape == (0,)
        assert reader.read(0).dtype == np.int32


@pytest.mark.parametrize("sparse", [False, True])
def test_an_array_may_be_used_again_after_writing(tmp_path: Path, sparse: bool) -> None:
    array = np.ones(2, np.int32) if sparse else np.ones((2, 3), np.float32)
    with HdfWriter(tmp_path / "a.hdf", 3, sparse) as writer:
        writer.write("a", array)
        array[:] = 0
    with HdfReader(tmp_path / "a.hdf") as reader:
        assert reader.read(0).all()


lengths = st.lists(st.integers(0, 40), max_size=12)


@settings(max_examples=40, deadline=None)
@given(lengths=lengths, dim=st.integers(1, 5), sparse=st.booleans(), seed=st.integers(0, 99))
def test_round_trip(lengths: list[int], dim: int, sparse: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    data = {
        f"ütt/{i} x": rng.integers(0, dim, n)
        if sparse
        else rng.normal(size=(n, dim)).astype(np.float32)
        for i, n in enumerate(lengths)
    }
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("returnn_lite.hdf.BUFFER_BYTES", 200)  # several flushes in a small file
        patch.setattr("returnn_lite.hdf.CHUNK_BYTES", 64)  # sequences that cross chunks
        with HdfWriter(Path(folder) / "a.hdf", dim, sparse=sparse) as writer:
            for tag, array in data.items():
                writer.write(tag, array)
        with HdfReader(Path(folder) / "a.hdf") as reader:
            assert reader.tags == list(data)
            assert reader.lengths.tolist() == lengths
            for i in rng.permutation(len(data)):
                np.testing.assert_array_equal(reader.read(int(i)), data[reader.tags[i]])


def test_the_same_sequences_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = (_write(tmp_path / name, _dense()) for name in ("a.hdf", "b.hdf"))
    assert first.read_bytes() == second.read_bytes()


def test_a_failed_writer_leaves_nothing_and_keeps_the_old_file(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.hdf", _dense())
    before = path.read_bytes()
    with pytest.raises(RuntimeError), HdfWriter(path, 2) as writer:
        writer.write("a", np.zeros((4, 2)))
        raise RuntimeError
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.hdf"]


def test_memory_does_not_grow_with_the_data(tmp_path: Path) -> None:
    block = np.zeros((1000, 80), np.float32)  # 0.3 MiB, written 60 times
    tracemalloc.start()
    with HdfWriter(tmp_path / "a.hdf", 80) as writer:
        for i in range(60):
            writer.write(str(i), block)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "a.hdf").stat().st_size > 60 * block.nbytes
    assert peak < 12 << 20


@pytest.mark.parametrize(
    ("array", "sparse", "message"),
    [
        (np.zeros((4, 2)), False, r"'a': found float64 \[4, 2\], needed float \[time, 3\]"),
        (np.zeros(4), False, r"found float64 \[4\], needed float \[time, 3\]"),
        (np.array([["x"] * 3]), False, r"found <U1 \[1, 3\], needed float"),
        (np.zeros(4), True, r"found float64 \[4\], needed int \[time\]"),
        (np.array([0, 3]), True, r"found labels from 0 to 3, needed 0 to 2"),
        (np.array([-1]), True, r"found labels from -1 to -1, needed 0 to 2"),
    ],
)
def test_wrong_arrays_are_named(
    tmp_path: Path, array: NDArray[np.float64], sparse: bool, message: str
) -> None:
    with (
        pytest.raises(ValueError, match=message),
        HdfWriter(tmp_path / "a.hdf", 3, sparse) as writer,
    ):
        writer.write("a", array)


def test_tags_are_unique_and_labels_complete(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="found tag 'a', needed one that is new"),
        HdfWriter(tmp_path / "a.hdf", 3) as writer,
    ):
        writer.write("a", np.zeros((1, 3)))
        writer.write("a", np.zeros((1, 3)))
    with pytest.raises(ValueError, match="found 2 labels, needed 3"):
        HdfWriter(tmp_path / "a.hdf", 3, sparse=True, labels=["a", "b"])
    with pytest.raises(ValueError, match="found dim 0"):
        HdfWriter(tmp_path / "a.hdf", 0)


def test_unknown_sequences(tmp_path: Path) -> None:
    with HdfReader(_write(tmp_path / "a.hdf", _dense())) as reader:
        with pytest.raises(ValueError, match="found 3 sequences such as 'utt-0', needed 'utt-9'"):
            reader.index("utt-9")
        with pytest.raises(IndexError, match="found index 3, needed 0 to 2"):
            reader.read(3)


def _targets(file: h5py.File) -> None:
    """A second stream, laid out as RETURNN's SimpleHDFWriter does."""
    file["targets/data/classes"] = np.arange(6, dtype=np.int32)
    file["targets/labels/classes"] = [b"dummy-label"]
    file.create_group("targets/size").attrs["classes"] = [7, 1]
    file["seqLengths"][:, 1] = [1, 2, 3]


def test_a_stream_below_targets(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.hdf", _dense())
    with h5py.File(path, "a") as file:
        _targets(file)
    with HdfReader(path, "classes") as reader:
        assert (reader.dim, reader.sparse, reader.labels) == (7, True, None)
        assert [reader.read(i).tolist() for i in range(3)] == [[0], [1, 2], [3, 4, 5]]
    with pytest.raises(ValueError, match="found the streams data, classes, needed 'class'"):
        HdfReader(path, "class")


def _replace(file: h5py.File, name: str, value: object) -> None:
    del file[name]
    file[name] = value


BROKEN = {
    "needed the dataset 'seqTags'": lambda f: f.pop("seqTags"),
    "found 15 frames, needed 16 by seqLengths": lambda f: f["seqLengths"].__setitem__((1, 0), 2),
    "found 2 seqTags, needed 3": lambda f: _replace(f, "seqTags", ["a", "b"]),
    "found a tag twice": lambda f: _replace(f, "seqTags", ["a", "b", "a"]),
    r"found 'inputs' as float32 \[5, 3, 1\]": lambda f: _replace(
        f, "inputs", np.zeros((5, 3, 1), np.float32)
    ),
    "found float64 labels, needed int": lambda f: _replace(f, "inputs", np.zeros(15)),
    "found 'inputs' in another file": lambda f: _replace(
        f, "inputs", h5py.ExternalLink("other.hdf", "/inputs")
    ),
    "found 'seqLengths' as float64": lambda f: _replace(f, "seqLengths", np.zeros((3, 2))),
    "found 'seqTags' as int64": lambda f: _replace(f, "seqTags", np.arange(3)),
}


@pytest.mark.parametrize("message", BROKEN)
def test_files_of_another_layout_are_refused(tmp_path: Path, message: str) -> None:
    _write(tmp_path / "other.hdf", _dense())
    path = _write(tmp_path / "a.hdf", _dense())
    with h5py.File(path, "a") as file:
        BROKEN[message](file)
    with pytest.raises(ValueError, match=rf"a\.hdf: .*{message}"):
        HdfReader(path)


@settings(max_examples=30, deadline=None)
@given(keep=st.floats(0, 0.999), garbage=st.binary(max_size=50))
def test_damaged_files_are_refused(keep: float, garbage: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = _write(Path(folder) / "a.hdf", _dense())
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * keep)] + garbage)
        with pytest.raises(ValueError, match="found no readable HDF5 file"):
            HdfReader(path)


def test_importing_it_does_not_import_tensorflow() -> None:
    code = "import sys, returnn_lite.hdf; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Run by RETURNN's Python: arguments are a file of ours and a folder for what HDFDataset reads.
READ_WITH_RETURNN = """
import sys, numpy, pathlib
from returnn.datasets.hdf import HDFDataset
dataset = HDFDataset(files=[sys.argv[1]])
dataset.init_seq_order(epoch=1)
dataset.load_seqs(0, dataset.num_seqs)
folder = pathlib.Path(sys.argv[2])
print(dataset.is_data_sparse("data"), *dataset.num_outputs["data"], *dataset.labels["data"])
for i in range(dataset.num_seqs):
    numpy.save(folder / f"{dataset.get_tag(i)}.npy", dataset.get_data(i, "data"))
"""
WRITE_WITH_RETURNN = """
import sys, numpy
from returnn.datasets.hdf import SimpleHDFWriter
writer = SimpleHDFWriter(sys.argv[1], dim=2, extra_type={"classes": (5, 1, "int32")})
inputs = numpy.arange(8, dtype="float32").reshape(2, 2, 2)
writer.insert_batch(inputs, [2, 1], ["a", "b"], {"classes": numpy.array([[1, 2], [3, 4]], "int32")})
writer.close()
"""


def _returnn(code: str, *arguments: Path) -> str:
    python = os.environ.get("RETURNN_PYTHON")
    if not python:
        pytest.skip("RETURNN_PYTHON does not name a Python that has RETURNN")
    command = [python, "-c", code, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("sparse", [False, True])
def test_returnn_reads_the_same_arrays(tmp_path: Path, sparse: bool) -> None:
    path = tmp_path / "a.hdf"
    data = _dense() if not sparse else {"a": np.array([3, 0, 1]), "b": np.array([2])}
    with HdfWriter(path, 4 if sparse else 3, sparse, list("wxyz") if sparse else None) as writer:
        for tag, array in data.items():
            writer.write(tag, array)
    facts = _returnn(READ_WITH_RETURNN, path, tmp_path).splitlines()[-1]
    assert facts == ("True 4 1 w x y z" if sparse else "False 3 2")
    found = {p.stem: np.load(p) for p in tmp_path.glob("*.npy")}
    assert sorted(found) == sorted(data)
    for tag, array in data.items():
        np.testing.assert_array_equal(found[tag], array)


def test_files_of_returnn_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.hdf"
    _returnn(WRITE_WITH_RETURNN, path)
    with HdfReader(path) as dense, HdfReader(path, "classes") as sparse:
        assert dense.tags == ["a", "b"]
        assert dense.read(1).tolist() == [[4.0, 5.0]]
        assert (sparse.dim, sparse.sparse) == (5, True)
        assert [sparse.read(i).tolist() for i in range(2)] == [[1, 2], [3, 4]]
