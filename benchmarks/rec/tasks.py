"""What the contestants have to do: networks, data, and parameters, equal for all of them."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.rec import networks
from benchmarks.rec.networks import Net

INPUTS = 40
LABELS = 1030
RATE = 1e-3  # of plain gradient descent


@dataclass(frozen=True, kw_only=True)
class Task:
    """A training step, or a search.

    nets: by variant, "" the usual one; ours, RETURNN's and PyTorch's. frames, labels: length of the
    longest input and target. ragged: whether others are shorter. bar: how often a turn of ours has
    to go into that of `against`, or else of RETURNN.
    """

    nets: Mapping[str, Callable[[], Net]]
    batch: int
    frames: int
    inputs: int = INPUTS
    labels: int = 0
    ragged: bool = True
    search: bool = False
    beam: int = 1
    target: str = "classes"
    classes: int = LABELS
    pytorch: str = ""
    bar: float = 0.0
    against: str = ""

    def streams(self) -> dict[str, Any]:
        """Return extern_data."""
        return {"data": {"dim": self.inputs}, self.target: {"dim": self.classes, "sparse": True}}

    def data(self) -> dict[str, tuple[Any, Any]]:
        """Return {stream: (values, lengths)}; lengths are multiples of the encoder's pooling."""
        rng = np.random.default_rng(0)
        lengths = _lengths(self.batch, self.frames, networks.POOL, ragged=self.ragged)
        x = rng.standard_normal((self.batch, self.frames, self.inputs), np.float32)
        found = {"data": (x, lengths)}
        if not self.search:
            y = rng.integers(1, self.classes, (self.batch, self.labels), np.int32)
            found[self.target] = y, _lengths(self.batch, self.labels, 1, ragged=self.ragged)
        return found


def _lengths(batch: int, longest: int, step: int, *, ragged: bool) -> Any:
    """Return int32 [batch]: lengths from the longest down to, if ragged, two thirds of it."""
    shares = np.linspace(1.0, 2 / 3, batch) if batch > 1 and ragged else np.ones(batch)
    return (longest * shares // step * step).astype(np.int32)


def parameters(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Return parameters that depend on their names alone.

    Distributions of labels have some entropy, and a transducer emits a label in one of some frames,
    as after training; nothing ends a search early.
    """
    found = {}
    for path, shape in shapes.items():
        name = path.removeprefix("output/rec/")
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        if len(shape) < 2:
            values = np.ones(shape) if name.endswith("scale") else np.zeros(shape)
        else:
            values = rng.uniform(-1, 1, shape) * (6 / (shape[0] + shape[1])) ** 0.5
        values *= {"output_prob/W": 12, "label_log_prob/W": 40}.get(name, 1)
        if name == "output_prob/b":
            values[0] = -100
        if name == "emit_prob0/b":
            values -= 1
        found[path] = values.astype(np.float32)
    return found


def attention(
    batch: int,
    *,
    beam: int = 12,
    scale: int = 1,
    steps: int = 30,
    classes: int = LABELS,
    alone: bool = False,
) -> Task:
    """Return the search of the attention model; alone: on outputs of an encoder, without it."""
    net = networks.attention
    return Task(
        nets={"": lambda: net(scale=scale, beam=beam, steps=steps, alone=alone)},
        batch=batch,
        **_input(alone),
        labels=steps,
        search=True,
        beam=beam,
        classes=classes,
        pytorch="attention",
        bar=3.0,
    )


def _input(alone: bool) -> dict[str, int]:
    return {"frames": 40, "inputs": 2048} if alone else {"frames": 160}


def _transducer(batch: int, *, beam: int = 12, scale: int = 1, alone: bool = False) -> Task:
    labels = LABELS
    net = networks.extended_transducer
    return Task(
        nets={"": lambda: net(scale=scale, labels=labels, beam=beam, alone=alone)},
        batch=batch,
        **_input(alone),
        ragged=False,  # RETURNN goes on behind the end of a sequence
        search=True,
        beam=beam,
        target="alignment",
        classes=labels + 1,
        pytorch="transducer",
        bar=3.0,
    )


def _encoder_decoder() -> Task:
    net = networks.encoder_decoder
    return Task(
        nets={"": lambda: net(beam=8), "in_loop": lambda: net(beam=8, optimise=False)},
        batch=20,
        frames=60,
        labels=60,
        classes=100,
        pytorch="encoder_decoder",
        against="ours_in_loop",
        bar=2.5,
    )


def _transformer() -> Task:
    def net(looped: bool) -> Net:
        return networks.transformer(blocks=3, dim=256, heads=4, looped=looped)

    return Task(
        nets={"": lambda: net(True), "no_rec_layer": lambda: net(False)},
        batch=16,
        frames=60,
        labels=40,
        pytorch="transformer",
        against="ours_no_rec_layer",
        bar=1 / 1.1,
    )


TASKS = {
    "encoder-decoder, training step": _encoder_decoder(),
    "Transformer, training step": _transformer(),
    "attention, batch 1": attention(1),
    "attention, batch 8": attention(8),
    "attention, a quarter of the units, batch 8": attention(8, scale=4),
    "attention, search alone, batch 1": attention(1, alone=True),
    "attention, search alone, batch 8": attention(8, alone=True),
    "transducer, batch 1": _transducer(1),
    "transducer, batch 8": _transducer(8),
    "transducer, a quarter of the units, batch 8": _transducer(8, scale=4),
    "transducer, search alone, batch 1": _transducer(1, alone=True),
    "transducer, search alone, batch 8": _transducer(8, alone=True),
}
