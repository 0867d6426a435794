"""Training as a job: what it learns, what it leaves, and what it goes on from when killed."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic import CTC, DIM, LABELS, OPTIONS, Task, train

from jobs.job import JobError
from jobs.search.networks import search_network
from jobs.train import network as job
from jobs.train.model import Model
from jobs.typed_json import from_json
from returnn_lite.engine.options import TrainOptions
from returnn_lite.network import Network
from returnn_lite.parameters import load_checkpoint

PROJECT = Path(__file__).parents[3]
TESTS = Path(__file__).parents[1]
Caplog = pytest.LogCaptureFixture


def parameters(model: Path) -> dict[str, bytes]:
    """Return the bytes of each parameter."""
    return {n: x.tobytes() for n, x in load_checkpoint(Model.load(model).checkpoint).items()}


def test_it_learns_the_task_and_leaves_model_and_scores(task: Task, ctc: Path) -> None:
    scores = json.loads((ctc / "scores.json").read_text())
    assert len(scores) == OPTIONS["epochs"]
    assert set(scores[0]) == {"train_loss", "dev_loss", "dev_error"}
    assert scores[0]["dev_error"] > 0.5 and scores[-1]["dev_error"] < 0.05
    model = Model.load(ctc / "model")
    assert model.network == CTC
    assert model.extern_data == {
        "data": {"dim": DIM, "sparse": False},
        "classes": {"dim": LABELS, "sparse": True},
    }
    assert model.statistics is not None
    assert model.statistics.read_bytes() == task.statistics.read_bytes()
    assert sorted(parameters(ctc / "model")) == [
        "lstm/rec/W",
        "lstm/rec/W_re",
        "lstm/rec/b",
        "output/W",
        "output/b",
    ]


PLACES = (
    "within an epoch",
    "before the dev set is measured",
    "while a checkpoint is written",
    "between the renames of a checkpoint",
    "before the last epoch is kept",
    "while the model is written",
)


def test_a_training_that_is_killed_anywhere_ends_as_if_it_had_not_been(
    task: Task, ctc: Path, tmp_path: Path, caplog: Caplog
) -> None:
    script = str(TESTS / "killed_training.py")
    done = subprocess.run(
        [sys.executable, script, str(task.folder), str(tmp_path), *PLACES],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
    )
    expected = [f"{-signal.SIGKILL} {place}" for place in PLACES]
    assert done.stdout.splitlines() == expected, done.stderr
    with caplog.at_level(logging.INFO):
        outputs = train(task, tmp_path, options=OPTIONS)
    assert "goes on at epoch" in caplog.text
    assert parameters(outputs.model) == parameters(ctc / "model")
    assert outputs.scores.read_bytes() == (ctc / "scores.json").read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epoch": 1}, "options: unknown key 'epoch'; did you mean 'epochs'?"),
        ({}, "options: missing key 'epochs'"),
        ({"epochs": 1.5}, "options.epochs: found 1.5, needed int"),
        ({"epochs": 1, "adam": {"beta": 0.9}}, "options.adam: unknown key 'beta'; did you mean"),
    ],
)
def test_wrong_options(task: Task, tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(JobError, match=re.escape(message)):
        train(task, tmp_path, options=options)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"target": "data"}, "found target 'data', needed another name than the input's"),
        ({"gpu": 2}, "found gpu 2, needed 0 or 1: a training uses one device"),
        ({"on_long_targets": "drop"}, "on_long_targets: found 'drop', needed 'error' or 'skip'"),
        ({"optoins": {}}, "unknown key 'optoins'; did you mean 'options'?"),
    ],
)
def test_wrong_parameters_are_told_before_anything_runs(
    params: dict[str, Any], message: str
) -> None:
    with pytest.raises(JobError, match=re.escape(message)):
        given = {"network": {}, "options": {"epochs": 1}, **params}
        from_json(job.Params, given, "recipe x, stage y")


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            {"class": "softmx"},
            "output (softmx): unknown layer class 'softmx'; did you mean 'softmax'?",
        ),
        ({"from": "lsmt"}, "output (softmax): no layer 'lsmt'; did you mean 'lstm'?"),
        ({"target": "labels"}, "no data stream 'labels'; there are: classes, data"),
        ({"n_out": 5}, "output (softmax): found 5 outputs for target"),
    ],
)
def test_a_mistake_in_the_network_is_one_line(
    task: Task, tmp_path: Path, layer: dict[str, Any], message: str
) -> None:
    net = {**CTC, "output": {**CTC["output"], **layer}}
    with pytest.raises(JobError, match=re.escape(message)) as caught:
        train(task, tmp_path, network=net)
    assert "\n" not in str(caught.value)
    assert not any(tmp_path.iterdir())


def with_classes_named(name: str) -> dict[str, Any]:
    """Return the task's network with another name for its output layer."""
    net = dict(CTC)
    net[name] = {**net.pop("output"), "is_output_layer": True}
    return net


def test_first_parameters_are_those_of_another_model(
    task: Task, ctc: Path, tmp_path: Path, caplog: Caplog
) -> None:
    options = {"epochs": 1, "learning_rate": 0.0}
    with caplog.at_level(logging.DEBUG):
        outputs = train(
            task,
            tmp_path,
            {"init": ctc / "model"},
            network=with_classes_named("result"),
            options=options,
        )
    assert f"3 of 5 parameters are from {ctc / 'model'}" in caplog.text
    assert "parameters that are not: result/W, result/b" in caplog.text
    found, before = parameters(outputs.model), parameters(ctc / "model")
    same = {name for name in before if found.get(name) == before[name]}
    assert same == {"lstm/rec/W", "lstm/rec/W_re", "lstm/rec/b"}


def test_another_model_without_a_parameter_that_fits(task: Task, ctc: Path, tmp_path: Path) -> None:
    net = with_classes_named("result")
    net["other"] = net.pop("lstm")
    net["result"]["from"] = "other"
    message = r"model: found no parameter that .* it has lstm/rec/W, .* the network other/rec/W, "
    with pytest.raises(JobError, match=message):
        train(task, tmp_path, {"init": ctc / "model"}, network=net)


def test_a_search_has_the_behaviour_of_the_training(task: Task, tmp_path: Path) -> None:
    conv = {"class": "conv", "filter_size": [3], "n_out": 8, "padding": "same", "from": "data"}
    net = {"conv": conv, "lstm": {**CTC["lstm"], "from": "conv"}, "output": CTC["output"]}
    for version, bias in ((0, False), (12, True)):
        folder = tmp_path / str(version)
        folder.mkdir()
        train(task, folder, network=net, behavior_version=version)
        assert ("conv/bias" in parameters(folder / "model")) == bias
        model = Model.load(folder / "model")
        network = search_network(model, None, "output", {}, lm=None)
        assert ("conv/bias" in network.param_shapes()) == bias
        assert network.config.behavior_version == version


def test_a_folder_without_a_model(task: Task, tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"none: found no model \(FileNotFoundError.*\), needed a"):
        train(task, tmp_path, {"init": tmp_path / "none"})


LM = {
    "input": {"class": "linear", "activation": None, "from": "data:delayed", "n_out": 8},
    "lstm": {"class": "rec", "unit": "nativelstm2", "from": "input", "n_out": 8},
    "output": {"class": "softmax", "from": "lstm", "target": "data", "loss": "ce", "n_out": LABELS},
}


def test_a_language_model_is_trained_on_labels_with_their_end(task: Task, tmp_path: Path) -> None:
    inputs = job.Inputs(train=task.targets("train"), dev=task.targets("dev"))
    outputs = job.Outputs(model=tmp_path / "model", scores=tmp_path / "scores.json")
    options = {"epochs": 12, "learning_rate": 0.05, "batch_frames": 40}
    params = job.Params(network=LM, options=TrainOptions(**options), end_label=0)
    job.run(inputs, outputs, params, logging.getLogger("job"))
    # Half of the letters follow from the one before, so the entropy is far below log(4).
    assert json.loads(outputs.scores.read_text())[-1]["dev_loss"] < 0.9
    model = Model.load(outputs.model)
    assert model.extern_data["delayed"]["same_dim_tags_as"] == {"t": "data"}
    network = Network(model.network, extern_data=model.extern_data)
    network.load(model.checkpoint)
    labels = {"data": np.array([[2, 3, 0]]), "delayed": np.array([[0, 2, 3]])}
    probs = network.run({k: (x, [3]) for k, x in labels.items()})["output"].canonical()[0]
    assert probs[0, [2, 3]].sum() > 0.9, "a sentence begins with a letter"
    assert probs[1, 2] < 0.05, "no letter follows itself"
    assert probs[:, 1].max() < 0.05, "nothing is unknown"
