"""Ranges of numbers to draw from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Range:
    """A closed range. Raises ValueError where it is empty."""

    low: int
    high: int

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError(f"found low {self.low}, high {self.high}, needed low <= high")
