"""What the contestants have to do: networks, data, and parameters, equal for all of them."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.networks import networks
from benchmarks.rec import networks as decoders
from benchmarks.rec.networks import Net

RATE = 1e-4  # of Adam


@dataclass(frozen=True, kw_only=True)
class Task:
    """A training step, or a forward pass.

    frames: of the longest input; if ragged, others are shorter, down to two thirds. labels: of the
    longest target; 0: one for each frame. decodes: the network reads the target, so that a forward
    pass gives the loss, as in cross-validation; that of others gives the output.
    bar: how many times as long as ours RETURNN has to take.
    """

    net: Callable[[], Net]
    batch: int
    frames: int
    inputs: int
    labels: int
    classes: int
    ragged: bool = True
    decodes: bool = False
    train: bool = True
    bar: float = 1.5

    def streams(self) -> dict[str, Any]:
        """Return extern_data."""
        return {"data": {"dim": self.inputs}, "classes": {"dim": self.classes, "sparse": True}}

    def data(self) -> dict[str, tuple[Any, Any]]:
        """Return {stream: (values, lengths)} of what is read."""
        rng = np.random.default_rng(0)
        lengths = _lengths(self.batch, self.frames, decoders.POOL, ragged=self.ragged)
        x = rng.standard_normal((self.batch, self.frames, self.inputs), np.float32)
        size = (self.batch, self.labels or self.frames)
        y = rng.integers(1, self.classes, size, np.int32)
        targets = _lengths(self.batch, self.labels, 1, ragged=True) if self.labels else lengths
        found = {"data": (x, lengths), "classes": (y, targets)}
        return found if self.gives_loss else {"data": found["data"]}

    @property
    def gives_loss(self) -> bool:
        """Whether a turn gives the loss, rather than the output."""
        return self.train or self.decodes


def _lengths(batch: int, longest: int, step: int, *, ragged: bool) -> Any:
    """Return int32 [batch]: lengths from the longest down to, if ragged, two thirds of it."""
    shares = np.linspace(1.0, 2 / 3 if ragged else 1.0, batch)
    return (longest * shares // step * step).astype(np.int32)


def parameters(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Return parameters that depend on their names alone."""
    found = {}
    for path, shape in shapes.items():
        name = path.removeprefix("output/rec/")
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        if name.endswith(("scale", "gamma", "variance")):
            values = np.ones(shape)
        elif len(shape) < 2 or name.endswith(("mean", "beta")):
            values = np.zeros(shape)
        else:
            scale = (3 / math.prod(shape[:-1])) ** 0.5
            values = rng.uniform(-1, 1, shape) * scale
        found[path] = values.astype(np.float32)
    return found


def _blstm() -> Net:
    return networks.blstm_ctc(depth=6, units=500)


def _attention() -> Net:
    return decoders.attention(scale=1, beam=12, steps=40)


def _transformer() -> Net:
    return decoders.transformer(blocks=6, dim=512, heads=8, looped=True)


def _conformer() -> Net:
    return networks.conformer(blocks=6, dim=256, heads=4, filters=32, window=31)


def _resnet() -> Net:
    return networks.resnet(stages=4, filters=32)


_DECODER: dict[str, Any] = {"classes": 1030, "labels": 40, "decodes": True}
# In RETURNN convolutions and means over a batch see what lies behind the ends of its sequences.
_EVEN: dict[str, Any] = {"classes": 1000, "ragged": False}
_TRAINING = {
    "BLSTM-6 CTC": Task(net=_blstm, batch=12, frames=160, inputs=40, labels=30, classes=1000),
    "LSTM attention": Task(**_DECODER, net=_attention, batch=12, frames=160, inputs=40),
    "Transformer": Task(**_DECODER, net=_transformer, batch=12, frames=80, inputs=40),
    "Conformer": Task(**_EVEN, net=_conformer, batch=12, frames=240, inputs=80, labels=30),
    "ResNet": Task(**_EVEN, net=_resnet, batch=6, frames=80, inputs=40, labels=0),
}
TASKS = {f"{k}, training step": task for k, task in _TRAINING.items()} | {
    f"{k}, forward": replace(task, train=False) for k, task in _TRAINING.items()
}


def largest() -> Net:
    """Return the largest network of the tutorial: a Transformer of six blocks each."""
    return _transformer()
