"""The download of the digits: from a local server, verified, and never outside of its folder."""

from __future__ import annotations

import http.server
import io
import logging
import os
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.corpus import fsdd_download, fsdd_recordings
from jobs.corpus.fsdd_download import Inputs, Outputs, Params
from jobs.job import JobError

ROOT = "free-spoken-digit-dataset-26eb9aa"


def archive(path: Path, members: dict[str, bytes], links: dict[str, str] | None = None) -> None:
    with tarfile.open(path, "w:gz") as out:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            out.addfile(member, io.BytesIO(content))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            out.addfile(member)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A folder, and the address under which it is served."""
    folder = tmp_path_factory.mktemp("served")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def fetch(url: str, folder: Path) -> Path:
    outputs = Outputs(dataset=folder / "out" / "fsdd")
    fsdd_download.run(Inputs(), outputs, Params(url=url, timeout=5.0), logging.getLogger("test"))
    return outputs.dataset


def names(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir())


def test_real_recordings_come_through(
    served: tuple[Path, str], tmp_path: Path, data_root: Path
) -> None:
    with tarfile.open(served[0] / "real.tar.gz", "w:gz", compresslevel=1) as out:
        out.add(data_root / "fsdd" / "recordings", f"{ROOT}/recordings")
        out.add(data_root / "fsdd" / "speakers.json", f"{ROOT}/speakers.json")
    dataset = fetch(f"{served[1]}/real.tar.gz", tmp_path)
    assert len(fsdd_recordings.read_recordings(dataset, "test")) == 3000
    assert len(names(tmp_path)) == 3000  # and nothing else


def test_members_stay_in_the_folder(
    served: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = {
        f"{ROOT}/recordings/0_theo_0.wav": b"good",
        f"{ROOT}/recordings/../../../1_evil_0.wav": b"climbs",
        f"{ROOT}/recordings/../../recordings/2_evil_0.wav": b"climbs, flattened",
        "/tmp/recordings.wav": b"absolute",
        f"{ROOT}/README.md": b"not wanted",
        f"{ROOT}/recordings/notes.wav": b"not a recording",
    }
    links = {f"{ROOT}/recordings/3_evil_0.wav": "/etc/passwd"}
    archive(served[0] / "evil.tar.gz", members, links)
    monkeypatch.setattr(fsdd_download, "check_digest", lambda folder, where: None)
    dataset = fetch(f"{served[1]}/evil.tar.gz", tmp_path)
    found = names(tmp_path)
    assert found == [f"out/fsdd/recordings/{name}" for name in ("0_theo_0.wav", "2_evil_0.wav")]
    assert (dataset / "recordings" / "0_theo_0.wav").read_bytes() == b"good"


def test_other_content_is_refused(served: tuple[Path, str], tmp_path: Path) -> None:
    archive(served[0] / "other.tar.gz", {f"{ROOT}/recordings/0_theo_0.wav": b"x"})
    with pytest.raises(JobError, match=r"found 1 recordings with SHA-256 .*needed 3000"):
        fetch(f"{served[1]}/other.tar.gz", tmp_path)
    assert names(tmp_path) == []


def test_huge_members_are_refused(served: tuple[Path, str], tmp_path: Path) -> None:
    archive(served[0] / "huge.tar.gz", {f"{ROOT}/recordings/0_theo_0.wav": bytes(2_000_000)})
    with pytest.raises(JobError, match=r"0_theo_0\.wav has 2000000 bytes"):
        fetch(f"{served[1]}/huge.tar.gz", tmp_path)


def test_no_network_and_no_archive(served: tuple[Path, str], tmp_path: Path) -> None:
    hint = r"needed a network for this once; .*unpack the archive by hand"
    with pytest.raises(JobError, match=rf"could not fetch .*refused.*{hint}"):
        fetch("http://127.0.0.1:1/fsdd.tar.gz", tmp_path)
    with pytest.raises(JobError, match=rf"could not fetch .*404.*{hint}"):
        fetch(f"{served[1]}/none.tar.gz", tmp_path)
    (served[0] / "text.tar.gz").write_text("no archive")
    archive(served[0] / "whole.tar.gz", {f"{ROOT}/recordings/0_theo_0.wav": os.urandom(30_000)})
    whole = (served[0] / "whole.tar.gz").read_bytes()
    (served[0] / "part.tar.gz").write_bytes(whole[:20_000])
    for name in ("text", "part"):
        with pytest.raises(JobError, match=rf"could not fetch .*{hint}"):
            fetch(f"{served[1]}/{name}.tar.gz", tmp_path)
    assert names(tmp_path) == []
