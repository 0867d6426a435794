"""Linear alignments, and what begins with them: pipeline 1 of the tutorial (M115)."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic import DIM, LABELS, OPTIONS, Task, train, write_sequences

from jobs.align import linear as job
from jobs.align import search
from jobs.align.linear import Inputs, Outputs, Params
from jobs.job import Expected, JobError
from returnn_lite.hdf import HdfReader

LOG = logging.getLogger("job")
FRAMES = {"u": 7, "v": 4, "w": 3}
TARGETS = {"w": [2, 1], "u": [0, 2], "v": [1]}
STATES = 2
TOPOLOGY = {"states": STATES}


def outputs_in(folder: Path) -> Outputs:
    return Outputs(alignment=folder / "alignment.hdf", skipped=folder / "skipped.jsonl")


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    features = {utt: np.zeros((n, DIM)) for utt, n in FRAMES.items()}
    labels = {utt: np.array(x) for utt, x in TARGETS.items()}
    return Inputs(
        features=write_sequences(tmp_path / "features.hdf", features, DIM),
        targets=write_sequences(tmp_path / "targets.hdf", labels, 3),
    )


def test_states_have_equally_many_frames(inputs: Inputs, tmp_path: Path) -> None:
    params = Params(states=STATES, on_no_path="skip")
    job.run(inputs, outputs_in(tmp_path), params, LOG)
    with HdfReader(tmp_path / "alignment.hdf") as reader:
        assert (reader.tags, reader.dim) == (["u", "v"], 6)
        assert reader.read(0).tolist() == [0, 0, 1, 1, 4, 4, 5]
        assert reader.read(1).tolist() == [2, 2, 3, 3]
    skipped = json.loads((tmp_path / "skipped.jsonl").read_text())
    assert skipped == {"utt": "w", "reason": "found 4 states and 3 frames, needed a path"}
    stream = {"dim": 3, "sparse": True}
    known = job.expected(params, {"targets": Expected(stream=stream)})
    assert known["alignment"].stream == {"dim": 6, "sparse": True}


def test_frames_of_a_network_that_pools(inputs: Inputs, tmp_path: Path) -> None:
    job.run(inputs, outputs_in(tmp_path), Params(stride=2, on_no_path="skip"), LOG)
    with HdfReader(tmp_path / "alignment.hdf") as reader:
        assert [reader.read(i).tolist() for i in range(3)] == [[0, 0, 2, 2], [1, 1], [2, 1]]


def test_mistakes(inputs: Inputs, tmp_path: Path) -> None:
    outputs = outputs_in(tmp_path)
    with pytest.raises(JobError, match="w: found 4 states and 3 frames, needed a path"):
        job.run(inputs, outputs, Params(states=2), LOG)
    swapped = Inputs(features=inputs.features, targets=inputs.features)
    with pytest.raises(JobError, match=r"features\.hdf: found features, needed labels"):
        job.run(swapped, outputs, Params(), LOG)
    some = write_sequences(tmp_path / "some.hdf", {"u": np.array([1])}, 3)
    with pytest.raises(JobError, match=r"some\.hdf: found no labels for 'v' and 1 others"):
        job.run(Inputs(features=inputs.features, targets=some), outputs, Params(), LOG)
    with pytest.raises(ValueError, match="found states 0 and stride 1, needed 1 or more"):
        Params(states=0)


def test_from_linear_alignments_to_better_ones(task: Task, tmp_path: Path) -> None:
    """Frame-wise training, new alignment, and training of a larger network on it."""
    net: dict[str, Any] = {
        "lstm": {"class": "rec", "unit": "nativelstm2", "n_out": 10, "from": "data"},
        "output": {"class": "softmax", "from": "lstm", "loss": "ce", "target": "alignment"},
    }
    aligner = {
        **net,
        "output": {"class": "softmax", "from": "lstm", "n_out": STATES * LABELS},
        "aligned": {
            "class": "forced_align",
            "from": "output",
            "align_target": "data:classes",
            "topology": "hmm",
            "input_type": "prob",
            "hmm_opts": TOPOLOGY,
        },
    }
    given: dict[str, Any] = {"target": "alignment", "options": OPTIONS, "network": net}
    found, scores, model = {}, [], tmp_path
    for number in range(3):
        (folder := tmp_path / str(number)).mkdir()
        for name in ("train", "dev"):
            features, targets = task.features(name), task.targets(name)
            alignment, skipped = folder / f"{name}.hdf", folder / f"{name}.jsonl"
            if number == 0:
                outputs: Any = Outputs(alignment=alignment, skipped=skipped)
                pair = Inputs(features=features, targets=targets)
                job.run(pair, outputs, Params(states=STATES), LOG)
            else:
                outputs = search.Outputs(alignment=alignment, skipped=skipped)
                triple = search.Inputs(model=model, features=features, targets=targets)
                params = search.Params(network=aligner, layer="aligned")
                search.run(triple, outputs, params, LOG)
            found[f"{name}_targets"] = alignment
        trained = train(task, folder, found, **given)
        model = trained.model
        scores.append(json.loads(trained.scores.read_text())[-1]["dev_error"])
    assert scores[2] < 0.5 * scores[0]
