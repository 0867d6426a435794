"""How far stages are, as their folders say."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from workflows.stages import disk_use, finished, record, stage_folders, state

if TYPE_CHECKING:
    from conftest import Toy


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ([], "absent"),
        (["stage.json"], "planned"),
        (["stage.json", ".lock", "log.txt"], "stopped"),
        (["stage.json", "log.txt", "error.txt"], "failed"),
        (["stage.json", "log.txt", "released.json"], "released"),
        (["stage.json", "log.txt", "manifest.json"], "finished"),
    ],
)
def test_states(tmp_path: Path, files: list[str], expected: str) -> None:
    for name in files:
        (tmp_path / name).write_text("{}")
    assert state(tmp_path) == expected


def test_a_stage_whose_lock_is_held_runs(tmp_path: Path) -> None:
    with (tmp_path / ".lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert state(tmp_path) == "running"
    assert state(tmp_path) != "running"


def test_a_stage_without_an_output_is_not_finished(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    assert finished(tmp_path, []) and not finished(tmp_path, ["text.txt"])


def test_what_no_stage_has_made_is_no_stage(finished: Toy) -> None:
    store = finished.root / "work"
    mine = list(stage_folders(store))
    assert len(mine) == 3 and all(record(folder) for folder in mine)
    (store / "notes").mkdir()
    (store / "toy.write" / "0123456789abcdef").mkdir()
    (store / "toy.write" / "notes.txt").touch()
    (store / "toy.write" / "0123456789abcde0").symlink_to(mine[0])
    other = store / "toy.write" / "0123456789abcde1"
    other.mkdir()
    (other / "stage.json").write_text(json.dumps({"job": "toy.write", "hash": mine[0].name}))
    assert list(stage_folders(store)) == mine


def test_disk_use_counts_files_and_no_link(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").write_bytes(b"x" * 1000)
    (tmp_path / "in" / "b").write_bytes(b"x" * 10)
    big = tmp_path / "big"
    big.write_bytes(b"x" * 10**6)
    (tmp_path / "in" / "link").symlink_to(big)
    assert 1010 <= disk_use(tmp_path / "in") < 1300
    assert disk_use(big) == 10**6 and disk_use(tmp_path / "none") == 0
