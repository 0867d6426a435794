"""What a batch system can do for us, and how its programs are called."""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import Protocol

from workflows.batch.request import Request
from workflows.exit_status import MISTAKE, OUT_OF_MEMORY

SECONDS = 60  # that a program may take before its system counts as silent


class State(StrEnum):
    """How a job is, or how it ended. MISTAKE: by an error that another attempt would meet, too."""

    ACTIVE = "active"
    DONE = "done"
    OUT_OF_MEMORY = "out of memory"
    OUT_OF_TIME = "out of time"
    CANCELLED = "cancelled"
    LOST = "lost"
    MISTAKE = "mistake"
    FAILED = "failed"


class Silent(Exception):
    """The batch system does not answer, and may later."""


class Refused(Exception):
    """The batch system answers that it will not do it."""


class Engine(Protocol):
    """A batch system. All may raise Silent or Refused."""

    def submit(self, request: Request) -> str:
        """Return the id of a new job."""

    def active(self, name: str) -> str | None:
        """Return the id of a job of that name which waits or runs."""

    def cancel(self, names: Collection[str]) -> list[str]:
        """Cancel the user's jobs of these names that wait or run; return their ids."""

    def states(self) -> Mapping[str, State]:
        """Return id -> state of the user's jobs, as far as the system has them at hand."""

    def past(self, job: str, memory: int, minutes: int) -> State | None:
        """Return how a job ended that the system has at hand no more, if it kept that.

        memory: MiB that it might use. minutes: those that it might take.
        """


def call(command: Sequence[str], silent: Sequence[str], text: str | None = None) -> str:
    """Run a program of a batch system; return what it wrote. text: its standard input.

    silent: parts of messages that mean the system does not answer. Raises Silent, or Refused.
    """
    try:
        # It inherits the locks of a submission, which are the only files that can be inherited.
        done = subprocess.run(
            command,
            input=text,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            close_fds=False,
        )
    except subprocess.TimeoutExpired:
        raise Silent(f"{command[0]}: no answer in {SECONDS} s") from None
    except FileNotFoundError:
        raise Refused(f"{command[0]}: not installed on this machine") from None
    if done.returncode == 0:
        return done.stdout
    message = done.stderr.strip() or f"{command[0]}: exit status {done.returncode}"
    raise (Silent if any(part in message for part in silent) else Refused)(message)


def state_of(status: int) -> State:
    """Return how a job ended by the exit status of its command, or 128 + the signal that ended it.

    SIGKILL is what the kernel and batch systems send to what takes more memory than it may.
    """
    meanings = {0: State.DONE, MISTAKE: State.MISTAKE}
    meanings |= dict.fromkeys((OUT_OF_MEMORY, 128 + 9), State.OUT_OF_MEMORY)
    return meanings.get(status, State.FAILED)
