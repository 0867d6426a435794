"""A small task of speech recognition, made by a formula: letters that are heard one by one."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jobs.corpus.manifest import Utterance, write_manifest
from jobs.features import statistics
from jobs.train import network
from jobs.train.model import save_model
from jobs.typed_json import from_json
from jobs.units import train as units
from jobs.units.units import Units
from returnn_lite.hdf import HdfWriter

Array = np.ndarray[Any, np.dtype[Any]]
WORDS = ("a", "b", "ab", "ba", "aba")
LABELS = 5  # </s>, <unk>, a, b, and the boundary between words
DIM = 6
CTC = {
    "lstm": {"class": "rec", "unit": "nativelstm2", "n_out": 10, "from": "data", "dropout": 0.1},
    "output": {"class": "softmax", "from": "lstm", "target": "classes", "loss": "ctc"},
}
OPTIONS = {"epochs": 10, "batch_frames": 160, "learning_rate": 0.05}


@dataclass(frozen=True)
class Task:
    """The files of the task. For the sets train and dev: features, targets, and corpus."""

    folder: Path

    @property
    def units(self) -> Path:
        return self.folder / "units"

    @property
    def statistics(self) -> Path:
        return self.folder / "statistics.json"

    def features(self, name: str) -> Path:
        return self.folder / f"{name}.hdf"

    def targets(self, name: str) -> Path:
        return self.folder / f"{name}_targets.hdf"

    def corpus(self, name: str) -> Path:
        return self.folder / f"{name}.jsonl"

    def train_inputs(self, **others: Path | None) -> network.Inputs:
        """Return the inputs of a CTC training."""
        given: dict[str, Any] = {
            "train": self.features("train"),
            "dev": self.features("dev"),
            "train_targets": self.targets("train"),
            "dev_targets": self.targets("dev"),
            "statistics": self.statistics,
            "init": None,
        }
        return network.Inputs(**{**given, **others})


def make_task(folder: Path) -> Task:
    """Make all files of the task."""
    task, log = Task(folder), logging.getLogger("task")
    (folder / "text.txt").write_text("\n".join([*WORDS, "ab ba"]), "utf-8")
    units.run(
        units.Inputs(text=(folder / "text.txt",)),
        units.Outputs(units=task.units),
        units.Params(kind="char", vocab_size=LABELS),
        log,
    )
    encode = Units.load(task.units).encode
    for seed, (name, number) in enumerate({"train": 48, "dev": 10}.items()):
        rng = np.random.default_rng(seed)
        texts = {
            f"{name}-{i}": " ".join(rng.choice(WORDS, size=rng.integers(1, 3)))
            for i in range(number)
        }
        sounds = {utt: sound(encode(text), rng) for utt, text in texts.items()}
        write_sequences(task.features(name), sounds, DIM)
        labels = {utt: np.array(encode(text)) for utt, text in texts.items()}
        write_sequences(task.targets(name), labels, LABELS)
        write_corpus(task.corpus(name), texts, {u: len(x) * 0.01 for u, x in sounds.items()})
    statistics.run(
        statistics.Inputs(features=task.features("train")),
        statistics.Outputs(statistics=task.statistics),
        statistics.Params(),
        log,
    )
    return task


def sound(labels: Sequence[int], rng: np.random.Generator) -> Array:
    """Return features of labels, 2 or 3 frames each with silence between: float32 [time, DIM]."""
    frames = [0]
    for label in labels:
        frames += [label] * int(rng.integers(2, 4)) + [0]
    x = np.eye(DIM)[frames] + 0.1 * rng.normal(size=(len(frames), DIM))
    return (40.0 * x - 7.0).astype(np.float32)


def write_sequences(path: Path, sequences: Mapping[str, Array], dim: int) -> Path:
    """Write features, or labels where arrays are of one axis."""
    sparse = any(x.ndim == 1 for x in sequences.values())
    with HdfWriter(path, dim, sparse=sparse) as out:
        for utt, x in sequences.items():
            out.write(utt, x.astype(np.int32 if sparse else np.float32))
    return path


def write_corpus(path: Path, texts: Mapping[str, str], seconds: Mapping[str, float]) -> Path:
    """Write a manifest of recordings that are not there."""
    write_manifest(
        path,
        [
            Utterance(
                utt=utt,
                audio=path.parent / "none.wav",
                text=text,
                speaker="s",
                duration=seconds[utt],
            )
            for utt, text in texts.items()
        ],
    )
    return path


def train(
    task: Task,
    folder: Path,
    others: Mapping[str, Path | None] | None = None,
    log: logging.Logger | None = None,
    **params: Any,
) -> network.Outputs:
    """Run train.network on the task in the folder of a stage, for one epoch.

    others: inputs that differ from those of the task. params: parameters that differ.
    """
    outputs = network.Outputs(model=folder / "model", scores=folder / "scores.json")
    given = {"network": CTC, "options": {"epochs": 1}, **params}
    inputs = task.train_inputs(**(others or {}))
    checked = from_json(network.Params, given, "train.network")
    network.run(inputs, outputs, checked, log or logging.getLogger("job"))
    return outputs


def save_by_hand(
    folder: Path, net: dict[str, Any], streams: Mapping[str, Any], params: Mapping[str, Array]
) -> Path:
    """Write the folder of a model whose parameters are given; those that are not are zero."""
    from returnn_lite.network import Network

    model = Network(net, extern_data=streams)
    zeros = {name: np.zeros(shape) for name, shape in model.param_shapes().items()}
    model.set_params({**zeros, **params})
    save_model(folder, model, streams, None)
    return folder


def rows(path: Path) -> list[dict[str, Any]]:
    """Read JSON lines."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
