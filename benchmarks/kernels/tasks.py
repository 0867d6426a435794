"""The tasks of all files here.

A file has the tasks of an operation, `TASKS`: name -> an object with a method for each contestant
that can do it, `ours` among them, which takes the number of threads and returns a function that
does the task once. Names that begin with `gpu_` are contestants on a GPU.
"""

from __future__ import annotations

import importlib
from typing import Any

FILES = ("chunk", "conv", "ctc", "depthwise", "edit", "energies", "fsa", "lstm", "lstm2d")
FILES += ("linear", "passes", "pool", "self_attention", "training_step", "transducer")
NOT_CONTESTANTS = ("arrays", "weights")


def tasks() -> dict[str, Any]:
    """Return the tasks by name."""
    modules = [importlib.import_module(f"benchmarks.kernels.{name}") for name in FILES]
    return {name: task for module in modules for name, task in module.TASKS.items()}


def contestants(task: Any, gpu: bool = False) -> list[str]:
    """Return the names of those that can do a task, ours first."""
    names = [n for n in dir(task) if not n.startswith("_") and callable(getattr(task, n))]
    names = [n for n in names if n not in NOT_CONTESTANTS and n.startswith("gpu_") == gpu]
    return sorted(names, key=lambda n: "ours" not in n)
