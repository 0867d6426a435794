"""Files are whole or absent."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from jobs.files import remove, remove_leftovers, replace_text, written


def names(folder: Path) -> list[str]:
    """Return the names in a folder, sorted."""
    return sorted(path.name for path in folder.iterdir())


def test_a_small_text_is_whole_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.json"
    for text in ("one", "two"):
        replace_text(path, text)
        assert path.read_text() == text
    path.unlink()
    path.mkdir()
    with pytest.raises(OSError):
        replace_text(path, "three")
    assert list(path.parent.iterdir()) == [path]


def test_a_file_appears_when_the_body_succeeds(tmp_path: Path) -> None:
    path = tmp_path / "new" / "out.txt"
    with written(path) as tmp:
        tmp.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert names(path.parent) == ["out.txt"]


def test_nothing_appears_when_the_body_fails(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_text("old")
    with pytest.raises(ValueError, match="bad"), written(path) as tmp:
        tmp.write_text("half")
        raise ValueError("bad")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["out.txt"]


def test_a_folder_replaces_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "out"
    for content in ("one", "two"):
        with written(path) as tmp:
            (tmp / "inner").mkdir(parents=True)
            (tmp / "inner" / content).touch()
            (tmp / "link").symlink_to("nowhere")
    assert names(path / "inner") == ["two"]
    assert names(tmp_path) == ["out"]


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    code = (
        "import os, sys, pathlib; from jobs.files import written\n"
        "with written(pathlib.Path(sys.argv[1])) as tmp:\n"
        "    tmp.mkdir(); (tmp / 'half').touch(); os.kill(os.getpid(), 9)"
    )
    inner = tmp_path / "checkpoints" / "epoch.1"
    project = Path(__file__).parents[2]
    for path in (tmp_path / "out", inner):
        subprocess.run([sys.executable, "-c", code, str(path)], cwd=project)
    (tmp_path / "kept").touch()
    removed = remove_leftovers(tmp_path)
    assert [p.name.split(".")[1] for p in removed] == ["out", "epoch"]
    assert names(tmp_path) == ["checkpoints", "kept"]
    assert names(inner.parent) == []


def test_remove_takes_files_links_folders_and_nothing(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (tmp_path / "link").symlink_to(target)
    (tmp_path / "file").touch()
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    for name in ("link", "file", "folder", "absent"):
        remove(tmp_path / name)
    assert names(tmp_path) == ["target"]
