"""How to train; checked where a recipe is read, so this needs nothing but the standard library."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise


@dataclass(frozen=True, kw_only=True)
class AdamOptions:
    """Adam (Kingma and Ba, 2015, algorithm 1). Raises ValueError for values out of range."""

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"found {name} {getattr(self, name)}, needed 0 to below 1")
        if self.epsilon <= 0:
            raise ValueError(f"found epsilon {self.epsilon}, needed more than 0")


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """How to train. Raises ValueError for values out of range.

    epochs: passes over the data. batch_frames, batch_sequences: limits of a batch, padding
    included. learning_rate: multiplied by the schedule: points (share of the training, factor),
    linear between. clip: limit of the gradients' global norm; 0 is none. average: number of last
    epochs whose parameters are averaged at the end. seed: of the order of the data, of dropout and
    of the first parameters.
    """

    epochs: int
    batch_frames: int = 10000
    batch_sequences: int = 64
    learning_rate: float = 1e-3
    schedule: tuple[tuple[float, ...], ...] = ((0.0, 0.1), (0.1, 1.0), (0.6, 1.0), (1.0, 0.02))
    adam: AdamOptions = field(default_factory=AdamOptions)
    clip: float = 5.0
    average: int = 1
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_frames", "batch_sequences", "average"):
            if getattr(self, name) < 1:
                raise ValueError(f"found {name} {getattr(self, name)}, needed 1 or more")
        if self.average > self.epochs:
            raise ValueError(f"found average {self.average}, needed at most epochs, {self.epochs}")
        for name in ("learning_rate", "clip"):
            if getattr(self, name) < 0:
                raise ValueError(f"found {name} {getattr(self, name)}, needed 0 or more")
        check_schedule(self.schedule)


def check_schedule(schedule: tuple[tuple[float, ...], ...]) -> None:
    """Raise ValueError unless shares rise within [0, 1] and factors are not negative."""
    if any(len(point) != 2 for point in schedule):
        raise ValueError(f"schedule: found {schedule}, needed pairs of share and factor")
    shares = [s for s, _ in schedule]
    rising = all(a < b for a, b in pairwise(shares))
    if not schedule or not rising or shares[0] < 0 or shares[-1] > 1:
        raise ValueError(f"schedule: found shares {shares}, needed rising ones within 0 and 1")
    if any(f < 0 for _, f in schedule):
        raise ValueError(f"schedule: found factors {[f for _, f in schedule]}, needed none below 0")
