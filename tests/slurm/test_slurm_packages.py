"""Where Slurm cannot be installed, the tests say what is missing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.debian import Missing
from tests.slurm.cluster import PROGRAMS, install


def test_programs_that_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.slurm.cluster.SBIN", str(tmp_path / "sbin"))
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("sbatch", "munged"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(Missing, match=r"^no Slurm here: install the packages slurmctld slurmd$"):
        install()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    apt = tmp_path / "apt-get"
    apt.write_text("#!/bin/sh\necho no network >&2\nexit 100\n")
    apt.chmod(0o755)
    message = r"^no Slurm here: could not install slurmctld slurmd: no network$"
    with pytest.raises(Missing, match=message):
        install()
    for name in PROGRAMS:
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    install()
