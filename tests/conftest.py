"""Fixtures shared by all tests."""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

# Before TensorFlow is imported anywhere: quiet, and no GPU unless a test asks for one.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

# A shell has what runs in its background ignore Ctrl-C; what tests start must not inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# CI repeats the same examples; elsewhere every run looks for others.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("default", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "default")

PROJECT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder with real data; absent data skip a test, but fail it under CI=true."""
    root = Path(os.environ.get("RETURNN_LITE_DATA", PROJECT.parent / "shared" / "data"))
    if not root.is_dir():
        reason = f"no data in {root}: set RETURNN_LITE_DATA to the folder with fsdd and the others"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return root


@pytest.fixture
def log() -> logging.Logger:
    """A logger to give to jobs."""
    return logging.getLogger("test")
