"""Files that are whole or absent."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def written(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it to `path` when the body succeeds.

    The body makes a file or a folder of it. Both survive a loss of power once they have their name.
    """
    tmp = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield tmp
        _sync(tmp)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        tmp.rename(path)
        _sync_one(path.parent)
    finally:
        remove(tmp)


def replace_text(path: Path, text: str) -> None:
    """Write a small file, whole or not at all; after a loss of power it may be the old one.

    Makes its folder where there is none.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    tmp = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        tmp.write_text(text, "utf-8")
        tmp.replace(path)
    finally:
        tmp.unlink(missing_ok=True)


def remove(path: Path) -> None:
    """Remove a file, a link or a folder with all in it, where there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> list[Path]:
    """Remove what `written` left anywhere in a folder when its process was killed."""
    leftovers = sorted(folder.rglob(".*.*.tmp"))
    for path in leftovers:
        remove(path)
    return leftovers


def _sync(path: Path) -> None:
    """Bring a file, or a folder with all in it, to the disk."""
    if path.is_dir():
        for member in path.rglob("*"):
            if not member.is_symlink():
                _sync_one(member)
    _sync_one(path)


def _sync_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
