"""What the tests of training, alignment and search share; its folder holds their helper module."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from synthetic import OPTIONS, Task, make_task, train

# Before TensorFlow is imported: the tests' tensors are small.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    """The synthetic task: features, targets, manifests and units."""
    return make_task(tmp_path_factory.mktemp("task"))


@pytest.fixture(scope="session")
def ctc(task: Task, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a stage that trained a CTC model on the task."""
    folder = tmp_path_factory.mktemp("ctc")
    train(task, folder, options=OPTIONS)
    return folder
