"""What the engine finds wrong, told as every job tells it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from jobs.job import JobError
from returnn_lite.errors import NetworkError


@contextlib.contextmanager
def engine_errors() -> Iterator[None]:
    """Turn NetworkError into JobError, in a `with`, or as `@engine_errors()` on a job's `run`."""
    try:
        yield
    except NetworkError as error:
        raise JobError(str(error)) from error
