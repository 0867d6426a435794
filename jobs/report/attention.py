"""Attention weights as pictures: which input each output label looks at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jobs.report.evidence import Attention


@dataclass(frozen=True)
class Map:
    """The weights of an utterance; picture: a data URI, a row for each label."""

    stage: str
    utt: str
    labels: Sequence[str]
    frames: int
    picture: str


def maps(attention: Attention) -> list[Map]:
    """Return the maps of a stage; none before it is done."""
    return []
