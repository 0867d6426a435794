"""espeak-ng in a process of its own: a request gives its samples, whatever came before."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from jobs.corpus.audio import read_raw
from jobs.corpus.synthesis import Synthesiser
from jobs.corpus.voices import ACCENTS, VARIANTS, Voice
from jobs.job import JobError

VOICE = Voice(accent="en-us", variant="m1", pitch=50, rate=175)
BREATHY = Voice(accent="en", variant="Alicia", pitch=40, rate=160)  # with random noise

needs_espeak = pytest.mark.skipif(
    importlib.util.find_spec("espeakng_loader") is None, reason="needs the wheel espeakng-loader"
)
pytestmark = pytest.mark.espeak


def spoken(synthesiser: Synthesiser, text: str, voice: Voice, folder: Path) -> np.ndarray:
    path = folder / "spoken.wav"
    synthesiser.say(text, voice, path)
    samples, rate = read_raw(path)
    assert rate == 22050
    return samples


@needs_espeak
def test_samples_do_not_depend_on_what_was_spoken_before(tmp_path: Path) -> None:
    requests = [("set a timer", VOICE), ("open the window", BREATHY), ("stop", VOICE)]
    with Synthesiser() as first, Synthesiser() as second:
        forth = [spoken(first, text, voice, tmp_path) for text, voice in requests]
        back = [spoken(second, text, voice, tmp_path) for text, voice in reversed(requests)]
    for a, b in zip(forth, reversed(back), strict=True):
        np.testing.assert_array_equal(a, b)


@needs_espeak
def test_voices_differ_in_what_they_should(tmp_path: Path) -> None:
    text = "turn off the lights in the bathroom"
    with Synthesiser() as s:
        plain = spoken(s, text, VOICE, tmp_path)
        fast = spoken(s, text, replace(VOICE, rate=220), tmp_path)
        others = [
            spoken(s, text, replace(VOICE, **change), tmp_path)
            for change in ({"accent": "en-gb-scotland"}, {"variant": "f2"}, {"pitch": 70})
        ]
    assert 1.0 < len(plain) / 22050 < 3.0
    assert len(fast) < 0.9 * len(plain)
    assert all(other.shape != plain.shape or (other != plain).any() for other in others)


@needs_espeak
def test_all_voices_speak_without_clipping(tmp_path: Path) -> None:
    voices = [replace(VOICE, accent=accent) for accent in ACCENTS]
    voices += [replace(VOICE, variant=v) for row in VARIANTS.values() for v in row]
    with Synthesiser() as s:
        for voice in voices:
            samples = spoken(s, "call seven two five", voice, tmp_path)
            assert 0.05 < np.abs(samples).max() < 0.99, voice


@needs_espeak
def test_a_comma_is_a_pause(tmp_path: Path) -> None:
    with Synthesiser() as s:
        lengths = [
            len(spoken(s, text, VOICE, tmp_path))
            for text in ("call one two three four", "call one two, three four")
        ]
    assert lengths[1] > lengths[0] + 0.1 * 22050


@needs_espeak
def test_wrong_voices_are_named(tmp_path: Path) -> None:
    with Synthesiser() as s:
        with pytest.raises(JobError, match=r"en-xx_m1.*: espeak-ng has no voice 'en-xx\+m1'"):
            s.say("hello", replace(VOICE, accent="en-xx"), tmp_path / "a.wav")
        with pytest.raises(JobError, match=r"en-us_m99.*: espeak-ng has no variant 'm99'"):
            s.say("hello", replace(VOICE, variant="m99"), tmp_path / "a.wav")
        with pytest.raises(JobError, match="No such file or directory"):
            s.say("hello", VOICE, tmp_path / "none" / "a.wav")
        s.say("hello", VOICE, tmp_path / "a.wav")  # and goes on


def test_missing_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(JobError, match=r"pip install 'espeakng-loader>=0\.2,<0\.3'"):
        Synthesiser()


@needs_espeak
def test_a_process_that_ends_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with Synthesiser() as s, pytest.raises(JobError, match="the process has ended"):
        s.say("hello", VOICE, tmp_path / "a.wav")
