"""Fetches the Free Spoken Digit Dataset once, from its public repository, and verifies it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from jobs.corpus.fsdd_recordings import COMMIT, NAME_PATTERN, check_digest
from jobs.files import written
from jobs.job import JobError, Resources, folder, unhashed

NAME = "corpus.fsdd_download"
VERSION = 1

URL = f"https://github.com/Jakobovski/free-spoken-digit-dataset/archive/{COMMIT}.tar.gz"

# A guard against archives that are not what they should be; the longest recording has 36 kB.
LARGEST_BYTES = 1_000_000
MOST_MEMBERS = 10_000


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """None: the recordings come from the network."""


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """A folder with the folder `recordings` in it."""

    dataset: Path = folder("fsdd")


@dataclass(frozen=True, kw_only=True)
class Params:
    """url: a tar.gz archive; its content is verified, so the place does not matter.

    timeout: seconds without an answer.
    """

    url: str = unhashed(URL)
    timeout: float = unhashed(60.0)


def resources(params: Params) -> Resources:
    """Return what the job may use."""
    return Resources(threads=1, mem_mb=500, minutes=30)


def run(inputs: Inputs, outputs: Outputs, params: Params, log: logging.Logger) -> None:
    """Fetch and verify. Raises JobError without network, or for other recordings."""
    import http.client
    import tarfile
    import urllib.request

    log.info("fetching %s", params.url)
    with written(outputs.dataset) as tmp:
        recordings = tmp / "recordings"
        recordings.mkdir(parents=True)
        try:
            with urllib.request.urlopen(params.url, timeout=params.timeout) as response:
                extract(response, recordings)
        except (OSError, ValueError, http.client.HTTPException, tarfile.TarError) as error:
            raise JobError(
                f"{NAME}: could not fetch {params.url}: {error}; needed a network for this once; "
                f"try again, or unpack the archive by hand and give its folder to corpus.fsdd as "
                f"`path`"
            ) from None
        check_digest(recordings, NAME)


def extract(archive: IO[bytes], folder: Path) -> None:
    """Write the recordings of a tar.gz archive to a folder, and nothing else of it.

    Only the last part of a member's name is used, and only where it is the name of a recording, so
    no member can be written elsewhere. Links are left out. Raises tarfile.TarError.
    """
    import tarfile

    with tarfile.open(fileobj=archive, mode="r|gz") as members:
        for number, member in enumerate(members):
            if number >= MOST_MEMBERS:
                raise tarfile.TarError(f"more than {MOST_MEMBERS} members")
            parent, _, name = member.name.rpartition("/")
            in_recordings = parent.rpartition("/")[2] == "recordings"
            if not (member.isfile() and in_recordings and NAME_PATTERN.fullmatch(name)):
                continue
            if member.size > LARGEST_BYTES:
                raise tarfile.TarError(f"{member.name} has {member.size} bytes")
            content = members.extractfile(member)
            assert content is not None  # it is a file
            (folder / name).write_bytes(content.read())
