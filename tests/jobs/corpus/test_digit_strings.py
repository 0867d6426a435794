"""Strings of digits: every recording as often as asked for, disjoint sets, noise in pauses."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.corpus.digit_strings import String, cut, join, split, strings
from jobs.corpus.fsdd_recordings import Recording
from jobs.corpus.noise import generator, rms
from jobs.corpus.ranges import Range
from jobs.job import JobError

LENGTHS = Range(low=3, high=7)
ALL = [
    Recording(path=Path(f"{digit}_{speaker}_{take}.wav"), digit=digit, speaker=speaker, take=take)
    for digit in range(10)
    for speaker in ("ann", "bob")
    for take in range(50)
]


@given(st.integers(3, 500), st.integers(1, 9), st.integers(0, 9), st.integers())
def test_lengths_are_in_range_and_add_up(total: int, low: int, more: int, seed: int) -> None:
    lengths = Range(low=low, high=low + more)
    sums = any(low * k <= total <= lengths.high * k for k in range(1, total + 1))
    if not sums:
        with pytest.raises(JobError, match=f"needed lengths that add up to {total} recordings"):
            cut(total, lengths, random.Random(seed))
        return
    found = cut(total, lengths, random.Random(seed))
    assert sum(found) == total
    assert all(low <= n <= lengths.high for n in found)


def test_all_lengths_are_drawn() -> None:
    assert set(cut(500, LENGTHS, random.Random(1))) == {3, 4, 5, 6, 7}


@pytest.mark.parametrize("uses", [1, 3])
def test_every_recording_is_used_as_often_as_asked_for(uses: int) -> None:
    found = strings("train", ALL, uses, LENGTHS, seed=1)
    assert Counter(r for s in found for r in s.recordings) == dict.fromkeys(ALL, uses)
    assert len({s.utt for s in found}) == len(found)
    assert len({s.recordings for s in found}) == len(found)
    assert all(len({r.speaker for r in s.recordings}) == 1 for s in found)


def test_strings_depend_on_the_seed() -> None:
    first, again, other = (strings("a", ALL, 1, LENGTHS, seed=seed) for seed in (1, 1, 2))
    assert first == again != other


def test_text() -> None:
    string = String(utt="u", recordings=(ALL[0], ALL[950], ALL[100]))
    assert string.text == "zero nine one"


def test_official_split() -> None:
    sets = split(ALL, dev_takes=5, held_out=None)
    takes = {name: {r.take for r in recordings} for name, recordings in sets.items()}
    assert takes == {
        "test": set(range(5)),
        "dev": set(range(5, 10)),
        "train": set(range(10, 50)),
    }
    assert sum(map(len, sets.values())) == len(ALL)


def test_held_out_speaker() -> None:
    sets = split(ALL, dev_takes=5, held_out="bob")
    assert sets["test"] == [r for r in ALL if r.speaker == "bob"]
    for name in ("train", "dev"):
        assert {r.speaker for r in sets[name]} == {"ann"}
        assert min(r.take for r in sets[name]) >= 5
    with pytest.raises(JobError, match="unknown held_out_speaker 'bo'; did you mean 'bob'"):
        split(ALL, dev_takes=5, held_out="bo")


def test_recordings_stay_as_they_are_and_pauses_are_as_loud_as_their_background() -> None:
    rate, draw = 8000, np.random.default_rng(1)
    parts = [0.3 * draw.standard_normal(1000 * (i + 1)).astype(np.float32) for i in range(3)]
    for part in parts:
        part[:320] *= 0.01
    pauses = Range(low=100, high=100)
    joined = join(parts, rate, pauses, generator("a"))
    assert joined.dtype == np.float32 and len(joined) == 6000 + 4 * 800
    start = 0
    for part in (*parts, None):
        pause = joined[start : start + 800]
        assert rms(pause) == pytest.approx(0.003, rel=0.2)
        assert (pause != 0).mean() > 0.99
        start += 800
        if part is not None:
            np.testing.assert_array_equal(joined[start : start + len(part)], part)
            start += len(part)


def test_pauses_are_drawn_from_their_range() -> None:
    part = np.full(400, 0.1, np.float32)
    pauses = Range(low=50, high=400)
    lengths = [len(join([part], 8000, pauses, generator(i))) - 400 for i in range(50)]
    assert 2 * 50 * 8 <= min(lengths) < max(lengths) <= 2 * 400 * 8
    assert len(set(lengths)) > 30
