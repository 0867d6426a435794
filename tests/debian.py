"""Programs that tests run and that come as packages of Debian, not of Python."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping


class Missing(Exception):
    """A program is not on this machine, and cannot be installed."""


def install(what: str, programs: Mapping[str, str], path: str | None = None) -> None:
    """Install the packages of programs that are missing; as root only.

    what: what they make, for messages. programs: name of the program -> its package. path: where
    programs are looked for. Raises Missing where that is impossible.
    """

    def missing() -> list[str]:
        return sorted({v for k, v in programs.items() if not shutil.which(k, path=path)})

    if not missing():
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise Missing(f"no {what} here: install the packages {' '.join(missing())}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing()],
    ):
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if missing():
        raise Missing(
            f"no {what} here: could not install {' '.join(missing())}: {done.stderr.strip()}"
        )
