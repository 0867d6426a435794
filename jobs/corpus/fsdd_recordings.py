"""The recordings of the Free Spoken Digit Dataset, and whether they are the ones we know."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from jobs.job import JobError, nearest_folder

# Commit of the dataset's repository, and the digest of its recordings, as `content_digest` has it.
COMMIT = "26eb9aaf76e81b692f806f9140c2d2777410d7a1"
DIGEST = "a2e8a660492f28d9eed6270b290d26cbc5c81d6077ce87d3c0ad5adf4d4ee696"

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

# The official split: the first takes of each digit and speaker are for testing.
TEST_TAKES = 5

NAME_PATTERN = re.compile(r"(\d)_([a-z]+)_(\d+)\.wav")


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One digit, said by a speaker. take: 0 to 49."""

    path: Path
    digit: int
    speaker: str
    take: int


def content_digest(folder: Path) -> str:
    """Return the SHA-256 over names and bytes of the wav files of a folder, sorted by name."""
    total = hashlib.sha256()
    for path in sorted(folder.glob("*.wav")):
        total.update(path.name.encode() + b"\0")
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def read_recordings(root: Path, where: str) -> list[Recording]:
    """List the recordings in `root/recordings`, sorted by name.

    where: what an error begins with. Raises JobError unless they are the ones that we know.
    """
    folder = root / "recordings"
    if not folder.is_dir():
        raise JobError(
            f"{where}: found no folder {folder}, needed the Free Spoken Digit Dataset; "
            f"try another path, or the recipe fsdd_downloaded, which fetches it"
            f"{nearest_folder(folder)}"
        )
    check_digest(folder, where)
    recordings = []
    for path in sorted(folder.glob("*.wav")):
        match = NAME_PATTERN.fullmatch(path.name)
        assert match is not None  # the digest holds the names
        digit, speaker, take = match.groups()
        recordings.append(Recording(path=path, digit=int(digit), speaker=speaker, take=int(take)))
    return recordings


def check_digest(folder: Path, where: str) -> None:
    """Raise JobError unless a folder holds the recordings that we know, and no other."""
    found = content_digest(folder)
    if found != DIGEST:
        number = len(list(folder.glob("*.wav")))
        raise JobError(
            f"{where}: found {number} recordings with SHA-256 {found[:12]}... in {folder}, needed "
            f"3000 with {DIGEST[:12]}... (commit {COMMIT[:12]}); try to fetch them again"
        )
