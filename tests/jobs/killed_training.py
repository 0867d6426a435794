"""A CTC training that is killed at one place after another and each time started again.

`killed_training.py <task> <folder> <place>...` prints the signals that ended it.
"""

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


def main(task: Task, folder: Path, places: list[str]) -> None:
    """Start the training once for each place, in a process that TensorFlow is loaded in."""
    import tensorflow  # noqa: F401 - so that not each process takes seconds for it

    for place in places:
        process = os.fork()
        if not process:
            arm(place)
            train(task, folder, options=OPTIONS, checkpoint_seconds=0)
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), place, flush=True)  # noqa: T201


if __name__ == "__main__":
    main(Task(Path(sys.argv[1])), Path(sys.argv[2]), sys.argv[3:])
