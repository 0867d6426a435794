"""A GPU belongs to one job at a time; CUDA_VISIBLE_DEVICES says which."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobs.job import JobError
from workflows import gpus
from workflows.gpus import VISIBLE, devices, leased

if TYPE_CHECKING:
    from conftest import Toy

HOLD = """
import logging, sys
from pathlib import Path
from workflows.gpus import leased
with leased(int(sys.argv[2]), logging.getLogger(), Path(sys.argv[1])) as names:
    print(*names, flush=True)
    sys.stdin.read()
"""


def hold(folder: Path, count: int) -> subprocess.Popen[str]:
    """Start a process that leases GPUs until its standard input is closed."""
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def held(process: subprocess.Popen[str]) -> list[str]:
    """Return the GPUs that a process has, once it has them."""
    assert process.stdout
    return process.stdout.readline().split()


def test_a_lease_shows_its_gpus_only_and_ends(
    tmp_path: Path, log: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VISIBLE, "2, GPU-a/b,5")
    assert devices() == ["2", "GPU-a/b", "5"]
    with leased(2, log, tmp_path / "leases") as names:
        assert names == ["2", "GPU-a/b"] and os.environ[VISIBLE] == "2,GPU-a/b"
    assert os.environ[VISIBLE] == "2, GPU-a/b,5"
    with leased(0, log, tmp_path / "leases"):
        assert os.environ[VISIBLE] == ""
    monkeypatch.delenv(VISIBLE)
    with leased(0, log, tmp_path / "leases"):
        pass
    assert VISIBLE not in os.environ


def test_processes_have_different_gpus_and_wait_for_them(
    tmp_path: Path, log: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VISIBLE, "0,1,2")
    processes = [hold(tmp_path, 1), hold(tmp_path, 1)]
    names = [name for process in processes for name in held(process)]
    assert len(set(names)) == 2
    waiting = hold(tmp_path, 2)
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(1)
    with leased(1, log, tmp_path) as mine:  # the one that is waited for is not kept meanwhile
        assert {*mine, *names} == {"0", "1", "2"}
    processes[0].kill()  # a lease ends with its process, however that ends
    assert set(held(waiting)) == {names[0], *mine}
    for process in (*processes, waiting):
        process.communicate()


def test_all_gpus_of_a_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container may have /dev/nvidia3 alone, which CUDA calls 0."""
    monkeypatch.delenv(VISIBLE, raising=False)
    for name in ("nvidia3", "nvidia10", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    monkeypatch.setattr(gpus, "DEVICES", tmp_path)
    assert devices() == ["0", "1"]


def test_more_gpus_than_there_are(
    tmp_path: Path, log: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VISIBLE, "0")
    message = r"^found 1 GPUs, needed 2; try another machine, or gpu=1 in the recipe$"
    with pytest.raises(JobError, match=message), leased(2, log, tmp_path):
        pass


GPU_STAGES = """
'a': Stage(job='toy.gpu', params={'text': 'A'}),
'b': Stage(job='toy.gpu', params={'text': 'B'}),
'c': Stage(job='toy.write', params={'text': 'C'}),
"""


@pytest.fixture
def project(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> Toy:
    """A project with jobs on a GPU, which fail where another has the same GPU at the same time."""
    source = (toy.root / "jobs" / "toy" / "write.py").read_text()
    see = "log.info('sees %r', os.environ.get('CUDA_VISIBLE_DEVICES'))\n"
    both = (
        "    mine = Path('gpu' + os.environ['CUDA_VISIBLE_DEVICES'])\n"
        "    mine.mkdir()\n    time.sleep(0.5)\n    mine.rmdir()\n"
    )
    at = "    log.info('OMP"
    source = source.replace('    log.info("OMP', f"    {see}{at}".replace("'OMP", '"OMP'))
    (toy.root / "jobs" / "toy" / "write.py").write_text(source)
    on_gpu = source.replace(f"    {see}", f"    {see}{both}").replace("toy.write", "toy.gpu")
    on_gpu = on_gpu.replace("mem_mb=100", "mem_mb=100, gpu=1")
    (toy.root / "jobs" / "toy" / "gpu.py").write_text(on_gpu)
    scores = "".join(f"Score(system={x!r}, set='test', stage={x!r})," for x in "abc")
    toy.recipe("commands", GPU_STAGES, scores)
    return toy


@pytest.mark.parametrize(("visible", "used"), [("7", {"7"}), ("5,7", {"5", "7"})])
def test_jobs_of_a_run_share_no_gpu(
    project: Toy, monkeypatch: pytest.MonkeyPatch, visible: str, used: set[str]
) -> None:
    """Even where Snakemake is told to start more of them than there are GPUs."""
    monkeypatch.setenv(VISIBLE, visible)
    done = project.snakemake("results/wer.txt", "--resources", "gpu=4")
    assert done.returncode == 0, done.stdout
    logs = {x: (project.root / "results" / "commands" / x / "log.txt").read_text() for x in "abc"}
    seen = {x: text.partition("sees '")[2].partition("'")[0] for x, text in logs.items()}
    assert {seen["a"], seen["b"]} == used and seen["c"] == ""


def test_snakemake_starts_as_many_jobs_as_there_are_gpus(
    project: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VISIBLE, "7")
    done = project.snakemake("results/wer.txt")
    assert done.returncode == 0 and "waits for" not in done.stdout


def test_a_machine_without_a_gpu(project: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VISIBLE, "")
    done = project.snakemake("results/wer.txt")
    assert done.returncode == 1
    message = "found 0 GPUs, needed 1; try another machine, or gpu=0 in the recipe"
    assert message in done.stdout and "Traceback" not in done.stdout


@pytest.mark.parametrize(
    ("visible", "found"),
    [
        ("", []),
        ("-1", []),
        ("0,-1,1", ["0"]),  # as CUDA reads it: what is no device ends the list
        ("NoDevFiles", []),
        ("MIG-1/2/3, 4", ["MIG-1/2/3", "4"]),
    ],
)
def test_what_hides_gpus_is_no_gpu(
    visible: str, found: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VISIBLE, visible)
    assert devices() == found
