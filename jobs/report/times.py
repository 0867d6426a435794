"""When words and units were said, below the spectrogram of the recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jobs.align.intervals import Interval, textgrid_name
from jobs.corpus.manifest import read_manifest
from jobs.report.evidence import Times
from jobs.report.media import audio_uri, picture_uri, recording, spectrogram

SHOWN = 3  # utterances


@dataclass(frozen=True)
class Tier:
    """Intervals of an alignment, and what they are of."""

    stage: str
    kind: str
    intervals: Sequence[Interval]


@dataclass(frozen=True)
class Plot:
    """An utterance with its tiers; picture, audio: data URIs. duration: seconds."""

    utt: str
    text: str
    duration: float
    picture: str
    audio: str
    tiers: Sequence[Tier]


def plots(times: Sequence[Times], shown: int = SHOWN) -> list[Plot]:
    """Return plots of some utterances of each corpus that has alignments, evenly through it.

    Those without a recording that can be read are left out.
    """
    found = []
    for corpus in dict.fromkeys(t.corpus for t in times):
        ours = [t for t in times if t.corpus == corpus and t.textgrid.is_dir()]
        if not ours or not corpus.is_file():
            continue
        utterances = [
            u
            for u in read_manifest(corpus)
            if u.audio.is_file() and any(_textgrid(t, u.utt).is_file() for t in ours)
        ]
        for u in utterances[:: max(1, len(utterances) // shown)][:shown]:
            if (heard := recording(u.audio)) is None:
                continue
            samples, rate = heard
            tiers = [tier for t in ours for tier in _tiers(t, u.utt)]
            picture = picture_uri(spectrogram(samples, rate))
            audio = audio_uri(samples, rate)
            found.append(Plot(u.utt, u.text, len(samples) / rate, picture, audio, tiers))
    return found


def _textgrid(times: Times, utt: str) -> Path:
    return times.textgrid / textgrid_name(utt)


def _tiers(times: Times, utt: str) -> list[Tier]:
    """Return the tiers of an utterance; none where the alignment has none of it."""
    from praatio.textgrid import openTextgrid

    path = _textgrid(times, utt)
    if not path.is_file():
        return []
    grid = openTextgrid(str(path), includeEmptyIntervals=False)
    return [
        Tier(
            times.stage,
            name,
            [Interval(e.start, e.end, e.label) for e in grid.getTier(name).entries],
        )
        for name in grid.tierNames
    ]
