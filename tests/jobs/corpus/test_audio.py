"""Recordings: any rate, wav and FLAC, and files that cannot be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from jobs.corpus.audio import duration, read_audio, read_raw, resample, write_audio
from jobs.job import JobError


def tone(rate: int, seconds: float = 0.5, hertz: float = 440.0, level: float = 0.5) -> np.ndarray:
    time = np.arange(round(rate * seconds)) / rate
    return (level * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_any_rate_gives_the_same_tone(tmp_path: Path, rate: int, kind: str) -> None:
    path = tmp_path / f"tone.{kind}"
    soundfile.write(path, tone(rate), rate)
    samples = read_audio(path, 16000)
    assert samples.dtype == np.float32
    assert abs(len(samples) - 8000) <= 1
    middle = slice(1000, 7000)  # the edges ring
    np.testing.assert_allclose(samples[middle], tone(16000)[middle], atol=2e-3)


def test_result_is_below_one(tmp_path: Path) -> None:
    square = np.sign(tone(8000, level=1.0))  # resampling it overshoots
    soundfile.write(tmp_path / "square.wav", square, 8000, subtype="FLOAT")
    samples = read_audio(tmp_path / "square.wav", 16000)
    assert samples.min() >= -1 and samples.max() < 1


@given(st.lists(st.integers(-(2**15), 2**15 - 1), min_size=1, max_size=50))
def test_sixteen_bits_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, integers: list[int]
) -> None:
    path = tmp_path_factory.mktemp("a") / "a.wav"
    write_audio(path, np.array(integers, np.float32) / 2**15, 16000)
    samples, rate = read_raw(path)
    assert rate == 16000
    np.testing.assert_array_equal(samples * 2**15, integers)


def test_same_rate_is_left_alone() -> None:
    samples = tone(16000)
    np.testing.assert_array_equal(resample(samples, 16000, 16000), samples)


def test_bad_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"none\.wav: found no such file"):
        read_audio(tmp_path / "none.wav", 16000)
    (tmp_path / "text.wav").write_text("no recording")
    with pytest.raises(JobError, match=r"text\.wav: unreadable: .*needed wav or FLAC"):
        read_audio(tmp_path / "text.wav", 16000)
    soundfile.write(tmp_path / "stereo.wav", np.zeros((100, 2)), 16000)
    with pytest.raises(JobError, match=r"stereo\.wav: found 2 channels, needed 1"):
        read_audio(tmp_path / "stereo.wav", 16000)
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 16000)
    with pytest.raises(JobError, match=r"empty\.wav: found no samples"):
        read_audio(tmp_path / "empty.wav", 16000)


def test_reads_real_flac(data_root: Path) -> None:
    path = next((data_root / "librispeech_sample").rglob("*0000.flac"))
    samples = read_audio(path, 8000)
    assert len(samples) == pytest.approx(11.66 * 8000, rel=0.001)
    assert 0.01 < float(np.abs(samples).max()) < 1


def test_duration(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", tone(44100), 44100)
    assert duration(tmp_path / "a.flac") == pytest.approx(0.5)
    assert duration(tmp_path / "none.wav") == 0
    (tmp_path / "text.wav").write_text("no recording")
    assert duration(tmp_path / "text.wav") == 0
