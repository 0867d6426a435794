"""What a job says: to its log file, to the terminal, and why it failed."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from jobs.job import JobError

_ROOM = "make room, and run it again"
_GROUP = "let the store's group write (chmod g+ws), or take another store, by store=FOLDER"
REMEDIES = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EROFS: _GROUP,
    errno.EACCES: _GROUP,
    errno.EPERM: _GROUP,
}


@contextlib.contextmanager
def stage_log(folder: Path, name: str, in_workflow: bool) -> Iterator[logging.Logger]:
    """Give the log of a stage: all of it to log.txt, what matters to stderr.

    In a workflow a line on stderr begins with the name of the stage; what libraries and other
    programs write there goes to log.txt; and errors are left to the workflow, which shows
    error.txt.
    """
    file = logging.FileHandler(folder / "log.txt", encoding="utf-8")
    file.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    root, log = logging.getLogger(), logging.getLogger("job")
    log.setLevel(logging.DEBUG)
    with contextlib.ExitStack() as stack:
        stream = stack.enter_context(_diverted(folder / "log.txt")) if in_workflow else sys.stderr
        terminal = logging.StreamHandler(stream)
        terminal.setLevel(logging.INFO)
        terminal.addFilter(lambda record: not getattr(record, "bar", False))
        if in_workflow:
            terminal.setFormatter(logging.Formatter(f"{name.replace('%', '%%')}: %(message)s"))
            terminal.addFilter(lambda record: record.levelno < logging.ERROR)
        logging.captureWarnings(True)
        # A full disk is told once, by the job; not again by each line that the log lacks.
        stack.callback(setattr, logging, "raiseExceptions", logging.raiseExceptions)
        logging.raiseExceptions = False
        stack.callback(logging.captureWarnings, False)
        for handler in (file, terminal):
            root.addHandler(handler)
            stack.callback(root.removeHandler, handler)
        yield log
    file.close()


@contextlib.contextmanager
def _diverted(path: Path) -> Iterator[TextIO]:
    """Let stdout and stderr, C++'s too, go to a file; give the stderr of before."""
    kept = [os.dup(1), os.dup(2)]
    with path.open("a") as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
    try:
        with os.fdopen(kept[1], "w", encoding="utf-8", closefd=False) as stream:
            yield stream
    finally:
        for number, copy in enumerate(kept, 1):
            os.dup2(copy, number)
            os.close(copy)


def message(error: OSError, folder: Path) -> str:
    """Tell in a line why a file of a stage cannot be written, and what helps."""
    place = Path(error.filename or folder)
    reason = error.strerror or os.strerror(error.errno or 0)
    owner = ""
    if error.errno in (errno.EACCES, errno.EPERM):
        with contextlib.suppress(OSError, KeyError):
            owner = f", it belongs to {folder.owner()}"
    return f"{place}: {reason}{owner}; {REMEDIES.get(error.errno or 0, 'run it again')}"


def report(error: BaseException, path: Path, log: logging.Logger) -> None:
    """Tell why a stage failed, in the log and in error.txt: a user's mistake without traceback."""
    if isinstance(error, JobError):
        text = str(error)
    elif isinstance(error, KeyboardInterrupt):
        text = "stopped by a signal"
    elif isinstance(error, OSError) and error.errno in REMEDIES:
        text = message(error, path.parent)
    else:
        text = "".join(traceback.format_exception(error)).rstrip()
    log.error("%s", text)
    with contextlib.suppress(OSError):
        path.write_text(text + "\n", "utf-8", "backslashreplace")
