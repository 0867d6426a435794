"""Sequence files as a dataset; what is wrong with them is told before they are read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jobs.job import JobError
from returnn_lite.datasets.dataset import HdfDataset, Stream


def open_dataset(
    streams: Mapping[str, Stream],
    delayed: Mapping[str, tuple[str, int]] | None = None,
    *,
    skip_missing: bool = False,
) -> HdfDataset:
    """Return the dataset of some streams, of which the first says what sequences there are.

    delayed, skip_missing: see HdfDataset. Raises JobError for a file that is none or has no
    sequences, and for a label that a stream cannot take; NetworkError where a stream lacks a
    sequence.
    """
    for key, stream in streams.items():
        if not stream.path.is_file():
            raise JobError(f"{stream.path}: found no such file, needed one for the stream {key!r}")
    try:
        data = HdfDataset(streams, delayed, skip_missing=skip_missing)
    except ValueError as error:
        raise JobError(str(error)) from None
    if not data.tags:
        path = next(iter(streams.values())).path
        raise JobError(f"{path}: found no sequences, needed at least one")
    for key, stream in streams.items():
        _check_appended(stream, data.extern_data[key])
    return data


def statistics_dim(path: Path) -> int:
    """Return of how many features a file has the statistics. Raises JobError where it has none."""
    try:
        values = json.loads(path.read_text("utf-8"))
        mean, std = len(values["mean"]), len(values["std"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        needed = "needed a file of features.statistics"
        raise JobError(f"{path}: found no statistics ({error!r}), {needed}") from None
    if mean != std:
        raise JobError(f"{path}: found {mean} means and {std} deviations, needed as many of both")
    return mean


def kind(stream: Mapping[str, Any]) -> str:
    """Return what a stream of `extern_data` is, for messages."""
    return f"{'labels' if stream.get('sparse') else 'features'} of dim {stream['dim']}"


def _check_appended(stream: Stream, found: Mapping[str, Any]) -> None:
    label = stream.append
    if label is None:
        return
    if not found["sparse"] or not 0 <= label < found["dim"]:
        raise JobError(
            f"{stream.path}: found {kind(found)}, needed labels of which {label} is one, to end "
            "every sequence; set end_label to one, or to none"
        )
