"""Mean and standard deviation of each feature dimension, to normalise with."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path

from jobs.files import written
from jobs.job import JobError, Resources, file

NAME = "features.statistics"
VERSION = 1

STD_FLOOR = 1e-5  # a constant dimension becomes zero by normalising, rather than infinite


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """features: HDF5 sequences of the train set."""

    features: Path


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """statistics: {"frames": int, "mean": [dim floats], "std": [dim floats, at least 1e-5]}."""

    statistics: Path = file("statistics.json")


@dataclass(frozen=True, kw_only=True)
class Params:
    """There are none."""


def resources(params: Params) -> Resources:
    return Resources(mem_mb=500, minutes=60)


def run(inputs: Inputs, outputs: Outputs, params: Params, log: logging.Logger) -> None:
    """Compute the statistics over all frames, accumulated in float64.

    The variance is the mean square distance from the mean (divided by the number of frames),
    merged sequence by sequence, so that large means cost no digits (Chan et al. 1983).
    Raises JobError for labels, and where a value is not finite or there is no frame.
    """
    import numpy as np

    from returnn_lite.hdf import HdfReader

    with HdfReader(inputs.features) as reader:
        if reader.sparse:
            raise JobError(f"{inputs.features}: found labels, needed features")
        frames, mean, squares = 0, np.zeros(reader.dim), np.zeros(reader.dim)
        for i, tag in enumerate(reader.tags):
            x = reader.read(i).astype(np.float64)
            if not np.isfinite(x).all():
                raise JobError(f"{inputs.features}: found a value in {tag!r} that is not finite")
            if not len(x):
                continue
            total = frames + len(x)
            delta = x.mean(0) - mean
            squares += ((x - x.mean(0)) ** 2).sum(0) + delta**2 * (frames * len(x) / total)
            mean += delta * (len(x) / total)
            frames = total
    if not frames:
        raise JobError(f"{inputs.features}: found no frames, needed at least one")
    std = np.maximum(np.sqrt(squares / frames), STD_FLOOR)
    log.info("%d frames, %d of %d dimensions constant", frames, (std <= STD_FLOOR).sum(), len(std))
    with written(outputs.statistics) as tmp:
        result = {"frames": frames, "mean": mean.tolist(), "std": std.tolist()}
        tmp.write_text(json.dumps(result) + "\n", encoding="utf-8")
