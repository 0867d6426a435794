"""Data that do not fit the network, or each other: told before training."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from synthetic import CTC, DIM, LABELS, Task, train, write_sequences

from jobs.job import JobError
from jobs.train.fit import fit_lengths, frames_needed
from jobs.train.network import Params
from jobs.train.training import dataset
from recipes.networks.full_sum import full_sum
from returnn_lite.engine.options import TrainOptions
from returnn_lite.hdf import HdfReader
from returnn_lite.network import Network

NETWORK = {"output": {"class": "copy"}}
Caplog = pytest.LogCaptureFixture


def test_dev_with_other_features_than_train(task: Task, tmp_path: Path) -> None:
    tags = HdfReader(task.targets("dev")).tags
    path = write_sequences(
        tmp_path / "dev.hdf", {tag: np.zeros((20, DIM + 1)) for tag in tags}, DIM + 1
    )
    message = (
        "dev, stream 'data': found features of dim 7, needed those of train, features of dim 6"
    )
    with pytest.raises(JobError, match=message):
        train(task, tmp_path, {"dev": path, "statistics": None})


def test_dev_with_other_labels_than_train(task: Task, tmp_path: Path) -> None:
    tags = HdfReader(task.targets("dev")).tags
    path = write_sequences(tmp_path / "dev.hdf", {tag: np.array([2]) for tag in tags}, LABELS + 1)
    message = "dev, stream 'classes': found labels of dim 6, needed those of train, labels of dim 5"
    with pytest.raises(JobError, match=message):
        train(task, tmp_path, {"dev_targets": path})


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("dev_targets", "found the streams data, needed those of train, data, classes; give"),
        ("train_targets", "found the streams data, classes, needed those of train, data; give"),
    ],
)
def test_targets_for_one_of_train_and_dev_only(
    task: Task, tmp_path: Path, missing: str, message: str
) -> None:
    with pytest.raises(JobError, match=f"dev: {message} train_targets and dev_targets, or neither"):
        train(task, tmp_path, {missing: None})


def test_a_frame_wise_loss_needs_a_label_for_each_frame(task: Task, tmp_path: Path) -> None:
    net = {**CTC, "output": {**CTC["output"], "loss": "ce"}}
    message = (
        r"train_targets\.hdf: found 48 of 48 sequences without one label for each frame of layer "
        r"'output', such as train-0: found 5 labels, needed 18; give an alignment by a network "
    )
    with pytest.raises(JobError, match=message):
        train(task, tmp_path, network=net)


def with_long_targets(task: Task, folder: Path, number: int) -> Path:
    """Write the targets of the train set with too many labels for the first utterances."""
    with HdfReader(task.targets("train")) as reader:
        targets = {tag: reader.read(i) for i, tag in enumerate(reader.tags)}
    for utt in list(targets)[:number]:
        targets[utt] = np.full(50, 2)
    return write_sequences(folder / "long.hdf", targets, LABELS)


def test_targets_that_are_too_long_are_named(task: Task, tmp_path: Path) -> None:
    others = {"train_targets": with_long_targets(task, tmp_path, 2)}
    lines = (
        r"long\.hdf: found 2 of 48 sequences with more labels than frames, such as",
        r"train-0: found 18 frames after pooling, needed 99 for its labels",
        r"train-1: found \d+ frames after pooling, needed 99 for its labels",
        r"try on_long_targets=\"skip\", or less pooling$",
    )
    with pytest.raises(JobError, match="\n".join(lines)):
        train(task, tmp_path, others)


def test_targets_that_are_too_long_are_left_out_and_listed(
    task: Task, tmp_path: Path, caplog: Caplog
) -> None:
    others = {"train_targets": with_long_targets(task, tmp_path, 2)}
    with caplog.at_level(logging.INFO):
        train(task, tmp_path, others, on_long_targets="skip")
    assert "found 2 of 48 sequences with more labels than frames; they are left out" in caplog.text
    assert "left out: train-0: found 18 frames after pooling, needed 99" in caplog.text
    assert "left out: train-1: " in caplog.text and "left out: train-2" not in caplog.text


def test_what_is_left_out_is_not_trained_on(task: Task, tmp_path: Path) -> None:
    inputs = task.train_inputs(train_targets=with_long_targets(task, tmp_path, 2))
    data = dataset(
        inputs.train,
        inputs.train_targets,
        inputs,
        Params(network=NETWORK, options=TrainOptions(epochs=1)),
    )
    network = Network(CTC, extern_data=data.extern_data, train=True)
    log = logging.getLogger("job")
    fit_lengths(data, inputs.train_targets, "classes", network, log, skip=True)
    assert data.tags == [f"train-{i}" for i in range(2, 48)]
    with HdfReader(task.targets("train")) as reader:
        np.testing.assert_array_equal(data.read(0)["classes"], reader.read(2))


def test_not_all_are_left_out(task: Task, tmp_path: Path) -> None:
    others = {"train_targets": with_long_targets(task, tmp_path, 48)}
    with pytest.raises(JobError, match=r"found 48 of 48 sequences with more labels than frames"):
        train(task, tmp_path, others, on_long_targets="skip")


def test_equal_labels_need_a_blank_between_them() -> None:
    assert frames_needed(np.array([2, 2, 3, 2, 2, 2])) == 9
    assert frames_needed(np.array([], int)) == 0
    assert frames_needed(np.array([2, 2, 3]), "rna") == 3
    assert [frames_needed(np.array(x, int), "rnnt") for x in ([], [2, 2])] == [0, 1]


def test_sequences_without_a_target_are_left_out_where_asked_for(
    task: Task, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As after an alignment that left some out."""
    with HdfReader(task.targets("train")) as reader:
        some = {tag: reader.read(i) for i, tag in enumerate(reader.tags) if i != 3}
    targets = write_sequences(tmp_path / "some.hdf", some, LABELS)
    with pytest.raises(JobError, match="found no sequence 'train-3' and 0 others"):
        train(task, tmp_path, {"train_targets": targets})
    with caplog.at_level(logging.INFO):
        train(task, tmp_path, {"train_targets": targets}, on_missing_targets="skip")
    assert f"{targets}: 1 sequences have no target; left out" in caplog.text
    assert "left out: train-3: found no target" in caplog.text


@pytest.mark.parametrize(("topology", "needed"), [("ctc", 99), ("rna", 50), ("rnnt", None)])
def test_targets_that_are_too_long_for_a_transducer(
    task: Task, tmp_path: Path, topology: str, needed: int | None
) -> None:
    encoder = {**CTC, "encoder": {"class": "copy", "from": "lstm"}}
    net = full_sum(encoder, labels=LABELS, embed=2, slow=2, readout=4, dropout=0.0)
    net["output"]["loss_opts"] = {"topology": topology, "input_type": "prob"}
    others = {"train_targets": with_long_targets(task, tmp_path, 2)}
    if needed is None:
        train(task, tmp_path, others, network=net)
        return
    message = f"train-0: found 18 frames after pooling, needed {needed} for its labels"
    with pytest.raises(JobError, match=message):
        train(task, tmp_path, others, network=net)
