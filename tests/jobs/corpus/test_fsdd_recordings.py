"""The digest of recordings: of their names and bytes, whatever else lies in the folder."""

from __future__ import annotations

from pathlib import Path

from jobs.corpus.fsdd_recordings import content_digest, read_recordings


def test_digest_sees_names_and_bytes(tmp_path: Path) -> None:
    def digest(files: dict[str, bytes], name: str) -> str:
        folder = tmp_path / name
        folder.mkdir()
        for file, content in files.items():
            (folder / file).write_bytes(content)
        return content_digest(folder)

    first = digest({"a.wav": b"1", "b.wav": b"2"}, "first")
    assert first == digest({"b.wav": b"2", "a.wav": b"1", "notes.txt": b"x"}, "same")
    others = [
        digest({"a.wav": b"1", "b.wav": b"3"}, "bytes"),
        digest({"a.wav": b"1", "c.wav": b"2"}, "names"),
        digest({"a.wav": b"12", "b.wav": b""}, "moved"),
        digest({"a.wav": b"1"}, "fewer"),
    ]
    assert len({first, *others}) == 5


def test_real_recordings(data_root: Path) -> None:
    recordings = read_recordings(data_root / "fsdd", "test")
    assert len(recordings) == 3000
    assert len({(r.digit, r.speaker, r.take) for r in recordings}) == 3000
    assert {r.digit for r in recordings} == set(range(10))
    assert {r.take for r in recordings} == set(range(50))
    assert all(r.path.name == f"{r.digit}_{r.speaker}_{r.take}.wav" for r in recordings)
