"""A job's work in shards, each a process of its own, and their files put together again.

A shard is a run of utterances or batches as the whole job would go through them, so that what is
put together has the bytes that the whole job would have written.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from jobs.files import written
from jobs.job import JobError
from jobs.skipped import Skipped

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Shard:
    """Which part of its work a job does. index: from 0. count: of all shards; 1 is the whole."""

    index: int = 0
    count: int = 1

    @property
    def whole(self) -> bool:
        """Whether it is all of the work."""
        return self.count == 1

    def of(self, items: Sequence[T], weights: Sequence[float]) -> list[T]:
        """Return the items of this shard, in order; all shards are of about the same weight."""
        weights = weights if sum(weights) > 0 else [1.0] * len(items)
        total, before, found = sum(weights), 0.0, []
        for item, weight in zip(items, weights, strict=True):
            middle = (before + weight / 2) / total
            if min(int(middle * self.count), self.count - 1) == self.index:
                found.append(item)
            before += weight
        return found


WHOLE = Shard()


def merge_sequences(parts: Sequence[Path], path: Path, tags: Iterable[str] | None = None) -> int:
    """Write the sequences of HDF5 files into one; return their number.

    tags: all that may be there, in the order to write; else as they come.
    Raises JobError where two files do not fit together.
    """
    from returnn_lite.hdf import HdfReader, HdfWriter

    with contextlib.ExitStack() as stack:
        readers = [stack.enter_context(HdfReader(part)) for part in parts]
        kinds = {(reader.dim, reader.sparse) for reader in readers}
        if len(kinds) != 1:
            shown = ", ".join(str(part) for part in parts)
            raise JobError(f"{shown}: found {len(kinds)} kinds of sequences, needed one; run again")
        dim, sparse = kinds.pop()
        places = {tag: (r, i) for r in readers for i, tag in enumerate(r.tags)}
        order = places if tags is None else [tag for tag in tags if tag in places]
        tmp = stack.enter_context(written(path))
        writer = stack.enter_context(HdfWriter(tmp, dim, sparse=sparse))
        for tag in order:
            reader, index = places[tag]
            writer.write(tag, reader.read(index))
    return len(places)


def merge_lines(parts: Sequence[Path], path: Path, tags: Sequence[str]) -> None:
    """Write JSON lines with a key "utt" into one file. tags: of all lines, in the order to write.

    Raises JobError where a line is missing.
    """
    found: dict[str, str] = {}
    for part in parts:
        with part.open(encoding="utf-8") as lines:
            found.update((json.loads(line)["utt"], line) for line in lines)
    if missing := [tag for tag in tags if tag not in found]:
        raise JobError(f"{parts[0]} and {len(parts) - 1} others: found no {missing[0]!r}")
    with written(path) as tmp, tmp.open("w", encoding="utf-8") as out:
        out.writelines(found[tag] for tag in tags)


def merge_skipped(
    parts: Sequence[Path], path: Path, good: int, skipped: Skipped, log: logging.Logger
) -> None:
    """Write the lists of skipped utterances into one; good: number of the others.

    Raises JobError where all utterances are bad.
    """
    for part in parts:
        with part.open(encoding="utf-8") as lines:
            rows: list[dict[str, Any]] = [json.loads(line) for line in lines]
        skipped.reasons.update((row["utt"], row["reason"]) for row in rows)
    skipped.finish(path, good + len(skipped.reasons), log)
