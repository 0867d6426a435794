"""Sun Grid Engine and its descendants: qsub, qstat, qacct."""

from __future__ import annotations

import getpass
import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from workflows.batch.engine import Refused, State, call, state_of
from workflows.batch.request import Request

# What its programs say while the queue master is down, busy, or just starting.
SILENT = (
    "unable to contact qmaster",
    "unable to send message to qmaster",
    "unable to receive message from qmaster",
    "commlib error",
    "failed receiving gdi request",
)
ENFORCED = "37"  # the queue master ended a job that reached a limit
KILLED = 128 + 9
MIB = {"": 2**-20, "K": 2**-10, "M": 1.0, "G": 2.0**10}


class Sge:
    """Grid Engine, from version 6.2 on."""

    def submit(self, request: Request) -> str:
        """Submit a job that goes back to the queue when its node fails; see `Engine`."""
        script = request.script(allocated=False)  # few sites let it assign GPUs to jobs
        return call(["qsub", *options(request)], SILENT, script).strip()

    def active(self, name: str) -> str | None:
        """See `Engine`. What is in an error state would wait for ever, and is removed."""
        jobs = [(job, state) for job, title, state in _jobs() if title == name]
        for job, state in jobs:
            if state is State.LOST:
                call(["qdel", job], SILENT)
        return next((job for job, state in jobs if state is State.ACTIVE), None)

    def cancel(self, names: Collection[str]) -> list[str]:
        """See `Engine`."""
        found = [job for job, title, _ in _jobs() if title in names]
        if found:
            call(["qdel", *found], SILENT)
        return found

    def states(self) -> dict[str, State]:
        """See `Engine`: jobs that have not ended yet are at hand."""
        return {job: state for job, _, state in _jobs()}

    def past(self, job: str, memory: int, minutes: int) -> State | None:
        """See `Engine`; accounts come some seconds after the end of a job."""
        try:
            lines = call(["qacct", "-j", job], SILENT).splitlines()
        except Refused:
            return None
        pairs = (line.split(None, 1) for line in lines)
        account = {pair[0]: pair[1].strip() for pair in pairs if len(pair) == 2}
        failed, exit_status = (account[key].split()[0] for key in ("failed", "exit_status"))
        if failed == ENFORCED or int(exit_status) == KILLED:
            return _why_killed(account, memory, minutes)
        if failed not in ("0", "100"):  # 100: the command ended by a signal
            return State.LOST
        return state_of(int(exit_status))


def _why_killed(account: Mapping[str, str], memory: int, minutes: int) -> State:
    """Tell a job that was over a limit from one that qdel killed: accounts say the same of both."""
    number = re.match(r"([\d.]+)([KMG]?)", account.get("maxvmem", "0"))
    used = float(number[1]) * MIB[number[2]] if number else 0.0
    if float(account["ru_wallclock"].rstrip("s")) >= 60 * minutes - 1:
        return State.OUT_OF_TIME
    return State.CANCELLED if 0 < used < 0.9 * memory else State.OUT_OF_MEMORY


def options(request: Request) -> list[str]:
    """Return the options of qsub for a request; sites name their resources as they like."""
    given = request.resources
    per_slot = math.ceil(request.memory / request.threads)
    limits = [f"h_rt={60 * request.minutes}", f"{given.get('sge_memory', 'h_vmem')}={per_slot}M"]
    if request.gpus:
        limits.append(f"{given.get('sge_gpu', 'gpu')}={request.gpus}")
    found = ["-terse", "-V", "-r", "y", "-N", request.name, "-wd", str(Path.cwd())]
    found += ["-j", "y", "-o", str(request.log), "-S", "/bin/sh", "-l", ",".join(limits)]
    if request.threads > 1:
        found += ["-pe", given.get("sge_pe", "smp"), str(request.threads)]
    if given.get("sge_queue"):
        found += ["-q", given["sge_queue"]]
    if request.exclude:  # as a wish: there may be no other machine
        found += ["-soft", "-l", f"hostname=!({'|'.join(request.exclude)})", "-hard"]
    return found + request.extra("sge_extra")


def _jobs() -> Iterator[tuple[str, str, State]]:
    """Yield id, name and state of the user's jobs."""
    answer = call(["qstat", "-u", getpass.getuser(), "-xml"], SILENT)
    for entry in ElementTree.fromstring(answer).iter("job_list"):
        state = State.LOST if "E" in entry.findtext("state", "") else State.ACTIVE
        yield entry.findtext("JB_job_number", ""), entry.findtext("JB_name", ""), state
