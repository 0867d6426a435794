"""A job done at once, and in shards that are put together."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from jobs.job import outputs_of
from jobs.shards import Shard

LOG = logging.getLogger("job")


def outputs_in(job: Any, folder: Path) -> Any:
    """Return a job's outputs in a new folder."""
    folder.mkdir()
    return job.Outputs(**{k: folder / path for k, path in outputs_of(job).items()})


def done_twice(job: Any, inputs: Any, params: Any, folder: Path, count: int) -> tuple[Any, Any]:
    """Return the outputs of a job that was done at once, and in shards."""
    whole, merged = outputs_in(job, folder / "whole"), outputs_in(job, folder / "merged")
    job.run(inputs, whole, params, LOG)
    parts = [outputs_in(job, folder / f"shard{i}") for i in range(count)]
    for index, part in enumerate(parts):
        job.run(inputs, part, params, LOG, Shard(index=index, count=count))
    job.merge(inputs, parts, merged, params, LOG)
    return whole, merged
