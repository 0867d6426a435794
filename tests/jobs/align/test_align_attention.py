"""Attention weights of a model whose labels are given."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic import DIM, LABELS, Task, rows, train

from jobs.align import attention
from jobs.job import Expected, JobError
from jobs.units.units import Units
from returnn_lite.hdf import HdfReader

DECODER = {
    "embed": {"class": "linear", "activation": "tanh", "n_out": 6, "from": "prev:output"},
    "energy": {
        "class": "dot",
        "from": ["base:encoder", "embed"],
        "red1": "F",
        "red2": "F",
        "var1": "T",
        "var2": "T?",
    },
    "weights": {"class": "softmax_over_spatial", "from": "energy"},
    "context": {"class": "generic_attention", "weights": "weights", "base": "base:encoder"},
    "p": {"class": "softmax", "from": ["embed", "context"], "target": "classes", "loss": "ce"},
    "output": {"class": "choice", "from": "p", "target": "classes", "beam_size": 1},
}
NETWORK: dict[str, Any] = {
    "encoder": {"class": "linear", "activation": "tanh", "n_out": 6, "from": "data"},
    "output": {"class": "rec", "from": [], "target": "classes", "unit": DECODER},
}


@pytest.fixture(scope="module")
def model(task: Task, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained model with attention."""
    return train(task, tmp_path_factory.mktemp("attention"), network=NETWORK).model


def weights_of(task: Task, model: Path, folder: Path, **params: Any) -> list[dict[str, Any]]:
    """Run the job on the dev set; return the rows that it writes."""
    attention.run(
        attention.Inputs(
            model=model,
            features=task.features("dev"),
            targets=task.targets("dev"),
            units=task.units,
        ),
        attention.Outputs(weights=folder / "attention.jsonl"),
        attention.Params(**{"layer": "output/weights", **params}),
        logging.getLogger("job"),
    )
    return rows(folder / "attention.jsonl")


def test_each_label_has_weights_over_all_frames(task: Task, model: Path, tmp_path: Path) -> None:
    found = weights_of(task, model, tmp_path)
    assert [row["utt"] for row in found] == ["dev-0", "dev-2", "dev-4", "dev-6"]
    units = Units.load(task.units)
    with HdfReader(task.features("dev")) as features, HdfReader(task.targets("dev")) as targets:
        for row in found:
            index = features.index(row["utt"])
            labels = targets.read(targets.index(row["utt"])).tolist()
            assert row["labels"] == [units.labels[i] for i in labels]
            shape = np.shape(row["weights"])
            assert shape == (1, len(labels), len(features.read(index)))
            np.testing.assert_allclose(np.sum(row["weights"], axis=-1), 1.0, atol=0.01)


def test_heads_have_weights_of_their_own(task: Task, tmp_path: Path) -> None:
    query = {"class": "split_dims", "axis": "F", "dims": (2, 3)}
    heads = {
        "encoder": NETWORK["encoder"],
        "keys": {**query, "from": "encoder"},
        "output": {
            **NETWORK["output"],
            "unit": {
                **DECODER,
                "query": {**query, "from": "embed"},
                "energy": {**DECODER["energy"], "from": ["base:keys", "query"]},
                "context": {**DECODER["context"], "base": "base:keys"},
                "merged": {"class": "merge_dims", "axes": "static", "from": "context"},
                "p": {**DECODER["p"], "from": ["embed", "merged"]},
            },
        },
    }
    model = train(task, tmp_path, network=heads).model
    (row,) = weights_of(task, model, tmp_path, utterances=1)
    assert np.shape(row["weights"])[0] == 2
    np.testing.assert_allclose(np.sum(row["weights"], axis=-1), 1.0, atol=0.01)
    first, second = row["weights"]
    assert not np.allclose(first, second)


def test_a_layer_without_weights(task: Task, model: Path, tmp_path: Path) -> None:
    text = "layer 'encoder': found .*, needed weights with an axis of the labels and one of frames"
    with pytest.raises(JobError, match=text):
        weights_of(task, model, tmp_path, layer="encoder")
    streams = {"data": {"dim": DIM}, "classes": {"dim": LABELS, "sparse": True}}
    known = {"model": Expected(model={"network": NETWORK, "config": {}, "extern_data": streams})}
    assert attention.expected(attention.Params(layer="output/weights"), known) == {}
    with pytest.raises(JobError, match=text):
        attention.expected(attention.Params(layer="encoder"), known)


def test_a_number_of_utterances_that_is_none() -> None:
    with pytest.raises(ValueError, match="found utterances 0, needed 1 or more"):
        attention.Params(layer="x", utterances=0)
