"""A CTC training that kills itself: `killed_training.py <task> <folder> <place>`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from synthetic import OPTIONS, Task, train

from jobs.train import model
from returnn_lite.engine import trainer
from returnn_lite.engine.trainer import Trainer


def kill(*_: Any) -> None:
    """End this process as kill -9 does."""
    os.kill(os.getpid(), signal.SIGKILL)


def after(count: int, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function that is killed when its `count`th call has done its work."""
    calls = 0

    def counted(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        result = function(*arguments, **named)
        return kill() if calls == count else result

    return counted


def where(bad: Callable[[Any], bool], function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function that is killed before its work, for some first arguments."""
    return lambda first, *rest: kill() if bad(first) else function(first, *rest)


def arm(place: str) -> None:
    """Let the training be killed at a place."""
    if place == "within an epoch":
        Trainer.save = after(3, Trainer.save)
    elif place == "before the dev set is measured":
        Trainer.evaluate = kill
    elif place == "while a checkpoint is written":
        trainer.save_checkpoint = after(2, trainer.save_checkpoint)
    elif place == "between the renames of a checkpoint":
        Path.rename = where(lambda p: p.name == ".latest.tmp", Path.rename)
    elif place == "before the last epoch is kept":
        is_kept = lambda p: Path(p).name.startswith("epoch.")  # noqa: E731
        trainer.save_checkpoint = where(is_kept, trainer.save_checkpoint)
    elif place == "while the model is written":
        model.shutil.copyfile = kill


if __name__ == "__main__":
    task, folder, where_ = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    arm(where_)
    train(Task(task), folder, options=OPTIONS, checkpoint_seconds=0)
