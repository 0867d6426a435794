"""The runner of jobs: what it writes, and what it does when a job fails or is killed."""

from __future__ import annotations

import json
import os
import platform
import re
import shlex
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Toy


def stage(toy: Toy, **params: Any) -> Path:
    """Plan a recipe of one stage and return the stage's folder."""
    toy.recipe("mine", f"'a': Stage(job='toy.write', params={params!r})")
    return toy.plan("mine")["a"]


def test_a_stage_leaves_outputs_a_log_and_a_manifest(toy: Toy) -> None:
    folder = stage(toy, text="hello {data}", threads=3)
    status, text = toy.run(folder, "--data", "my data", "--threads", "2")
    assert status == 0 and "writes 'hello my data'" in text
    assert (folder / "text.txt").read_text() == "hello my data\n"
    log = (folder / "log.txt").read_text().splitlines()
    assert "OMP_NUM_THREADS=2" in log[2]
    manifest = json.loads((folder / "manifest.json").read_text())
    spec = json.loads((folder / "stage.json").read_text())
    assert {k: manifest[k] for k in spec} == spec
    assert manifest["params"]["text"] == "hello {data}" and manifest["data"] == "my data"
    assert manifest["threads"] == 2 and 5 < manifest["peak_memory_mib"] < 300
    assert manifest["seconds"] >= 0 and manifest["started"].startswith("20")
    assert {"python", "numpy", "snakemake"} <= set(manifest["versions"])
    assert not (folder / "error.txt").exists()


def test_the_log_begins_with_the_command_that_runs_the_stage_by_hand(toy: Toy) -> None:
    folder = stage(toy, text="{data}")
    toy.run(folder, "--data", "a b", "--threads", "2", "--in-workflow")
    first = (folder / "log.txt").read_text().splitlines()[0]
    command = shlex.split(first.partition("by hand: ")[2])
    (folder / "text.txt").write_text("changed")
    done = subprocess.run(command, cwd=toy.root, env=toy.environment())
    assert done.returncode == 0
    assert (folder / "text.txt").read_text() == "a b\n"


def test_a_mistake_in_data_is_told_without_a_traceback(toy: Toy) -> None:
    folder = stage(toy, fail="job")
    status, text = toy.run(folder)
    message = "corpus: found no utterances\nneeded one; try another\n"
    assert status == 1 and text.endswith(message) and "Traceback" not in text
    assert (folder / "error.txt").read_text() == message
    assert message in (folder / "log.txt").read_text()
    assert not (folder / "manifest.json").exists()


def test_in_a_workflow_lines_name_their_stage_and_errors_are_left_to_it(toy: Toy) -> None:
    folder = stage(toy, fail="job", text="x")
    status, text = toy.run(folder, "--in-workflow")
    assert status == 1 and text == "mine/a: writes 'x'\n"
    assert "found no utterances" in (folder / "error.txt").read_text()


def test_in_a_workflow_what_libraries_say_is_in_the_log_only(toy: Toy) -> None:
    path = toy.root / "jobs" / "toy" / "write.py"
    noise = "os.system('echo from C; echo to stderr >&2'); print('from python', flush=True)"
    path.write_text(path.read_text().replace('    parts = "', f'    {noise}\n    parts = "'))
    folder = stage(toy, text="x")
    _, text = toy.run(folder, "--in-workflow")
    assert [x.split()[1].partition("=")[0] for x in text.splitlines()] == [
        "writes",
        "OMP_NUM_THREADS",
        "done",
    ]
    log = (folder / "log.txt").read_text()
    assert "from C\n" in log and "to stderr\n" in log and "from python\n" in log
    _, text = toy.run(folder)
    assert "from C\n" in text and "to stderr\n" in text


def test_a_crash_leaves_its_place_in_the_log(toy: Toy) -> None:
    path = toy.root / "jobs" / "toy" / "write.py"
    crash = "import ctypes; ctypes.string_at(0)"
    path.write_text(path.read_text().replace('    parts = "', f'    {crash}\n    parts = "'))
    folder = stage(toy)
    status, _ = toy.run(folder, "--in-workflow")
    assert status == -signal.SIGSEGV
    assert re.search(r'write\.py", line \d+ in run', (folder / "log.txt").read_text())


def test_a_bug_is_told_with_its_traceback(toy: Toy) -> None:
    status, text = toy.run(stage(toy, fail="bug"))
    assert status == 3 and "Traceback" in text and text.endswith("RuntimeError: a bug\n")


def test_a_full_disk_is_told_in_a_line(toy: Toy) -> None:
    status, text = toy.run(stage(toy, fail="full"))
    assert status == 3 and "Traceback" not in text
    assert text.endswith("text.txt: No space left on device; make room, and run it again\n")


def test_an_output_that_is_missing_is_an_error(toy: Toy) -> None:
    folder = stage(toy, fail="missing")
    status, text = toy.run(folder)
    missing = f"{folder / 'score.json'}, {folder / 'parts'}"
    expected = f"toy.write: ended without an error, but did not make {missing}\n"
    assert status == 1 and text.endswith(expected)
    assert not (folder / "manifest.json").exists()


def test_an_old_error_and_an_old_manifest_are_gone_after_the_next_try(toy: Toy) -> None:
    folder = stage(toy, text="x")
    (folder / "error.txt").write_text("old")
    assert toy.run(folder)[0] == 0
    assert not (folder / "error.txt").exists()
    spec = json.loads((folder / "stage.json").read_text())
    (folder / "stage.json").write_text(
        json.dumps({**spec, "params": {**spec["params"], "fail": "bug"}})
    )
    assert toy.run(folder)[0] == 3
    assert not (folder / "manifest.json").exists()


def test_a_plan_that_the_code_has_left_behind(toy: Toy) -> None:
    folder = stage(toy)
    path = toy.root / "jobs" / "toy" / "write.py"
    path.write_text(path.read_text().replace("VERSION = 1", "VERSION = 2"))
    status, text = toy.run(folder)
    assert status == 1 and "found version 1 of toy.write, needed 2, which the code has now" in text


def test_data_that_nobody_named(toy: Toy) -> None:
    status, text = toy.run(stage(toy, text="{data}/x"))
    assert status == 1
    assert text.endswith("found '{data}/x', needed a folder for {data}; try --data FOLDER\n")


@pytest.mark.parametrize("text", [None, "{"])
def test_what_is_no_specification(toy: Toy, text: str | None) -> None:
    folder = toy.root / "work"
    folder.mkdir()
    if text:
        (folder / "stage.json").write_text(text)
    status, said = toy.run(folder)
    assert status == 2 and "stage.json: not the specification of a stage: " in said
    assert "Traceback" not in said


def test_what_a_killed_run_left_is_removed(toy: Toy) -> None:
    folder = stage(toy, text="x")
    for path in (folder / ".text.txt.1.tmp", folder / "checkpoints" / ".model.2.tmp"):
        path.mkdir(parents=True)
    (folder / "checkpoints" / "kept").touch()
    assert toy.run(folder)[0] == 0
    assert [p for p in folder.rglob("*") if ".tmp" in p.name] == []
    assert (folder / "checkpoints" / "kept").exists()


def test_two_processes_never_run_a_stage_at_once(toy: Toy) -> None:
    block = toy.root / "block"
    block.touch()
    folder = stage(toy, text="x", wait=str(block))
    first = toy.start(folder)
    toy.wait_for("writes", folder / "log.txt")
    second = toy.start(folder)
    toy.wait_for("another process works at this stage; waiting for it", folder / "log.txt")
    block.unlink()
    said = [p.communicate(timeout=30)[0] for p in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0)
    assert "writes" in said[0] and "writes" not in said[1]
    assert said[1].endswith("another process has done it\n")


def test_a_process_that_waited_runs_what_the_other_did_not_finish(toy: Toy) -> None:
    block = toy.root / "block"
    block.touch()
    folder = stage(toy, text="x", wait=str(block))
    first = toy.start(folder)
    toy.wait_for("writes", folder / "log.txt")
    second = toy.start(folder)
    toy.wait_for("another process works", folder / "log.txt")
    first.kill()
    first.wait()
    block.unlink()
    said = second.communicate(timeout=30)[0]
    assert second.returncode == 0 and "writes 'x'" in said
    assert (folder / "manifest.json").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_a_stage_with_a_word(toy: Toy, number: int) -> None:
    block = toy.root / "block"
    block.touch()
    folder = stage(toy, wait=str(block))
    process = toy.start(folder)
    toy.wait_for("writes", folder / "log.txt")
    os.kill(process.pid, number)
    text = process.communicate(timeout=30)[0]
    assert process.returncode == 3 and text.endswith("stopped by a signal\n")


def test_what_another_run_finished_since_the_plan_is_not_done_again(toy: Toy) -> None:
    folder = stage(toy, text="x")
    assert toy.run(folder)[0] == 0
    made = (folder / "manifest.json").stat().st_mtime
    status, text = toy.run(folder, "--planned", str(made - 1))
    assert status == 0 and text == "another process has done it\n"
    assert "writes 'x'" in toy.run(folder, "--planned", str(made + 1))[1]  # asked for: --forcerun
    assert "writes 'x'" in toy.run(folder)[1]  # by hand


def test_a_log_that_cannot_be_written_is_told_in_a_line(toy: Toy) -> None:
    folder = stage(toy, text="x")
    (folder / "log.txt").mkdir()
    status, text = toy.run(folder)
    assert status == 3 and len(text.splitlines()) == 1 and "log.txt: Is a directory" in text


@pytest.mark.parametrize(("restarts", "status"), [(0, 5), (1, 5), (2, 0)])
def test_where_a_gpu_fails_a_stage_begins_again(toy: Toy, restarts: int, status: int) -> None:
    folder = stage(toy, fail="gpu", text="3")
    path = toy.root / "workflows" / "run_job.py"
    path.write_text(path.read_text().replace("PAUSE = 5.0", "PAUSE = 0.0"))
    found, text = toy.run(folder, "--restarts", str(restarts), "--threads", "2")
    assert found == status, text
    assert text.count("its GPU or its disk failed") == min(restarts + 1, 2)
    assert (folder / "tries").read_text() == "x" * (restarts + 1)
    noted = folder / "machines.txt"
    assert noted.exists() == (status != 0) == (folder / "error.txt").exists()
    if status:
        assert noted.read_text().split() == [platform.node()]
    else:
        assert json.loads((folder / "manifest.json").read_text())["threads"] == 2


def test_a_key_without_a_name_in_a_specification(toy: Toy) -> None:
    folder = stage(toy, text="x")
    path = folder / "stage.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "": 1}))
    assert toy.run(folder)[0] == 0


@pytest.mark.parametrize("text", ["{}", "[1]", "7", "null", "{"])
def test_a_foreign_file_in_the_place_of_a_specification(toy: Toy, text: str) -> None:
    folder = stage(toy)
    (folder / "stage.json").write_text(text)
    status, said = toy.run(folder)
    assert status == 2 and "stage.json: not the specification of a stage: " in said
    assert "Traceback" not in said


def test_an_error_with_a_name_that_is_no_text_is_told(toy: Toy) -> None:
    path = toy.root / "jobs" / "toy" / "write.py"
    wrong = "raise JobError('found \\udcff.wav, needed another')"
    path.write_text(path.read_text().replace('    parts = "', f'    {wrong}\n    parts = "'))
    folder = stage(toy)
    status, _ = toy.run(folder)
    assert status == 1
    assert (folder / "error.txt").read_text() == "found \\udcff.wav, needed another\n"


def test_it_loads_no_more_than_a_job_needs(toy: Toy) -> None:
    """Neither plans anything again: with thousands of stages that would take longer than many."""
    modules = "('snakemake', 'tensorflow', 'numpy', 'h5py')"
    code = f"import sys, workflows.run_job; print([m for m in {modules} if m in sys.modules])"
    assert toy.python(code).stdout == "[]\n"


def test_a_stage_of_another_user_that_nobody_has_begun(toy: Toy) -> None:
    folder = stage(toy)
    code = (
        "import os; os.access = lambda *_: False\n"
        f"from workflows.run_job import main; print(main([{str(folder / 'stage.json')!r}]))"
    )
    done = toy.python(code)
    assert done.stdout == "3\n"
    assert "is another user's; waiting for it" in done.stderr
    assert "Permission denied, it belongs to" in done.stderr
    assert "let the store's group write (chmod g+ws)" in done.stderr
