"""Alignments by a search in which the labels are fixed: of all paths, the best."""

from __future__ import annotations

import dataclasses
import itertools
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic import write_sequences

from jobs.align import search as job
from jobs.align.search import Inputs, Outputs, Params
from jobs.job import Expected, JobError
from jobs.train.model import save_model
from recipes.networks.transducer import forced_alignment, transducer
from returnn_lite.hdf import HdfReader
from returnn_lite.network import Network

LOG = logging.getLogger("job")
N, DIM = 3, 5
# Two frames together: an utterance of odd length has a last frame of one.
ENCODER = {
    "pool": {"class": "pool", "mode": "max", "pool_size": [2], "padding": "same", "from": "data"},
    "encoder": {"class": "copy", "from": "pool"},
}
NET = transducer(ENCODER, labels=N, embed=3, slow=4, fast=4, readout=4, dropout=0.1, beam_size=16)
STREAMS = {"data": {"dim": DIM}, "alignment": {"dim": N + 1, "sparse": True}}
LABELS = {"u": [1, 1], "v": [2], "w": [1, 2, 0]}
FRAMES = {"u": 9, "v": 8, "w": 6}


@pytest.fixture(scope="module")
def network() -> Network:
    """A transducer with random parameters, which takes the alignment as given."""
    network = Network(NET, extern_data=STREAMS)
    rng = np.random.default_rng(0)
    shapes = network.param_shapes()
    network.set_params({name: 0.7 * rng.normal(size=shape) for name, shape in shapes.items()})
    return network


@pytest.fixture(scope="module")
def inputs(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """Its model, and features and labels."""
    folder = tmp_path_factory.mktemp("align")
    save_model(folder / "model", network, STREAMS, None)
    rng = np.random.default_rng(1)
    features = {utt: rng.normal(size=(n, DIM)) for utt, n in FRAMES.items()}
    return Inputs(
        model=folder / "model",
        features=write_sequences(folder / "features.hdf", features, DIM),
        targets=write_sequences(
            folder / "labels.hdf", {u: np.array(x) for u, x in LABELS.items()}, N
        ),
    )


def outputs_in(folder: Path) -> Outputs:
    """Return the outputs in the folder of a stage."""
    return Outputs(alignment=folder / "alignment.hdf", skipped=folder / "skipped.jsonl")


def every_path(frames: int, labels: list[int]) -> list[tuple[int, ...]]:
    """Return all paths through labels, each of which takes one frame."""
    found = itertools.product(range(N + 1), repeat=frames)
    return [p for p in found if [k for k in p if k != N] == labels]


def test_it_is_the_best_of_all_paths(network: Network, inputs: Inputs, tmp_path: Path) -> None:
    outputs = outputs_in(tmp_path)
    job.run(inputs, outputs, Params(network=forced_alignment(NET, labels=N)), LOG)
    features = HdfReader(inputs.features)
    with HdfReader(outputs.alignment) as reader:
        assert reader.sparse and reader.dim == N + 1
        assert reader.tags == list(LABELS)
        for i, utt in enumerate(reader.tags):
            paths = np.array(every_path((FRAMES[utt] + 1) // 2, LABELS[utt]), np.int32)
            x = np.repeat(features.read(i)[None], len(paths), axis=0)
            batch = {
                "data": (x, [FRAMES[utt]] * len(paths)),
                "alignment": (paths, [paths.shape[1]] * len(paths)),
            }
            loss = next(iter(network.run(batch).losses.values())).value
            assert reader.read(i).tolist() == paths[loss.argmin()].tolist()


def test_labels_that_do_not_fit_into_the_frames(inputs: Inputs, tmp_path: Path) -> None:
    long = {**LABELS, "v": [2, 1, 2, 1, 2]}
    targets = write_sequences(tmp_path / "a.hdf", {u: np.array(x) for u, x in long.items()}, N)
    inputs = Inputs(model=inputs.model, features=inputs.features, targets=targets)
    params = Params(network=forced_alignment(NET, labels=N))
    with pytest.raises(JobError, match="v: found 5 labels and 4 frames, needed a path"):
        job.run(inputs, outputs_in(tmp_path), params, LOG)
    assert not (tmp_path / "alignment.hdf").exists()
    job.run(inputs, outputs_in(tmp_path), dataclasses.replace(params, on_no_path="skip"), LOG)
    with HdfReader(tmp_path / "alignment.hdf") as reader:
        assert reader.tags == ["u", "w"]
    assert '"utt": "v"' in (tmp_path / "skipped.jsonl").read_text()


def test_targets_of_other_units(inputs: Inputs, tmp_path: Path) -> None:
    targets = {u: np.array(x) for u, x in LABELS.items()}
    inputs = Inputs(
        model=inputs.model,
        features=inputs.features,
        targets=write_sequences(tmp_path / "a.hdf", targets, N + 3),
    )
    params = Params(network=forced_alignment(NET, labels=N))
    message = r"layer 'output': found 4 labels, needed 7: the 6 of the targets and the blank"
    with pytest.raises(JobError, match=message):
        job.run(inputs, outputs_in(tmp_path), params, LOG)


def test_networks_that_do_not_search_for_the_labels(inputs: Inputs, tmp_path: Path) -> None:
    outputs = outputs_in(tmp_path)
    with pytest.raises(
        JobError, match="found a path that is not through its labels, needed a network in"
    ):
        job.run(inputs, outputs, Params(network=NET), LOG)
    net = {"output": {"class": "linear", "activation": None, "n_out": N + 1, "from": "data"}}
    with pytest.raises(JobError, match="found no parameter 'output/W' and 1 others of the network"):
        job.run(inputs, outputs, Params(network=net), LOG)
    net = {"output": {"class": "pool", "mode": "max", "pool_size": [2], "from": "data"}}
    with pytest.raises(JobError, match="layer 'output': found 5 labels, needed 4: the 3 of"):
        job.run(inputs, outputs, Params(network=net), LOG)


LINEAR: dict[str, Any] = {"class": "linear", "activation": None}
FULL_SUM = {
    **ENCODER,
    "term": {**LINEAR, "from": "encoder", "n_out": 4},
    "embedding": {**LINEAR, "from": "data:classes", "n_out": 4},
    "history": {"class": "prefix_in_time", "from": "embedding"},
    "sum": {"class": "combine", "kind": "add", "from": ["term", "history"]},
    "joint": {"class": "activation", "activation": "tanh", "from": "sum"},
    "probs": {"class": "softmax", "from": "joint", "n_out": N + 1},
    "frames": {"class": "softmax", "from": "encoder", "n_out": 2 * N},
}
FORCED = {"class": "forced_align", "align_target": "data:classes", "input_type": "prob"}


@pytest.mark.parametrize("topology", ["ctc", "rna", "rnnt", "hmm"])
def test_a_layer_may_find_the_alignment(inputs: Inputs, tmp_path: Path, topology: str) -> None:
    """Of a transducer, in all topologies; and the states of a hidden Markov model."""
    layer = {**FORCED, "topology": topology, "from": "probs"}
    if topology == "hmm":
        layer |= {"hmm_opts": {"states": 2}, "from": "frames"}
    net, labels = {**FULL_SUM, "output": layer}, {"dim": N, "sparse": True}
    streams = {"data": {"dim": DIM}, "classes": labels}
    network = Network(net, extern_data=streams, outputs=["output", "output/scores"])
    rng = np.random.default_rng(2)
    shapes = network.param_shapes()
    network.set_params({name: rng.normal(size=shape) for name, shape in shapes.items()})
    save_model(tmp_path / "model", network, streams, None)
    inputs = dataclasses.replace(inputs, model=tmp_path / "model")
    outputs, params = outputs_in(tmp_path), Params(network=net)
    targets = Expected(stream=labels)
    known = {
        "targets": targets,
        "model": Expected(model={"network": net, "config": {}, "extern_data": streams}),
    }
    size = 2 * N if topology == "hmm" else N + 1
    assert job.expected(params, known)["alignment"].stream == {"dim": size, "sparse": True}
    if topology == "hmm":  # three labels of two states do not fit into three frames
        with pytest.raises(JobError, match="w: found 3 labels and 3 frames, needed a path"):
            job.run(inputs, outputs, params, LOG)
        params = dataclasses.replace(params, on_no_path="skip")
    job.run(inputs, outputs, params, LOG)
    features = HdfReader(inputs.features)
    with HdfReader(outputs.alignment) as reader:
        assert (reader.sparse, reader.dim) == (True, size)
        assert reader.tags == [u for u in LABELS if topology != "hmm" or u != "w"]
        for i, utt in enumerate(reader.tags):
            batch = {
                "data": (features.read(i)[None], [FRAMES[utt]]),
                "classes": (np.array([LABELS[utt]], np.int32), [len(LABELS[utt])]),
            }
            found = network.run(batch, fetch=["output"])["output"].canonical()[0].tolist()
            assert reader.read(i).tolist() == found
            steps = (FRAMES[utt] + 1) // 2 + len(LABELS[utt]) * (topology == "rnnt")
            assert len(found) == steps
