"""Synthetic speakers: disjoint over the sets, different, and known to espeak-ng."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.corpus.ranges import Range
from jobs.corpus.voices import ACCENTS, VARIANTS, draw_voices
from jobs.job import JobError

PITCH, RATE = Range(low=40, high=60), Range(low=150, high=190)


def test_variants_of_the_sets_are_disjoint() -> None:
    variants = [v for row in VARIANTS.values() for v in row]
    assert len(set(variants)) == len(variants)


@pytest.mark.parametrize("number", [1, 10, 37, 74])
def test_speakers_differ_and_use_the_variants_evenly(number: int) -> None:
    voices = draw_voices("train", number, ACCENTS, PITCH, RATE, seed=1)
    assert len({v.name for v in voices}) == number
    counts = [sum(v.variant == name for v in voices) for name in VARIANTS["train"]]
    assert max(counts) - min(counts) <= 1
    assert all(40 <= v.pitch <= 60 and 150 <= v.rate <= 190 for v in voices)


def test_drawing_depends_on_the_seed() -> None:
    draws = [draw_voices("test", 5, ACCENTS, PITCH, RATE, seed=seed) for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]


def test_too_many_speakers() -> None:
    one = Range(low=50, high=50)
    assert len(draw_voices("dev", 4, ["en-us"], one, one, seed=1)) == 4
    with pytest.raises(JobError, match="found 4 different speakers for dev, needed 5; try fewer"):
        draw_voices("dev", 5, ["en-us"], one, one, seed=1)


@pytest.mark.espeak
def test_espeak_has_the_variants() -> None:
    loader = pytest.importorskip("espeakng_loader")
    folder = Path(loader.get_data_path()) / "voices" / "!v"
    assert {v for row in VARIANTS.values() for v in row} <= {p.name for p in folder.iterdir()}
