"""What a job says: to its log file, to the terminal, and why it failed."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import traceback
from collections.abc import Iterator
from pathlib import Path

from jobs.job import JobError


@contextlib.contextmanager
def stage_log(folder: Path, name: str, in_workflow: bool) -> Iterator[logging.Logger]:
    """Give the log of a stage: all of it to log.txt, what matters to stderr.

    In a workflow a line on stderr begins with the name of the stage, and errors are left to the
    workflow, which shows error.txt.
    """
    file = logging.FileHandler(folder / "log.txt", encoding="utf-8")
    file.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    terminal = logging.StreamHandler()
    terminal.setLevel(logging.INFO)
    terminal.addFilter(lambda record: not getattr(record, "bar", False))
    if in_workflow:
        os.environ["TERM"] = "dumb"
        terminal.setFormatter(logging.Formatter(f"{name.replace('%', '%%')}: %(message)s"))
        terminal.addFilter(lambda record: record.levelno < logging.ERROR)
    root, log = logging.getLogger(), logging.getLogger("job")
    log.setLevel(logging.DEBUG)
    logging.captureWarnings(True)
    for handler in (file, terminal):
        root.addHandler(handler)
    try:
        yield log
    finally:
        logging.captureWarnings(False)
        for handler in (file, terminal):
            root.removeHandler(handler)
            handler.close()


def report(error: BaseException, path: Path, log: logging.Logger) -> None:
    """Tell why a stage failed, in the log and in error.txt: a user's mistake without traceback."""
    if isinstance(error, JobError):
        text = str(error)
    elif isinstance(error, KeyboardInterrupt):
        text = "stopped by a signal"
    elif isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        text = f"{error.filename or path.parent}: {error.strerror}; make room, and run it again"
    else:
        text = "".join(traceback.format_exception(error)).rstrip()
    log.error("%s", text)
    with contextlib.suppress(OSError):
        path.write_text(text + "\n", "utf-8")
