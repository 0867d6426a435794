"""Pipeline 3 of the tutorial: full-sum training, its alignments, and training on these (M117)."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from synthetic import LABELS, OPTIONS, Task, train

from jobs.align import search as align
from recipes.networks.full_sum import full_sum
from recipes.networks.transducer import transducer
from returnn_lite.hdf import HdfReader

ENCODER: dict[str, Any] = {
    "lstm": {"class": "rec", "unit": "nativelstm2", "n_out": 10, "from": "data"},
    "encoder": {"class": "copy", "from": "lstm"},
}
SIZES: dict[str, Any] = {"labels": LABELS, "embed": 4, "slow": 6, "readout": 8, "dropout": 0.0}


def last_scores(scores: Path) -> dict[str, float]:
    """Return those of the last epoch."""
    found: dict[str, float] = json.loads(scores.read_text())[-1]
    return found


def test_from_all_alignments_to_the_best_ones(task: Task, tmp_path: Path) -> None:
    net = full_sum(ENCODER, **SIZES)
    trained = train(task, tmp_path / "full_sum", network=net, options=OPTIONS)
    assert last_scores(trained.scores)["dev_loss"] < 0.5  # about 4 at first
    found = {}
    for name in ("train", "dev"):
        features, targets = task.features(name), task.targets(name)
        inputs = align.Inputs(model=trained.model, features=features, targets=targets)
        outputs = align.Outputs(alignment=tmp_path / name, skipped=tmp_path / f"{name}.jsonl")
        params = align.Params(network=net, layer="alignment")
        align.run(inputs, outputs, params, logging.getLogger("job"))
        with HdfReader(outputs.alignment) as paths, HdfReader(targets) as labels:
            assert (paths.tags, paths.dim) == (labels.tags, LABELS + 1)
            for i in range(len(paths.tags)):
                path = paths.read(i)
                assert path[path != LABELS].tolist() == labels.read(i).tolist()
        found[f"{name}_targets"] = outputs.alignment
    net = transducer(ENCODER, **SIZES, fast=6, beam_size=1)
    others = {**found, "init": trained.model}
    params = {"network": net, "target": "alignment", "options": OPTIONS}
    again = train(task, tmp_path / "viterbi", others, **params)
    assert last_scores(again.scores)["dev_error"] < 0.1
