"""Texts of a manifest or of a plain text file, each with a name."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

from jobs.corpus.manifest import read_manifest
from jobs.job import JobError


def read_texts(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (name, text) of each utterance of a manifest, or of each line of plain text.

    path: `.jsonl` is a manifest, whose texts may be empty; `.gz` is compressed text, anything else
    plain text in UTF-8. A line's name is `line-<number, from 1>`; lines without text are left out.
    White space, of any kind and length, becomes one blank.
    Raises JobError where a line is not UTF-8 or the file is damaged.
    """
    if path.suffix == ".jsonl":
        for utterance in read_manifest(path):
            yield utterance.utt, " ".join(utterance.text.split())
        return
    number = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                text = " ".join(line.decode("utf-8").split())
                if text:
                    yield f"line-{number}", text
    except UnicodeDecodeError as error:
        raise JobError(f"{path}:{number}: not UTF-8: {error.reason}; convert the file") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise JobError(f"{path}: found a damaged file after line {number}: {error}") from None
