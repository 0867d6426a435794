"""Alignments as CTM and TextGrid, read back."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from praatio import textgrid

from jobs.align import export
from jobs.align.export import Inputs, Outputs, Params
from jobs.corpus.manifest import Utterance, write_manifest
from jobs.job import JobError
from jobs.typed_json import from_json
from jobs.units import train
from jobs.units.units import Units
from returnn_lite.hdf import HdfWriter

LOG = logging.getLogger("test")
TEXT = ["turn on the light", "turn off the fan", "the light is on", "stop it"]
SHIFT = 0.03


@pytest.fixture(scope="module", params=["bpe", "char"])
def units(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("units")
    (folder / "text.txt").write_text("\n".join(TEXT), encoding="utf-8")
    size = 30 if request.param == "bpe" else len(set("".join(TEXT))) + 2
    params = train.Params(kind=request.param, vocab_size=size)
    outputs = train.Outputs(units=folder / "units")
    train.run(train.Inputs(text=(folder / "text.txt",)), outputs, params, LOG)
    return outputs.units


def _frames(labels: list[int], blank: int, repeat: bool, rng: np.random.Generator) -> list[int]:
    """A random alignment of the labels."""
    frames = [blank] * int(rng.integers(3))
    for i, label in enumerate(labels):
        if repeat and i and labels[i - 1] == label and frames[-1] == label:
            frames.append(blank)
        frames += [label] * (int(rng.integers(1, 4)) if repeat else 1)
        frames += [blank] * int(rng.integers(3))
    return frames or [blank]


def _export(
    folder: Path,
    units: Path,
    alignments: dict[str, list[int]],
    texts: dict[str, str],
    params: Params,
) -> Outputs:
    n = len(Units.load(units))
    utterances = [
        Utterance(
            utt=u,
            audio=folder / "a.wav",
            text=text,
            speaker="s",
            duration=len(alignments.get(u, [n])) * SHIFT - 0.012,
        )
        for u, text in texts.items()
    ]
    write_manifest(folder / "corpus.jsonl", utterances)
    with HdfWriter(folder / "alignment.hdf", n + 1, sparse=True) as writer:
        for utt, frames in alignments.items():
            writer.write(utt, frames)
    inputs = Inputs(corpus=folder / "corpus.jsonl", alignment=folder / "alignment.hdf", units=units)
    outputs = Outputs(ctm=folder / "alignment.ctm", textgrid=folder / "textgrid")
    export.run(inputs, outputs, params, LOG)
    return outputs


def _ctm(outputs: Outputs) -> dict[str, list[tuple[float, float, str]]]:
    words: dict[str, list[tuple[float, float, str]]] = {}
    for line in outputs.ctm.read_text(encoding="utf-8").splitlines():
        utt, channel, start, duration, word = line.split(" ")
        assert channel == "1"
        words.setdefault(utt, []).append((float(start), float(start) + float(duration), word))
    return words


def _textgrid(path: Path, tier: str) -> list[tuple[float, float, str]]:
    grid = textgrid.openTextgrid(str(path), includeEmptyIntervals=False)
    return [(i.start, i.end, i.label) for i in grid.getTier(tier).entries]


@settings(max_examples=25, deadline=None)
@given(
    texts=st.lists(st.sampled_from(TEXT), min_size=1, max_size=3),
    repeat=st.booleans(),
    extend=st.sampled_from([None, 0.0, 0.05, 1.0]),
    seed=st.integers(0, 99),
)
def test_words_are_the_transcript_and_times_increase(
    units: Path, texts: list[str], repeat: bool, extend: float | None, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    loaded = Units.load(units)
    names = {f"u{i}": text for i, text in enumerate(texts)}
    alignments = {
        utt: _frames(loaded.encode(text), len(loaded), repeat, rng) for utt, text in names.items()
    }
    params = Params(frame_shift=SHIFT, repeat_labels=repeat, extend=extend)
    with tempfile.TemporaryDirectory() as folder:
        outputs = _export(Path(folder), units, alignments, names, params)
        ctm = _ctm(outputs)
        for utt, text in names.items():
            duration = len(alignments[utt]) * SHIFT - 0.012
            path = outputs.textgrid / f"{utt}.TextGrid"
            for words in (ctm[utt], _textgrid(path, "words")):
                assert " ".join(word for _, _, word in words) == text
                times = [time for start, end, _ in words for time in (start, end)]
                assert 0 <= times[0] < times[-1] <= duration + 1e-6
                assert (np.diff(times) > -1e-9).all()
                assert all(end - start > 0.01 for start, end, _ in words)
            pieces = "".join(label for _, _, label in _textgrid(path, "units"))
            assert pieces.replace("\u2581", " ").strip() == text


@pytest.fixture
def letters(tmp_path: Path) -> Path:
    """The labels </s> <unk> a b and the boundary; the blank is 5."""
    (tmp_path / "text.txt").write_text("ab a", encoding="utf-8")
    outputs = train.Outputs(units=tmp_path / "letters")
    params = train.Params(kind="char", vocab_size=5)
    train.run(train.Inputs(text=(tmp_path / "text.txt",)), outputs, params, LOG)
    return outputs.units


def test_times_by_hand(tmp_path: Path, letters: Path) -> None:
    alignments = {"s/1%": [5, 2, 2, 5, 3, 4, 5, 2, 5, 5]}
    params = Params(frame_shift=SHIFT, repeat_labels=True)
    outputs = _export(tmp_path, letters, alignments, {"s/1%": "ab a"}, params)
    expected = "s/1% 1 0.030 0.120 ab\ns/1% 1 0.210 0.030 a\n"
    assert outputs.ctm.read_text(encoding="utf-8") == expected
    assert [p.name for p in outputs.textgrid.iterdir()] == ["s%2F1%25.TextGrid"]
    grid = outputs.textgrid / "s%2F1%25.TextGrid"
    assert _textgrid(grid, "words") == [(0.03, 0.15, "ab"), (0.21, 0.24, "a")]
    assert [label for _, _, label in _textgrid(grid, "units")] == ["a", "b", "\u2581", "a"]


def test_labels_of_one_frame_are_drawn_out(tmp_path: Path, letters: Path) -> None:
    alignments = {"u": [5, 2, 2, *[5] * 10, 2, 5]}
    params = Params(frame_shift=SHIFT, repeat_labels=False)
    outputs = _export(tmp_path, letters, alignments, {"u": "aaa"}, params)
    found = _textgrid(outputs.textgrid / "u.TextGrid", "units")
    assert found == [(0.03, 0.06, "a"), (0.06, 0.29, "a"), (0.39, 0.438, "a")]


def test_an_utterance_without_words_has_empty_tiers(tmp_path: Path, letters: Path) -> None:
    params = Params(frame_shift=SHIFT, repeat_labels=True)
    outputs = _export(tmp_path, letters, {"u": [5, 5]}, {"u": "a"}, params)
    assert outputs.ctm.read_text(encoding="utf-8") == ""
    assert _textgrid(outputs.textgrid / "u.TextGrid", "words") == []


def test_utterances_without_alignment_are_told(
    tmp_path: Path, letters: Path, caplog: pytest.LogCaptureFixture
) -> None:
    params = Params(frame_shift=SHIFT, repeat_labels=True)
    outputs = _export(tmp_path, letters, {"u": [2]}, {"v": "a", "u": "a"}, params)
    assert list(_ctm(outputs)) == ["u"]
    assert "1 of 2 have no alignment: v" in caplog.text


def test_alignments_that_do_not_fit(tmp_path: Path, letters: Path, units: Path) -> None:
    good = Params(frame_shift=SHIFT, repeat_labels=True)
    with pytest.raises(JobError, match=r"found 2 frames of 0\.3 s, needed at most 0\.048 s"):
        wrong = Params(frame_shift=0.3, repeat_labels=True)
        _export(tmp_path, letters, {"u": [2, 5]}, {"u": "a"}, wrong)
    with pytest.raises(JobError, match="found utterance 'w', needed only those of the corpus"):
        _export(tmp_path, letters, {"w": [2, 5]}, {"u": "a"}, good)
    assert not (tmp_path / "alignment.ctm").exists()
    _export(tmp_path, letters, {"u": [2, 5]}, {"u": "a"}, good)
    inputs = Inputs(
        corpus=tmp_path / "corpus.jsonl", alignment=tmp_path / "alignment.hdf", units=units
    )
    with pytest.raises(JobError, match=r"found labels of dim 6, needed labels of dim \d\d: the"):
        export.run(inputs, Outputs(), good, LOG)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"frame_shift": 0.0}, r"found frame_shift 0\.0, needed more than 0"),
        ({"frame_shift": 0.1, "extend": -1.0}, r"found extend -1\.0, needed 0 or more"),
    ],
)
def test_wrong_parameters(params: dict[str, float], message: str) -> None:
    with pytest.raises(JobError, match=f"^stage a: {message}"):
        from_json(Params, {"repeat_labels": True, **params}, "stage a")
