"""Grid Engine's programs: what they are asked, and what their answers mean."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from workflows.batch.engine import Silent, State
from workflows.batch.request import Request
from workflows.batch.sge import Sge, options

if TYPE_CHECKING:
    from conftest import Programs

Make = Callable[..., Request]
JOB = """<job_list state="{kind}"><JB_job_number>{id}</JB_job_number><JAT_prio>0.5</JAT_prio>
<JB_name>{name}</JB_name><JB_owner>me</JB_owner><state>{state}</state><slots>1</slots></job_list>"""


KILLED = {"failed": "100 : assumedly after job", "exit_status": "137"}


def qstat(*jobs: tuple[str, str, str]) -> str:
    """Return what `qstat -xml` writes about jobs: id, name, state."""
    found = {"running": "", "pending": ""}
    for number, name, state in jobs:
        kind = "running" if state in "r t s" else "pending"
        found[kind] += JOB.format(kind=kind, id=number, name=name, state=state)
    parts = f"<queue_info>{found['running']}</queue_info><job_info>{found['pending']}</job_info>"
    return f"<?xml version='1.0'?>\n<job_info>{parts}</job_info>\n"


def account(**fields: object) -> str:
    """Return what `qacct -j` writes about a job."""
    lines = {"qname": "all.q", "failed": 0, "exit_status": 0, "ru_wallclock": "1.5s", **fields}
    return "=" * 62 + "\n" + "".join(f"{key:<13}{value}\n" for key, value in lines.items())


def test_a_request_is_submitted(programs: Programs, make_request: Make) -> None:
    programs.make("qsub", out="17\n")
    request = make_request(threads=2, memory=301, minutes=5, gpus=1)
    assert Sge().submit(request) == "17"
    given = programs.arguments("qsub")
    assert given[: given.index("-N") + 2] == ["-terse", "-V", "-r", "y", "-N", request.name]
    assert "h_rt=300,h_vmem=151M,gpu=1" in given
    assert given[-3:] == ["-pe", "smp", "2"]
    # GPUs are leased on the node, as few sites let Grid Engine assign them.
    assert programs.input("qsub").endswith(" --threads 2 --gpus 1\n")


def test_what_a_site_calls_its_resources(make_request: Make) -> None:
    names = {"sge_memory": "h_rss", "sge_gpu": "cuda", "sge_pe": "mpi", "sge_queue": "long"}
    extra = {"sge_extra": "-P 'the project'"}
    found = options(make_request(threads=4, memory=1000, gpus=2, resources={**names, **extra}))
    assert "h_rt=3600,h_rss=250M,cuda=2" in found
    assert found[-7:] == ["-pe", "mpi", "4", "-q", "long", "-P", "the project"]


def test_machines_that_failed(make_request: Make) -> None:
    assert "-soft" not in options(make_request())
    found = options(make_request(exclude=("n1", "n2")))
    assert found[-4:] == ["-soft", "-l", "hostname=!(n1|n2)", "-hard"]


def test_jobs_that_have_not_ended(programs: Programs) -> None:
    programs.make("qstat", out=qstat(("16", "x", "qw"), ("17", "y", "r"), ("18", "z", "Eqw")))
    assert Sge().states() == {"16": State.ACTIVE, "17": State.ACTIVE, "18": State.LOST}
    assert Sge().active("y") == "17" and Sge().active("w") is None
    assert programs.arguments("qdel") == []


def test_jobs_are_cancelled_by_their_names(programs: Programs) -> None:
    programs.make("qdel")
    programs.make("qstat", out=qstat(("16", "x", "qw"), ("17", "y", "r"), ("18", "z", "Eqw")))
    assert Sge().cancel({"w"}) == [] and programs.arguments("qdel") == []
    assert Sge().cancel({"x", "z"}) == programs.arguments("qdel") == ["16", "18"]


def test_a_job_in_an_error_state_is_removed(programs: Programs) -> None:
    programs.make("qdel")
    programs.make("qstat", out=qstat(("18", "z", "Eqw")))
    assert Sge().active("z") is None
    assert programs.arguments("qdel") == ["18"]


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({}, State.DONE),
        ({"exit_status": 1}, State.MISTAKE),
        ({"exit_status": 3}, State.FAILED),
        ({"exit_status": 4}, State.OUT_OF_MEMORY),
        ({**KILLED, "maxvmem": "0.000B"}, State.OUT_OF_MEMORY),
        ({**KILLED, "maxvmem": "1.01GB"}, State.OUT_OF_MEMORY),
        ({**KILLED, "maxvmem": "69.5MB"}, State.CANCELLED),
        ({**KILLED, "maxvmem": "999M", "ru_wallclock": "3601s"}, State.OUT_OF_TIME),
        ({"failed": "37  : qmaster enforced h_rt", "ru_wallclock": "3600.2"}, State.OUT_OF_TIME),
        ({"failed": "37  : qmaster enforced h_vmem"}, State.OUT_OF_MEMORY),
        ({"failed": "21  : in recognizing job", "exit_status": 0}, State.LOST),
    ],
)
def test_accounts(programs: Programs, fields: dict[str, object], state: State) -> None:
    programs.make("qacct", out=account(**fields))
    assert Sge().past("17", 1000, 60) is state


def test_accounts_that_have_not_come_yet(programs: Programs) -> None:
    programs.make("qacct", error="error: job id 17 not found\n", status=1)
    assert Sge().past("17", 1000, 60) is None


def test_a_silent_master(programs: Programs, make_request: Make, tmp_path: Path) -> None:
    down = "error: unable to send message to qmaster using port 6444 on host: got send error\n"
    for name in ("qsub", "qstat", "qacct"):
        programs.make(name, error=down, status=1)
    calls: list[Callable[[], object]] = [
        lambda: Sge().submit(make_request()),
        lambda: Sge().active("x"),
        Sge().states,
        lambda: Sge().past("17", 1000, 60),
    ]
    for call in calls:
        with pytest.raises(Silent, match="unable to send message to qmaster"):
            call()
