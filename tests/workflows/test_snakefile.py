"""Real runs of Snakemake, as a user sees them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
import time
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from snakemake.scheduling import job_scheduler

from workflows.batch.engine import State
from workflows.batch.records import Attempt, add_attempt
from workflows.snakefile import Workflow, _look_once_at_a_time

if TYPE_CHECKING:
    from conftest import Toy

NOTHING = "Nothing to be done"


def started(text: str) -> list[str]:
    """Return the stages that a run started, sorted."""
    return sorted(why(text))


def why(text: str) -> dict[str, str]:
    """Return the stages that a run started, and the reason that it gave for each."""
    return dict(re.findall(r"^([^:\n]+): [a-z_.]+, \S* ?\S*/[0-9a-f]{16} \((.*)\)$", text, re.M))


def error(toy: Toy, *arguments: str) -> list[str]:
    """Return what a user sees of a run that fails before any job, without Snakemake's greeting."""
    done = toy.snakemake("results/wer.txt", *arguments)
    assert done.returncode != 0
    lines = done.stdout.splitlines()
    return [
        x for x in lines if not x.startswith(("Using workflow specific profile", "Config file"))
    ]


def test_a_run_makes_the_table_and_prints_it(finished_once: tuple[Toy, str]) -> None:
    toy, said = finished_once
    assert started(said) == ["commands/a", "commands/b", "score table"]
    table = (toy.root / "results" / "wer.txt").read_text()
    row = "commands CTC greedy test make wer RECIPES=commands  # results/commands/b"
    assert row in table and table in said
    assert "commands/b: writes 'B'" in said
    assert (toy.root / "results" / "commands" / "b" / "text.txt").read_text() == "A\nB\n"


def test_the_next_run_does_nothing(finished: Toy) -> None:
    done = finished.snakemake()
    assert done.returncode == 0 and NOTHING in done.stdout and started(done.stdout) == []


def test_what_does_not_change_a_hash_runs_nothing_again(finished: Toy) -> None:
    stages = "# a comment\n" + finished.stages.replace("'threads': 2", "'threads': 3")
    finished.recipe("commands", stages, finished.score)
    job = finished.root / "jobs" / "toy" / "write.py"
    job.write_text(job.read_text() + "\n# a comment\n")
    rules = finished.root / "workflows" / "rules" / "jobs.smk"
    rules.write_text(rules.read_text().replace("params: command", "params: more=1, command"))
    text = finished.root / "results" / "commands" / "a" / "text.txt"
    text.write_text("made again by hand")  # newer than what was made of it
    assert NOTHING in finished.snakemake("results/wer.txt").stdout


def test_a_changed_parameter_runs_what_depends_on_it_only(finished: Toy) -> None:
    finished.recipe("commands", finished.stages.replace("'B'", "'B2'"), finished.score)
    done = finished.snakemake("results/wer.txt")
    assert started(done.stdout) == ["commands/b", "score table"]


def test_recipes_share_stages_and_the_table_follows_the_choice_of_recipes(finished: Toy) -> None:
    finished.recipe("other", finished.stages.replace("'B'", "'C'"), finished.score)
    both = finished.snakemake("results/wer.txt", "--config", "recipes=commands,other")
    assert started(both.stdout) == ["other/b", "score table"]
    table = finished.root / "results" / "wer.txt"
    assert len(table.read_text().splitlines()) == 3
    subprocess.run(["rm", "-r", ".snakemake"], cwd=finished.root, check=True)
    back = finished.snakemake("results/wer.txt")
    assert started(back.stdout) == []
    assert [x.split()[0] for x in table.read_text().splitlines()] == ["recipe", "commands"]


def test_nothing_of_a_recipe_reaches_a_shell(toy: Toy) -> None:
    evil = "a b'; touch pwned #\"$(touch pwned)`touch pwned` ../../x\n{input}"
    stages = f"'a': Stage(job='toy.write', params={{'text': {evil!r}}}),"
    score = f"Score(system={evil!r}, set='; touch pwned', stage='a'),"
    path = toy.recipe("commands", stages, score)
    data = "../da'ta $(touch pwned)"
    done = toy.snakemake("results/wer.txt", "--config", f"data={data}")
    assert done.returncode == 0, done.stdout
    assert not list(toy.root.rglob("pwned"))
    assert (toy.root / "results" / "commands" / "a" / "text.txt").read_text() == evil + "\n"
    manifest = json.loads((toy.root / "results" / "commands" / "a" / "manifest.json").read_text())
    assert Path(manifest["data"]) == toy.root.parent / Path(data).name
    logs = [p.read_text() for p in (toy.root / ".snakemake" / "log").iterdir()]
    assert not any("touch pwned #" in text for text in logs if "run_job" in text)
    path.unlink()


@pytest.mark.parametrize("orphan", ["goes on", "ends first"])
def test_a_killed_run_is_finished_by_the_next(toy: Toy, orphan: str) -> None:
    """Its job goes on alone: the next run waits for it, or finds it done."""
    block = toy.root / "block"
    block.touch()
    stages = toy.stages.replace("'text': 'B'", f"'text': 'B', 'wait': {str(block)!r}")
    toy.recipe("commands", stages, toy.score)
    first = toy.popen("results/wer.txt")
    folder = toy.root / "results" / "commands" / "b"
    toy.wait_for("writes", folder / "log.txt")
    first.kill()
    first.wait()
    if orphan == "ends first":
        block.unlink()
        toy.wait_for("done in", folder / "log.txt")
    second = toy.popen("results/wer.txt")
    if orphan == "goes on":
        toy.wait_for("another process works", folder / "log.txt")
        block.unlink()
    text, _ = second.communicate(timeout=60)
    assert second.returncode == 0, text
    assert started(text) == ["commands/b"] * (orphan == "goes on") + ["score table"]
    assert "CTC greedy" in (toy.root / "results" / "wer.txt").read_text()
    assert (folder / "log.txt").read_text().count("writes") == 1


def test_an_output_without_its_manifest_is_not_taken_for_finished(finished: Toy) -> None:
    results = finished.root / "results"
    (results / "commands" / "a" / "manifest.json").unlink()
    (results / "commands" / "a" / "text.txt").write_text("half")
    for path in finished.root.glob("work/*/*/*.*"):
        if path.parent.name != (results / "commands" / "a").resolve().name and path.is_file():
            path.unlink()
    (results / "wer.txt").unlink()
    subprocess.run(["rm", "-r", ".snakemake"], cwd=finished.root, check=True)
    assert finished.snakemake("results/wer.txt").returncode == 0
    assert (results / "commands" / "b" / "text.txt").read_text() == "A\nB\n"


def test_what_a_finished_stage_was_made_from_is_not_made_again(finished: Toy) -> None:
    shutil.rmtree((finished.root / "results" / "commands" / "a").resolve())
    assert NOTHING in finished.snakemake("results/wer.txt").stdout
    finished.recipe("commands", finished.stages.replace("'B'", "'C'"), finished.score)
    again = started(finished.snakemake("results/wer.txt").stdout)
    assert again == ["commands/a", "commands/b", "score table"]


def test_checkpoints_of_a_killed_stage_are_there_when_it_begins_again(toy: Toy) -> None:
    """Whatever killed it, and Snakemake, which removes outputs that it knows of."""
    path = toy.root / "jobs" / "toy" / "write.py"
    step = (
        "folder = outputs.text.parent / 'checkpoints'\n"
        "    folder.mkdir(exist_ok=True)\n"
        "    steps = len(list(folder.iterdir()))\n"
        "    (folder / str(steps)).touch()\n"
        "    if steps < 2:\n"
        "        os.kill(os.getpid(), 9)\n"
        '    parts = "'
    )
    path.write_text(path.read_text().replace('parts = "', step))
    toy.recipe("commands", "'a': Stage(job='toy.write'),")
    folder = toy.plan("commands")["a"]
    for steps in (1, 2):
        assert toy.snakemake("all", "--rerun-incomplete").returncode == 1
        assert len(list((folder / "checkpoints").iterdir())) == steps
        assert not (folder / "manifest.json").exists()
    assert toy.snakemake("all").returncode == 0
    assert (folder / "manifest.json").exists()


def test_a_store_that_is_gone_is_made_again(finished: Toy) -> None:
    subprocess.run(["rm", "-r", "work"], cwd=finished.root, check=True)
    done = finished.snakemake("-n", "results/wer.txt")
    assert started(done.stdout) == ["commands/a", "commands/b", "score table"]


def test_a_failed_job_shows_its_message_once_and_little_else(toy: Toy) -> None:
    toy.recipe("commands", toy.stages.replace("'B',", "'B', 'fail': 'job',"), toy.score)
    done = toy.snakemake("results/wer.txt")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    (at,) = [i for i, line in enumerate(lines) if line == "corpus: found no utterances"]
    assert lines[at + 1] == "needed one; try another"
    assert lines[at - 1].startswith("commands/b: toy.write failed; log: work/toy.write/")
    assert lines[at - 1].endswith("/log.txt")
    assert len(lines) < 35 and len(lines) - at < 10, done.stdout
    assert "Traceback" not in done.stdout and "CalledProcessError" not in done.stdout


def test_a_job_that_is_killed_says_by_what(toy: Toy) -> None:
    path = toy.root / "jobs" / "toy" / "write.py"
    path.write_text(path.read_text().replace('parts = "', 'os.kill(os.getpid(), 9)\n    parts = "'))
    toy.recipe("commands", toy.stages, toy.score)
    text = toy.snakemake("results/wer.txt").stdout
    assert "stopped without an error message" in text
    assert "SIGKILL" in text or "exit status 137" in text


def test_mistakes_are_told_before_anything_runs(toy: Toy) -> None:
    toy.recipe("commands", toy.stages.replace("toy.write", "toy.wriet"), toy.score)
    assert error(toy) == [
        "recipes/commands.py:3: stage 'a': unknown job 'toy.wriet'; did you mean 'toy.write'?",
        "recipes/commands.py:4: stage 'b': unknown job 'toy.wriet'; did you mean 'toy.write'?",
    ]
    assert not (toy.root / "work").exists()
    expected = ["config: unknown key 'recipe'; did you mean 'recipes'?"]
    assert error(toy, "--config", "recipe=commands") == expected


def test_a_stage_of_another_plan_cannot_be_asked_for(toy: Toy) -> None:
    toy.recipe("commands", toy.stages, toy.score)
    done = toy.snakemake("work/toy.write/0123456789abcdef/manifest.json")
    assert done.returncode == 1 and "found in no recipe of this run" in done.stdout


def test_a_store_elsewhere_and_a_working_folder_elsewhere(toy: Toy) -> None:
    toy.recipe("commands", toy.stages, toy.score)
    here = toy.root.parent / "my runs"
    here.mkdir()
    store = toy.root.parent / "the store"
    done = toy.snakemake("results/wer.txt", "--directory", str(here), "--config", f"store={store}")
    assert done.returncode == 0, done.stdout
    link = here / "results" / "commands" / "a"
    assert link.resolve().parent == (store / "toy.write").resolve()
    assert str(link.readlink()).startswith("../../../the store/")
    assert Path(here / "results" / "wer.txt").exists()


def test_five_hundred_stages_are_planned_in_seconds(toy: Toy) -> None:
    stages = ", ".join(
        f"'s{i}': Stage(job='toy.write', params={{'text': '{i}'}},"
        f" inputs={{'parts': ('s{i // 2}.text',) if {i} else ()}})"
        for i in range(500)
    )
    scores = "".join(f"Score(system='x', set='{i}', stage='s{i}')," for i in range(500))
    toy.recipe("commands", stages, scores)
    start = time.monotonic()
    done = toy.snakemake("-n", "results/wer.txt")
    assert done.returncode == 0 and len(started(done.stdout)) == 501
    assert time.monotonic() - start < 15


def test_a_limit_of_jobs_in_a_time_holds(toy: Toy) -> None:
    toy.recipe(
        "commands",
        "**{t: Stage(job='toy.write', params={'text': t}) for t in 'ab'},",
    )
    done = toy.snakemake("all", "--max-jobs-per-timespan", "1/3s")
    assert done.returncode == 0, done.stdout
    manifests = toy.root.glob("work/*/*/manifest.json")
    begun = sorted(datetime.fromisoformat(json.loads(m.read_text())["started"]) for m in manifests)
    assert len(begun) == 3  # with the table
    assert all((b - a).total_seconds() >= 2 for a, b in pairwise(begun)), begun


def test_snakemake_has_one_look_for_jobs_to_come_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = job_scheduler.JobScheduler
    monkeypatch.setattr(ours, "_schedule_reevalutation", ours._schedule_reevalutation)
    _look_once_at_a_time()
    scheduler = object.__new__(ours)
    scheduler._open_jobs = threading.Semaphore(0)
    for _ in range(2):
        for _ in range(3):
            scheduler._schedule_reevalutation(0.2)
        assert scheduler._open_jobs.acquire(timeout=10)
        assert not scheduler._open_jobs.acquire(timeout=0.4)


def test_no_profile_draws_the_jobs_that_may_begin_by_chance() -> None:
    """What would be drawn may be too large for what is free, or less urgent than what is not."""
    paths = sorted((Path(__file__).parents[2] / "profiles").glob("*/config.yaml"))
    assert len(paths) == 4
    assert not any("subsample" in path.read_text() for path in paths)


def test_two_runs_that_share_a_store_make_each_stage_once(toy: Toy) -> None:
    """The second finds a stage that runs, of which an output is there already, and waits."""
    block = toy.root / "block"
    block.touch()
    job = toy.root / "jobs" / "toy" / "write.py"
    early = "Path(outputs.parts).mkdir(exist_ok=True)\n    while params.wait"
    job.write_text(job.read_text().replace("while params.wait", early))
    toy.recipe("commands", toy.stages.replace("'A'", f"'A', 'wait': {str(block)!r}"), toy.score)
    store = f"store={toy.root / 'shared'}"
    runs = []
    for name in ("one", "two"):
        (toy.root / name).mkdir()
        where = ("--directory", str(toy.root / name), "--config", store)
        runs.append(toy.popen("results/wer.txt", *where))
        log = toy.root / name / "results" / "commands" / "a" / "log.txt"
        toy.wait_for("another process works" if name == "two" else "writes", log)
    assert (log.parent / "parts").is_dir()
    block.unlink()
    said = [run.communicate(timeout=60)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said
    assert log.read_text().count("writes") == 1
    tables = [(toy.root / name / "results" / "wer.txt").read_text() for name in ("one", "two")]
    assert tables[0] == tables[1] != ""


def test_a_stage_that_is_forced_runs_again(finished: Toy) -> None:
    done = finished.snakemake("results/wer.txt", "--forceall")
    assert started(done.stdout) == ["commands/a", "commands/b", "score table"], done.stdout
    assert "commands/b: writes 'B'" in done.stdout


@pytest.mark.parametrize(
    ("executor", "noted", "expected"),
    [
        # Who submits notes why an attempt failed.
        ("cluster-generic", [], (500, 5)),
        ("cluster-generic", [State.OUT_OF_MEMORY], (1000, 5)),
        ("cluster-generic", [State.OUT_OF_TIME, State.CANCELLED], (500, 10)),
        # Nobody does; and a Snakemake runs within.
        ("slurm", [], (1300, 10)),
        ("slurm", [State.OUT_OF_MEMORY], (2300, 10)),
    ],
)
def test_resources_of_a_second_attempt(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    executor: str,
    noted: list[State],
    expected: tuple[int, int],
) -> None:
    monkeypatch.chdir(tmp_path)
    plugin = SimpleNamespace(name=executor)
    snakemake = SimpleNamespace(basedir=".", remote_exec=False, executor_plugin=plugin)
    work = Workflow({"recipes": "tiny", "data": "data", "store": "work"}, snakemake)
    table = work.plan.table
    for number, state in enumerate(noted):
        attempt = Attempt(job=str(number), state=state, memory=500, minutes=5)
        add_attempt(Path("work", table.folder), attempt)
    (rule,) = (rule for rule in work.rules if rule.name == "score_table")
    wildcards = SimpleNamespace(hash=table.hash)
    assert (rule.mem_mb(wildcards, 2), rule.minutes(wildcards, 2)) == expected
    assert rule.unfinished(wildcards)
