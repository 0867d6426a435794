"""Files of layers' outputs, read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from eager import Batch, dense, run, sparse

from returnn_lite.errors import NetworkError
from returnn_lite.hdf import HdfReader
from returnn_lite.layers.hdf_dump import dumping
from returnn_lite.network import Network

LENGTHS, COUNTS = [4, 1, 3], [2, 3, 1]
STREAMS = {
    "data": {"dim": 2},
    "classes": {"dim": 3, "sparse": True, "vocab": ["a", "b", "c"]},
}


def batch() -> Batch:
    return {"data": dense(LENGTHS, 2), "classes": sparse(COUNTS, 3)}


def layers(folder: Path) -> dict[str, Any]:
    extra = {"score": "score", "labels": "data:classes", "mean": "mean", "frames": "data"}
    return {
        "mean": {"class": "reduce", "mode": "mean", "axis": "T", "from": "data"},
        "score": {"class": "reduce", "mode": "sum", "axis": "F", "from": "mean"},
        "dump": {
            "class": "hdf_dump",
            "filename": str(folder / "values.hdf"),
            "extra": extra,
            "is_output_layer": True,
            "from": "data",
        },
        "labels": {
            "class": "hdf_dump",
            "filename": str(folder / "labels.hdf"),
            "from": "data:classes",
        },
        "output": {"class": "copy", "from": "dump"},
    }


def test_what_is_run_is_read_back(tmp_path: Path) -> None:
    network, data = Network(layers(tmp_path), extern_data=STREAMS), batch()
    # Compiled once, with another batch the second time.
    with dumping(network) as dump:
        for tags in (["x", "y", "z"], ["u", "v", "w"]):
            dump.tags = tags
            out = network.run(data, fetch=["dump", "mean", "score"])
        assert not list(tmp_path.glob("*.hdf"))  # not complete yet
    assert [p.name for p in tmp_path.iterdir()] == ["values.hdf"]  # `labels` was not asked for
    streams = {k: HdfReader(tmp_path / "values.hdf", k) for k in ("data", "frames", "labels")}
    streams |= {k: HdfReader(tmp_path / "values.hdf", k) for k in ("mean", "score")}
    assert streams["data"].tags == ["x", "y", "z", "u", "v", "w"]
    assert streams["data"].lengths.tolist() == LENGTHS * 2
    assert (streams["labels"].dim, streams["labels"].sparse) == (3, True)
    for row in range(6):
        b = row % 3
        frames = data["data"][0][b, : LENGTHS[b]]
        needed = {
            "data": frames,
            "frames": frames,
            "labels": data["classes"][0][b, : COUNTS[b]],
            "mean": out["mean"].canonical()[b][None],
            "score": out["score"].canonical()[b].reshape(1, 1),
        }
        for name, reader in streams.items():
            np.testing.assert_array_equal(reader.read(row), needed[name], err_msg=name)


def test_labels_have_names_and_sequences_numbers(tmp_path: Path) -> None:
    network = Network(layers(tmp_path), extern_data=STREAMS, outputs=["labels"])
    with dumping(network):
        for _ in range(2):
            run(network, {"classes": batch()["classes"]})
    reader = HdfReader(tmp_path / "labels.hdf")
    assert reader.labels == ["a", "b", "c"]
    assert reader.tags == [f"seq-{i}" for i in range(6)]


def test_nothing_is_written_unless_asked(tmp_path: Path) -> None:
    network = Network(layers(tmp_path), extern_data=STREAMS)
    values = run(network, batch())["output"].canonical()
    np.testing.assert_array_equal(values[0], batch()["data"][0][0])
    with dumping(network):
        run(network, batch(), ["mean"])
    assert not list(tmp_path.iterdir())


def test_an_error_leaves_no_file(tmp_path: Path) -> None:
    network = Network(layers(tmp_path), extern_data=STREAMS)
    with pytest.raises(KeyError), dumping(network):
        run(network, batch())
        raise KeyError
    with pytest.raises(Exception, match="found 1 tags, needed 3"), dumping(network) as dump:
        dump.tags = ["x"]
        run(network, batch())
    assert not list(tmp_path.iterdir())
    run(network, batch())  # and later runs write nothing


def test_hypotheses(tmp_path: Path) -> None:
    unit = {
        "p": {"class": "softmax", "from": ["data:source", "prev:output"], "n_out": 3},
        "output": {"class": "choice", "from": "p", "beam_size": 2, "target": "classes"},
    }
    unit["p"]["from"] = "data:source"
    net = {
        "search": {"class": "rec", "from": "data", "unit": unit},
        "best": {"class": "decide", "from": "search"},
        "output": {"class": "hdf_dump", "filename": str(tmp_path / "a.hdf"), "from": "search"},
    }
    network = Network(net, extern_data=STREAMS, search=True)
    with dumping(network) as dump:
        dump.tags = ["x", "y", "z"]
        out = run(network, {"data": batch()["data"]}, ["output", "best"])
    reader = HdfReader(tmp_path / "a.hdf")
    assert reader.tags == [f"{tag}-beam{i}" for tag in "xyz" for i in range(2)]
    for b, n in enumerate(LENGTHS):
        np.testing.assert_array_equal(reader.read(2 * b), out["best"].canonical()[b, :n])


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        ({"from": "mean"}, r"output \(hdf_dump\): found source .*, needed a time dim"),
        ({"extra": {"n": "count"}}, r"found extra 'n' .*, needed floats, or labels of a sparse"),
        ({"extra": {"w": "window"}}, r"found extra 'w' .*, needed \[batch, time, feature\] or"),
        ({"labels": ["a"]}, r"found 1 labels for .*, needed one for each class"),
    ],
)
def test_wrong_options(layer: dict[str, Any], text: str) -> None:
    net = {
        "mean": {"class": "reduce", "mode": "mean", "axis": "T", "from": "data"},
        "count": {"class": "length", "from": "data"},
        "window": {"class": "window", "window_size": 2, "from": "data"},
        "output": {"class": "hdf_dump", "filename": "a.hdf", "from": "data", **layer},
    }
    with pytest.raises(NetworkError, match=text):
        Network(net, extern_data=STREAMS)


def test_a_loop_has_no_file() -> None:
    unit = {"output": {"class": "hdf_dump", "filename": "a.hdf", "from": "data:source"}}
    net = {"output": {"class": "rec", "from": "data", "unit": unit}}
    with pytest.raises(NetworkError, match=r"found it in a loop, needed it outside; try from"):
        Network(net, extern_data=STREAMS)
