"""Best-path search with a CTC model as a job."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic import DIM, Task, rows, write_sequences

from jobs.corpus.manifest import read_manifest
from jobs.job import JobError
from jobs.search import greedy as job
from jobs.train.model import Model
from jobs.units import train as units_job
from returnn_lite.network import Network


def search(task: Task, model: Path, folder: Path, layer: str = "output", **others: Any) -> Any:
    """Search the dev set of the task, or what differs."""
    given = {
        "model": model,
        "features": task.features("dev"),
        "units": task.units,
        "corpus": task.corpus("dev"),
    }
    outputs = job.Outputs(hypotheses=folder / "hypotheses.jsonl", search=folder / "search.json")
    inputs, params = job.Inputs(**{**given, **others}), job.Params(layer=layer)
    job.run(inputs, outputs, params, logging.getLogger("job"))
    return outputs


def test_it_reads_what_is_heard(task: Task, ctc: Path, tmp_path: Path) -> None:
    outputs = search(task, ctc / "model", tmp_path)
    found, corpus = rows(outputs.hypotheses), read_manifest(task.corpus("dev"))
    assert [row["utt"] for row in found] == [u.utt for u in corpus]
    right = [row["text"] == u.text for row, u in zip(found, corpus, strict=True)]
    assert sum(right) >= 9
    for row in found:
        assert row["score"] < 0 and set(row["labels"]) <= {2, 3, 4}
        assert row["nbest"] == [{k: row[k] for k in ("text", "score", "labels")}]
    speed = json.loads(outputs.search.read_text())
    assert speed["audio_seconds"] == pytest.approx(sum(u.duration for u in corpus))
    assert speed["real_time_factor"] == pytest.approx(speed["seconds"] / speed["audio_seconds"])


def test_features_are_normalised_as_in_training(task: Task, ctc: Path, tmp_path: Path) -> None:
    mean = json.loads(task.statistics.read_text())["mean"]
    middle = write_sequences(tmp_path / "mean.hdf", {"dev-0": np.tile(mean, (9, 1))}, DIM)
    found = rows(search(task, ctc / "model", tmp_path, features=middle).hypotheses)
    model = Model.load(ctc / "model")
    network = Network(model.network, extern_data=model.extern_data, outputs=["output"])
    network.load(model.checkpoint)
    probs = network.run({"data": (np.zeros((1, 9, DIM)), [9])})["output"].canonical()
    assert found[0]["score"] == pytest.approx(np.log(probs.max(-1)).sum(), rel=1e-4)


def test_units_that_are_not_those_of_the_model(task: Task, ctc: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("abcd ef")
    outputs = units_job.Outputs(units=tmp_path / "units")
    inputs = units_job.Inputs(text=(tmp_path / "text.txt",))
    params = units_job.Params(kind="char", vocab_size=9)
    units_job.run(inputs, outputs, params, logging.getLogger("job"))
    message = r"layer 'output' of .*model: found 6 labels, needed 9 units, and possibly a blank"
    with pytest.raises(JobError, match=message):
        search(task, ctc / "model", tmp_path, units=outputs.units)


def test_what_is_wrong_is_told_before_the_search(task: Task, ctc: Path, tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"none: found no model \(FileNotFoundError"):
        search(task, tmp_path / "none", tmp_path)
    with pytest.raises(JobError, match=r"no layer 'outptu'; did you mean 'output'\?"):
        search(task, ctc / "model", tmp_path, layer="outptu")
    with pytest.raises(JobError, match=r"found 10 labels, needed 5 units, and possibly a blank"):
        search(task, ctc / "model", tmp_path, layer="lstm")
    wide = write_sequences(tmp_path / "wide.hdf", {"dev-0": np.zeros((3, 9))}, 9)
    with pytest.raises(JobError, match=r"wide\.hdf: found features of dim 9, needed .*of dim 6"):
        search(task, ctc / "model", tmp_path, features=wide)
    empty = write_sequences(tmp_path / "empty.hdf", {}, DIM)
    with pytest.raises(JobError, match=r"empty\.hdf: found no sequences, needed at least one"):
        search(task, ctc / "model", tmp_path, features=empty)
    with pytest.raises(JobError, match=r"train\.jsonl: found no utterance 'dev-0' and 9 others"):
        search(task, ctc / "model", tmp_path, corpus=task.corpus("train"))
    assert not list(tmp_path.glob("hypotheses*"))
