"""Attention weights as pictures: which frames each label looks at."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jobs.job import JobError
from jobs.report.evidence import Attention
from jobs.report.media import picture_uri


@dataclass(frozen=True)
class Map:
    """The weights of an utterance by one head; picture: a data URI, a row for each label."""

    stage: str
    utt: str
    head: int
    labels: Sequence[str]
    frames: int
    picture: str


def maps(attention: Attention) -> list[Map]:
    """Return the maps of a stage; none before it is done."""
    found = []
    if not attention.weights.is_file():
        return []
    # At "\n" only: labels may have other characters that end lines of texts.
    for number, line in enumerate(io.StringIO(attention.weights.read_text("utf-8")), 1):
        try:
            row = json.loads(line)
            weights, labels = np.array(row["weights"], float), [*map(str, row["labels"])]
            _, rows, frames = weights.shape
            if rows != len(labels):
                raise ValueError(f"{rows} rows for {len(labels)} labels")
            utt = str(row["utt"])
        except (ValueError, KeyError, TypeError) as error:
            raise JobError(
                f"{attention.weights}:{number}: found no weights ({error!r}), needed a line of"
                " align.attention"
            ) from None
        found += [
            Map(attention.stage, utt, head, labels, frames, picture_uri(one))
            for head, one in enumerate(weights, 1)
        ]
    return found
