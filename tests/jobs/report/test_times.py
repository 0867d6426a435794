"""Plots of alignments."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from jobs.report.evidence import Evidence, Times
from jobs.report.times import plots


def test_words_and_units_of_an_utterance(small: Evidence) -> None:
    found = plots(small.times)
    assert [p.utt for p in found] == ["a", "c"]  # those that have an alignment
    first = found[0]
    assert (first.text, first.duration) == ("turn the light on", 1.0)
    assert first.picture.startswith("data:image/png") and first.audio.startswith("data:audio/flac")
    words, units = first.tiers
    assert (words.stage, words.kind, units.kind) == ("times", "words", "units")
    assert [i.text for i in words.intervals] == ["turn", "the", "light", "on"]
    assert words.intervals[0].start == 0.0 and words.intervals[-1].end == 0.88
    assert "".join(i.text for i in units.intervals) == "turn▁the▁light▁on"


def test_so_many_utterances(small: Evidence) -> None:
    assert [p.utt for p in plots(small.times, shown=1)] == ["a"]


def test_alignments_of_the_same_corpus_are_in_one_plot(small: Evidence) -> None:
    (times,) = small.times
    found = plots([times, dataclasses.replace(times, stage="other")])
    assert [t.stage for t in found[0].tiers] == ["times", "times", "other", "other"]


def test_alignments_of_another_corpus_have_plots_of_their_own(small: Evidence) -> None:
    (times,) = small.times
    copy = times.corpus.with_name("copy.jsonl")
    copy.write_bytes(times.corpus.read_bytes())
    found = plots([times, dataclasses.replace(times, stage="other", corpus=copy)], shown=1)
    assert [[t.stage for t in p.tiers] for p in found] == [["times"] * 2, ["other"] * 2]


def test_recordings_that_are_gone_or_cut_are_left_out(small: Evidence, tmp_path: Path) -> None:
    (times,) = small.times
    rows = [json.loads(line) for line in times.corpus.read_text().splitlines()]
    rows = [{**row, "audio": str(times.corpus.parent / row["audio"])} for row in rows]
    cut = tmp_path / "cut.wav"
    cut.write_bytes(Path(rows[0]["audio"]).read_bytes()[:60])
    for first in (tmp_path / "gone.wav", cut):
        changed = [{**rows[0], "audio": str(first)}, *rows[1:]]
        corpus = tmp_path / "corpus.jsonl"
        corpus.write_text("".join(f"{json.dumps(row)}\n" for row in changed))
        assert [p.utt for p in plots([dataclasses.replace(times, corpus=corpus)])] == ["c"]


def test_what_is_not_there_yet(small: Evidence, tmp_path: Path) -> None:
    (times,) = small.times
    assert plots([Times(stage="x", corpus=times.corpus, textgrid=tmp_path / "none")]) == []
    assert plots([dataclasses.replace(times, corpus=tmp_path / "none")]) == []
