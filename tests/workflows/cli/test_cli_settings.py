"""What all commands have."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from jobs.job import JobError
from workflows.cli import settings
from workflows.cli.sizes import bytes_text, time_text


def known(**options: str | None) -> settings.Settings:
    """Return the settings for some options."""
    return settings.settings(argparse.Namespace(**{"store": None, "data": None, **options}))


def test_options_go_before_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert known().store == Path("work") and known().recipes == ("commands",)
    assert Path(known().data).is_absolute()
    found = known(store="/x", data="y")
    assert found.store == Path("/x") and found.data == str(tmp_path / "y")


def test_folders_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    found = known(store="~/s", data="~/d")
    assert found.store == tmp_path / "s" and found.data == str(tmp_path / "d")


def test_without_a_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(settings, "ROOT", tmp_path)
    with pytest.raises(JobError, match=r"found no Snakefile and config\.yaml, needed a checkout"):
        known()


def test_numbers_as_a_user_reads_them() -> None:
    assert [bytes_text(n) for n in (0, 999, 1500, 2 * 10**8, 3 * 10**12)] == [
        "0 B", "999 B", "1.5 kB", "200 MB", "3.0 TB",
    ]  # fmt: skip
    assert [time_text(n) for n in (0.04, 59, 600, 7500)] == [
        "0.0 s",
        "59.0 s",
        "10 min",
        "2 h 5 min",
    ]
