"""A number as a folder or archive, from which another group can make it again."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Any, BinaryIO

from jobs.files import written
from jobs.job import JobError
from workflows.chain import chain, seconds_of, shards_of
from workflows.load import shown
from workflows.plan import make_plan
from workflows.reasons import differences, told
from workflows.stages import MANIFEST, RELEASED, SPEC

ROOT = Path(__file__).resolve().parents[1]
ARCHIVES = (".tar.gz", ".tgz", ".zip")
Members = dict[str, "Path | bytes"]


def bundle(store: Path, folder: str, recipe: Path, target: Path, *, artifacts: bool) -> list[str]:
    """Write what makes a stage again to a folder, .tar.gz, .tgz or .zip; return its members.

    recipe: the file that has the stage. artifacts: with the outputs of all stages, so that it is
    a store. Raises JobError where the target is there, or the recipe makes another stage now.
    """
    if target.exists():
        raise JobError(f"{target}: found something there, needed a new name; move it away")
    stages = chain(store, [folder])
    modules = _sources(recipe, stages[-1])
    members: Members = {f"recipes/{path}": data for path, data in modules.items()}
    for known in stages:
        members |= dict(_stage(store, f"{known['job']}/{known['hash']}", known, artifacts))
        for shard in shards_of(known, store):  # what they made is in what was put together
            members |= dict(_stage(store, f"{shard['job']}/{shard['hash']}", shard, False))
    members["constraints.txt"] = ROOT / "constraints.txt"
    patch = _patch() if any(known["project"]["dirty"] for known in stages) else b""
    if patch:
        members["changes.patch"] = patch
    members["README.md"] = _read_me(stages, recipe, store, artifacts, bool(patch)).encode()
    for name in members:
        _check(name)
    with written(target) as tmp:
        _write(tmp, target.name, members)
    return sorted(members)


def _check(name: str) -> None:
    """Raise JobError for a member that would leave the folder it is unpacked in."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
        raise JobError(f"{name!r}: found a name that leaves its folder, needed one below it")


def _sources(recipe: Path, known: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the recipe and the modules of recipes/ that it imports, by their path there.

    Raises JobError where the recipe, as it is now, makes another stage than the one exported.
    """
    stage = known["name"].partition("/")[2]
    plan = make_plan([str(recipe)], known["data"])
    if f"{known['job']}/{known['hash']}" not in plan.nodes:
        node = plan.stages[recipe.stem].get(stage)
        how = told(differences(known, node)) if node else f"it has no stage {stage!r}"
        commit = known["project"]["commit"] or "that it was made with"
        raise JobError(
            f"{shown(recipe)}: found a recipe that makes another {known['name']} now ({how}),"
            f" needed the one that made it; go back to commit {commit}"
        )
    package = ROOT / "recipes"
    found = {recipe.name: recipe.read_bytes()}
    for name, module in sorted(sys.modules.items()):
        path = Path(getattr(module, "__file__", None) or "")
        if name.partition(".")[0] == "recipes" and path.resolve().is_relative_to(package):
            found[path.resolve().relative_to(package).as_posix()] = path.read_bytes()
    return found


def _stage(
    store: Path, folder: str, known: Mapping[str, Any], artifacts: bool
) -> Iterator[tuple[str, Path | bytes]]:
    """Yield specification and manifest of a stage, and its outputs, with names below stages/."""
    place = store / folder
    names = [name for name in (SPEC, MANIFEST, RELEASED) if (place / name).is_file()]
    if artifacts:
        if MANIFEST not in names:
            raise JobError(f"{shown(place)}: found outputs removed after their use; run it again")
        names += list(known.get("outputs", {}).values())
    for name in names:
        path = place / name
        for member in [path] if path.is_file() else sorted(path.rglob("*")):
            if not member.resolve().is_relative_to(path.resolve()):
                raise JobError(f"{shown(member)}: found a link that leaves its folder")
            if member.is_file():
                yield f"stages/{folder}/{member.relative_to(place).as_posix()}", member


def _patch() -> bytes:
    """Return how the checkout differs from its commit."""
    command = ["git", "-C", str(ROOT), "diff", "--binary", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return b""


def _read_me(
    stages: Sequence[Mapping[str, Any]], recipe: Path, store: Path, artifacts: bool, patch: bool
) -> str:
    """Return how to make the number again."""
    last = stages[-1]
    versions = {k: v for known in stages for k, v in known["versions"].items()}
    data = ["--data FOLDER"] * ("{data}" in json.dumps([known["params"] for known in stages]))
    here = ["--store stages"] * artifacts
    run = " ".join(["returnn-lite", "run", recipe.stem, *data, *here])
    lines = [
        f"# {last['name']}",
        "",
        f"Made by returnn-lite, job {last['job']}, hash {last['hash']}, in {len(stages)} stages.",
        "",
        "## How to make it again",
        "",
        f"1. Check out the project at {_commits(stages)}"
        + (", and apply changes.patch: `git apply changes.patch`." if patch else "."),
        "2. Install it, with Python " + versions.get("python", "3.11") + ":"
        " `pip install -c constraints.txt -e '.[cpu,espeak]'`.",
        "3. Copy what is in recipes/ into the project's recipes/.",
        f"4. Run `{run}`" + (", where FOLDER is that of the corpora." if data else "."),
        "",
        f"The stage is the same where its folder is {last['job']}/{last['hash']} again. What each",
        "stage was asked for, and how it went, is in stages/: stage.json and manifest.json"
        + (", with all outputs." if artifacts else "."),
        "",
        "## Stages",
        "",
        *(f"- {k['name']}: {k['job']} {k['hash']}, {seconds_of(k, store):.0f} s" for k in stages),
        "",
        "Versions: " + ", ".join(f"{name} {v}" for name, v in sorted(versions.items())),
    ]
    return "\n".join(lines) + "\n"


def _commits(stages: Sequence[Mapping[str, Any]]) -> str:
    """Return which commit the stages were made with."""
    commits = {known["project"]["commit"] for known in stages} - {None}
    return f"commit {' or '.join(sorted(commits))}" if commits else "its commit"


def _write(tmp: Path, name: str, members: Members) -> None:
    """Write members to a folder, or to the kind of archive that the name says; times are none."""
    if name.endswith(".zip"):
        with zipfile.ZipFile(tmp, "w") as archive:
            for member, data in sorted(members.items()):
                entry = zipfile.ZipInfo(f"{_stem(name)}/{member}", (1980, 1, 1, 0, 0, 0))
                entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
                with archive.open(entry, "w", force_zip64=True) as out:
                    _copy(data, out)
    elif name.endswith((".tar.gz", ".tgz")):
        with (
            tmp.open("wb") as file,
            gzip.GzipFile("", "wb", fileobj=file, mtime=0) as zipped,
            tarfile.open(fileobj=zipped, mode="w") as tar,
        ):
            for member, data in sorted(members.items()):
                info = tarfile.TarInfo(f"{_stem(name)}/{member}")
                info.size = len(data) if isinstance(data, bytes) else data.stat().st_size
                with _opened(data) as content:
                    tar.addfile(info, content)
    else:
        for member, data in sorted(members.items()):
            path = tmp / member
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as out:
                _copy(data, out)


def _opened(data: Path | bytes) -> BinaryIO:
    return io.BytesIO(data) if isinstance(data, bytes) else data.open("rb")


def _copy(data: Path | bytes, out: IO[bytes]) -> None:
    with _opened(data) as file:
        shutil.copyfileobj(file, out)


def _stem(name: str) -> str:
    """Return the folder that an archive unpacks to."""
    return next(name.removesuffix(end) for end in ARCHIVES if name.endswith(end))
