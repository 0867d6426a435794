"""Slurm's programs: what they are asked, and what their answers mean."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from workflows.batch.engine import Refused, Silent, State
from workflows.batch.request import Request
from workflows.batch.slurm import Slurm, options

if TYPE_CHECKING:
    from conftest import Programs

Make = Callable[..., Request]
DOWN = "squeue: error: Unable to contact slurm controller (connect failure)\n"


def test_a_request_is_submitted(programs: Programs, make_request: Make) -> None:
    programs.make("sbatch", out="17;cluster\n")
    request = make_request(threads=2, memory=300, minutes=5)
    assert Slurm().submit(request) == "17"
    given = programs.arguments("sbatch")
    assert given[:2] == ["--parsable", "--requeue"]
    assert {"--cpus-per-task=2", "--mem=300M", "--time=5", f"--job-name={request.name}"} <= {*given}
    assert "--comment=commands/a; touch pwned" in given
    assert f"--output={request.folder}/batch.txt" in given and f"--chdir={Path.cwd()}" in given
    assert programs.input("sbatch") == request.script(allocated=True)


def test_gpus_and_what_a_site_needs(make_request: Make) -> None:
    assert not any("gres" in option for option in options(make_request()))
    assert options(make_request(gpus=2))[-1] == "--gres=gpu:2"
    resources = {
        "gpu_model": "h100",
        "slurm_partition": "gpu long",
        "slurm_account": "asr",
        "slurm_extra": "--exclude=n1 '--reservation=a b'",
    }
    found = options(make_request(gpus=1, resources=resources))
    assert "--gres=gpu:h100:1" in found
    assert found[-4:] == [
        "--account=asr",
        "--partition=gpu long",
        "--exclude=n1",
        "--reservation=a b",
    ]


def test_machines_that_failed(make_request: Make) -> None:
    assert not any("--exclude" in option for option in options(make_request()))
    assert "--exclude=n1,n2" in options(make_request(exclude=("n1", "n2")))


def test_a_folder_with_a_percent_sign(make_request: Make, tmp_path: Path) -> None:
    found = options(make_request(folder=tmp_path / "50%j" / "x"))
    assert f"--output={tmp_path}/50%%j/x/batch.txt" in found


def test_jobs_are_cancelled_by_their_names(programs: Programs) -> None:
    programs.make("squeue", out="16 COMPLETING a.0.1\n17 PENDING a.0.1\n18 RUNNING b c\n")
    programs.make("scancel")
    assert Slurm().cancel({"other"}) == [] and programs.arguments("scancel") == []
    assert Slurm().cancel({"a.0.1", "b c"}) == programs.arguments("scancel") == ["17", "18"]


def test_a_job_of_a_name(programs: Programs) -> None:
    programs.make("squeue", out="16 COMPLETING\n17 PENDING\n")
    assert Slurm().active("toy.write.0.1") == "17"
    assert "--name=toy.write.0.1" in programs.arguments("squeue")
    programs.make("squeue", out="16 COMPLETING\n")
    assert Slurm().active("toy.write.0.1") is None


@pytest.mark.parametrize(
    ("word", "status", "state"),
    [
        ("PENDING", "0", State.ACTIVE),
        ("RUNNING", "0", State.ACTIVE),
        ("COMPLETING", "0", State.ACTIVE),
        ("REQUEUED", "0", State.ACTIVE),
        ("COMPLETED", "0", State.DONE),
        ("FAILED", "256", State.MISTAKE),
        ("FAILED", "768", State.FAILED),
        ("FAILED", "3:0", State.FAILED),
        ("FAILED", "9", State.OUT_OF_MEMORY),
        ("FAILED", "0:9", State.OUT_OF_MEMORY),
        ("FAILED", "11", State.FAILED),
        ("OUT_OF_MEMORY", "125", State.OUT_OF_MEMORY),
        ("TIMEOUT", "15", State.OUT_OF_TIME),
        ("CANCELLED", "15", State.CANCELLED),
        ("NODE_FAIL", "0", State.LOST),
    ],
)
def test_states(programs: Programs, word: str, status: str, state: State) -> None:
    programs.make("squeue", out=f"{'17':32}{word:32}{status:32}\n")
    assert Slurm().states() == {"17": state}


def test_accounts(programs: Programs) -> None:
    programs.make("sacct", out="NODE_FAIL|0:0\nCANCELLED by 1000|0:15\n")
    assert Slurm().past("17", 1000, 60) is State.CANCELLED
    programs.make("sacct", out="FAILED|1:0\n")
    assert Slurm().past("17", 1000, 60) is State.MISTAKE
    programs.make("sacct")
    assert Slurm().past("17", 1000, 60) is None
    programs.make("sacct", error="Slurm accounting storage is disabled\n", status=1)
    assert Slurm().past("17", 1000, 60) is None


def test_a_silent_controller(programs: Programs, make_request: Make) -> None:
    for name in ("sbatch", "squeue", "sacct"):
        programs.make(name, error=DOWN, status=1)
    calls: list[Callable[[], object]] = [
        lambda: Slurm().submit(make_request()),
        lambda: Slurm().active("x"),
        Slurm().states,
        lambda: Slurm().past("17", 1000, 60),
    ]
    for call in calls:
        with pytest.raises(Silent, match="Unable to contact slurm controller"):
            call()


def test_a_refused_job(programs: Programs, make_request: Make) -> None:
    programs.make("sbatch", error="sbatch: error: invalid partition specified: x\n", status=1)
    with pytest.raises(Refused, match="invalid partition specified: x"):
        Slurm().submit(make_request())
