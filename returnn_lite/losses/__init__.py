"""Losses: attached to layers, one value for every sequence, reduced by who asked for them."""

from returnn_lite.losses.attach import (
    applies,
    check,
    compute,
    keep,
    objective,
    open_loss,
    penalty,
    summed,
    target_of,
    wanted,
)
from returnn_lite.losses.base import Criterion, Given, Loss, computes_loss, find

__all__ = [
    "Criterion",
    "Given",
    "Loss",
    "applies",
    "check",
    "compute",
    "computes_loss",
    "find",
    "keep",
    "objective",
    "open_loss",
    "penalty",
    "summed",
    "target_of",
    "wanted",
]
