"""Alignments by a CTC model: of all paths, the best."""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic import LABELS, Task, save_by_hand, write_sequences

from jobs.align import ctc as job
from jobs.align.ctc import Inputs, Outputs, Params
from jobs.job import JobError
from returnn_lite.hdf import HdfReader

LOG = logging.getLogger("job")
NET = {
    "output": {"class": "linear", "activation": "softmax", "from": "data", "n_out": 4},
}


def labels_of(path: tuple[int, ...], blank: int, repeat: bool) -> list[int]:
    """Return what a path stands for."""
    return [k for i, k in enumerate(path) if k != blank and not (repeat and i and path[i - 1] == k)]


def paths(frames: int, labels: list[int], blank: int, repeat: bool) -> Iterator[tuple[int, ...]]:
    """Yield all paths through labels."""
    for path in itertools.product(range(blank + 1), repeat=frames):
        if labels_of(path, blank, repeat) == labels:
            yield path


@pytest.mark.parametrize("repeat", [True, False])
def test_it_is_the_best_of_all_paths(tmp_path: Path, repeat: bool) -> None:
    rng = np.random.default_rng(3)
    labels = {"u": [1, 1], "v": [0], "w": [1, 0, 1], "x": [2]}
    frames = {"u": 5, "v": 4, "w": 6, "x": 1}
    scores = {utt: 2 * rng.normal(size=(n, 4)).astype(np.float32) for utt, n in frames.items()}
    model = save_by_hand(tmp_path / "model", NET, {"data": {"dim": 4}}, {"output/W": np.eye(4)})
    inputs = Inputs(
        model=model,
        features=write_sequences(tmp_path / "scores.hdf", scores, 4),
        # In another order than the features.
        targets=write_sequences(
            tmp_path / "labels.hdf", {u: np.array(labels[u]) for u in reversed(labels)}, 3
        ),
    )
    outputs = outputs_in(tmp_path)
    job.run(inputs, outputs, Params(repeat_labels=repeat), LOG)
    with HdfReader(outputs.alignment) as reader:
        assert reader.sparse and reader.dim == 4
        assert reader.tags == list(labels)
        for i, utt in enumerate(reader.tags):
            x = scores[utt]
            score = x - np.log(np.exp(x).sum(-1, keepdims=True))
            every = paths(frames[utt], labels[utt], 3, repeat)
            best = max(every, key=lambda p: score[range(len(p)), p].sum())
            assert tuple(reader.read(i)) == best


def outputs_in(folder: Path) -> Outputs:
    """Return the outputs in the folder of a stage."""
    return Outputs(alignment=folder / "alignment.hdf", skipped=folder / "skipped.jsonl")


def align(task: Task, model: Path, folder: Path, **others: Any) -> Path:
    """Align the dev set of the task, or what differs, with CTC's topology."""
    given = {"features": task.features("dev"), "targets": task.targets("dev"), "model": model}
    names = [name for name in ("layer", "on_no_path") if name in others]
    params = Params(repeat_labels=True, **{name: others.pop(name) for name in names})
    outputs = outputs_in(folder)
    job.run(Inputs(**{**given, **others}), outputs, params, LOG)
    return outputs.alignment


def test_a_trained_model_finds_where_the_labels_are_heard(
    task: Task, ctc: Path, tmp_path: Path
) -> None:
    found = align(task, ctc / "model", tmp_path)
    with HdfReader(found) as paths, HdfReader(task.features("dev")) as heard:
        assert paths.tags == heard.tags and paths.dim == LABELS + 1
        for i in range(len(paths)):
            path, sound = paths.read(i), heard.read(i).argmax(1)
            assert len(path) == len(sound)
            # The label of a frame is heard there, or just before: the LSTM may wait.
            late = [{*sound[max(0, t - 2) : t + 1]} for t in range(len(path))]
            assert all(k in late[t] for t, k in enumerate(path) if k != LABELS)


def test_labels_that_do_not_fit_into_the_frames(task: Task, ctc: Path, tmp_path: Path) -> None:
    targets = {f"dev-{i}": np.array([2, 2] if i != 7 else [2] * 30) for i in range(10)}
    path = write_sequences(tmp_path / "long.hdf", targets, LABELS)
    with pytest.raises(JobError, match=r"dev-7: found 30 labels and \d+ frames, needed a path"):
        align(task, ctc / "model", tmp_path, targets=path)
    assert not (tmp_path / "alignment.hdf").exists()
    found = align(task, ctc / "model", tmp_path, targets=path, on_no_path="skip")
    with HdfReader(found) as reader:
        assert reader.tags == [f"dev-{i}" for i in range(10) if i != 7]
    assert [json.loads(x)["utt"] for x in (tmp_path / "skipped.jsonl").open()] == ["dev-7"]


def test_targets_that_are_not_those_of_the_model(task: Task, ctc: Path, tmp_path: Path) -> None:
    targets = {f"dev-{i}": np.array([2]) for i in range(10)}
    other = write_sequences(tmp_path / "other.hdf", targets, LABELS + 2)
    message = r"layer 'output': found 6 labels, needed 8: the 7 of the targets and the blank"
    with pytest.raises(JobError, match=message):
        align(task, ctc / "model", tmp_path, targets=other)
    with pytest.raises(JobError, match=r"dev\.hdf: found features of dim 6, needed labels"):
        align(task, ctc / "model", tmp_path, targets=task.features("dev"))
    few = write_sequences(tmp_path / "few.hdf", {"dev-3": np.array([2])}, LABELS)
    with pytest.raises(JobError, match=r"few\.hdf: found no sequence 'dev-0' and 8 others, needed"):
        align(task, ctc / "model", tmp_path, targets=few)


def test_inputs_that_are_not_there_or_empty(task: Task, ctc: Path, tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"none: found no model \(FileNotFoundError"):
        align(task, tmp_path / "none", tmp_path)
    empty = write_sequences(tmp_path / "empty.hdf", {}, 6)
    with pytest.raises(JobError, match=r"empty\.hdf: found no sequences, needed at least one"):
        align(task, ctc / "model", tmp_path, features=empty)
    wide = write_sequences(tmp_path / "wide.hdf", {"dev-0": np.zeros((3, 9))}, 9)
    with pytest.raises(JobError, match=r"wide\.hdf: found features of dim 9, needed .*of dim 6"):
        align(task, ctc / "model", tmp_path, features=wide)


def test_a_layer_that_is_not_there(task: Task, ctc: Path, tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"no layer 'outptu'; did you mean 'output'\?"):
        align(task, ctc / "model", tmp_path, layer="outptu")
