"""Features of a corpus: against a float64 form of Kaldi's definition, and what users see."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from jobs.corpus.manifest import Utterance, write_manifest
from jobs.features import extract
from jobs.features.extract import Inputs, Outputs, Params
from jobs.job import JobError
from jobs.typed_json import from_json
from returnn_lite.hdf import HdfReader

Array = NDArray[np.float64]


def _signal(seconds: float, seed: int = 0, rate: int = 16000) -> Array:
    """Tones over noise, with an offset: no band is empty and every step of Kaldi's matters."""
    time = np.arange(int(seconds * rate)) / rate
    noise = np.random.default_rng(seed).normal(size=len(time))
    tones = sum(np.sin(2 * np.pi * f * time) / (i + 1) for i, f in enumerate([120, 700, 2900]))
    return 0.2 * tones + 0.02 * noise + 0.01


def _corpus(folder: Path, signals: dict[str, Array], rate: int = 16000) -> Path:
    utterances = []
    for utt, signal in signals.items():
        audio = folder / f"{utt}.wav"
        soundfile.write(audio, signal, rate, subtype="PCM_16")
        utterances.append(Utterance(utt=utt, audio=audio, text="a", speaker="s", duration=1.0))
    write_manifest(folder / "corpus.jsonl", utterances)
    return folder / "corpus.jsonl"


def _run(folder: Path, corpus: Path, params: Params, log: logging.Logger) -> HdfReader:
    outputs = Outputs(features=folder / "features.hdf", skipped=folder / "skipped.jsonl")
    extract.run(Inputs(corpus=corpus), outputs, params, log)
    return HdfReader(outputs.features)


def _frames(path: Path) -> Array:
    """Frames of 25 ms every 10 ms of a 16-bit file, offset removed, [frames, 400]."""
    samples = soundfile.read(path, dtype="int16")[0].astype(np.float64)
    starts = range(0, len(samples) - 400 + 1, 160)
    frames = np.stack([samples[i : i + 400] for i in starts])
    return frames - frames.mean(1, keepdims=True)


def _mel_energies(frames: Array, bins: int, low: float = 20, high: float = 8000) -> Array:
    """Povey (2011), Kaldi: pre-emphasis, a Hann window to the 0.85, triangles on the mel scale."""
    before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 399)) ** 0.85
    power = np.abs(np.fft.rfft((frames - 0.97 * before) * window, 512)) ** 2

    def mel(f: float | Array) -> Array:
        return np.asarray(1127 * np.log1p(np.asarray(f) / 700))

    edges = np.linspace(mel(low), mel(high), bins + 2)
    at = mel(np.arange(256) * 16000 / 512)
    up = (at[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    down = (edges[2:] - at[:, None]) / (edges[2:] - edges[1:-1])
    return power[:, :256] @ np.clip(np.minimum(up, down), 0, None)


def test_log_mel_is_kaldis(tmp_path: Path, log: logging.Logger) -> None:
    corpus = _corpus(tmp_path, {"a": _signal(0.5)})
    expected = np.log(_mel_energies(_frames(tmp_path / "a.wav"), 40))
    with _run(tmp_path, corpus, Params(), log) as reader:
        features = reader.read(0)
    assert features.dtype == np.float32
    assert features.shape == expected.shape == (48, 40)
    np.testing.assert_allclose(features, expected, atol=2e-3)


def test_mfcc_are_kaldis(tmp_path: Path, log: logging.Logger) -> None:
    corpus = _corpus(tmp_path, {"a": _signal(0.5)})
    frames = _frames(tmp_path / "a.wav")
    logs = np.log(_mel_energies(frames, 23, low=100, high=7600))
    k, n = np.arange(13)[:, None], np.arange(23)
    transform = np.sqrt(2 / 23) * np.cos(np.pi * k * (n + 0.5) / 23)
    lifter = 1 + 11 * np.sin(np.pi * np.arange(13) / 22)
    expected = (logs @ transform.T) * lifter
    expected[:, 0] = np.log((frames**2).sum(1))
    params = Params(kind="mfcc", num_mel_bins=23, low_freq=100, high_freq=-400)
    with _run(tmp_path, corpus, params, log) as reader:
        assert reader.dim == 13
        np.testing.assert_allclose(reader.read(0), expected, atol=1e-2)


def test_the_manifests_order_is_kept_whatever_the_threads(
    tmp_path: Path, log: logging.Logger
) -> None:
    corpus = _corpus(tmp_path, {f"u{i}": _signal(0.1 + 0.02 * (i % 7), i) for i in range(70)})
    contents = []
    for threads in (1, 2, 3):
        with _run(tmp_path, corpus, Params(threads=threads, dither=1.0), log) as reader:
            assert reader.tags == [f"u{i}" for i in range(70)]
        contents.append((tmp_path / "features.hdf").read_bytes())
    assert contents[0] == contents[1] == contents[2]


def test_dither_is_noise_of_the_size_asked_for(tmp_path: Path, log: logging.Logger) -> None:
    quiet = np.zeros(16000)
    quiet[::2] = 2**-15  # not silent, and far below the noise
    corpus = _corpus(tmp_path, {"a": quiet, "b": quiet})
    with _run(tmp_path, corpus, Params(dither=100.0), log) as reader:
        first, second = reader.read(0), reader.read(1)
    noise = np.random.default_rng(1).normal(size=(500, 400)) * 100
    expected = np.log(_mel_energies(noise - noise.mean(1, keepdims=True), 40)).mean(0)
    np.testing.assert_allclose(first.mean(0), expected, atol=0.5)
    assert abs(first.mean() - expected.mean()) < 0.1
    assert not np.array_equal(first, second)


def test_other_rates_are_resampled(tmp_path: Path, log: logging.Logger) -> None:
    tone = 0.3 * np.sin(2 * np.pi * 1000 * np.arange(8000) / 8000)
    corpus = _corpus(tmp_path, {"a": tone}, rate=8000)
    with _run(tmp_path, corpus, Params(num_mel_bins=20), log) as reader:
        assert reader.lengths.tolist() == [98]
        mel = 1127 * np.log1p(np.array([20, 1000, 8000]) / 700)
        loudest = (mel[1] - mel[0]) / (mel[2] - mel[0]) * 21 - 1
        assert abs(reader.read(0).mean(0).argmax() - loudest) < 1


def _bad_corpus(folder: Path) -> Path:
    signals = {"good": _signal(0.1), "short": _signal(0.02), "silent": np.zeros(1600)}
    corpus = _corpus(folder, {**signals, "gone": _signal(0.1)})
    (folder / "gone.wav").unlink()
    return corpus


def test_bad_utterances_are_all_named(tmp_path: Path, log: logging.Logger) -> None:
    with pytest.raises(JobError) as caught:
        _run(tmp_path, _bad_corpus(tmp_path), Params(), log)
    lines = str(caught.value).splitlines()
    assert lines[0].endswith("corpus.jsonl: found 3 bad utterances:")
    assert lines[1].endswith("short.wav: found 0.0200 s, needed at least 0.025 s")
    assert lines[2].endswith("silent.wav: found silence, all samples equal, needed speech")
    assert lines[3].startswith("  gone: audio ")
    assert lines[4] == "leave them out of the corpus, or set on_bad to 'skip'"
    assert not (tmp_path / "features.hdf").exists()


def test_bad_utterances_can_be_skipped(tmp_path: Path, log: logging.Logger) -> None:
    with _run(tmp_path, _bad_corpus(tmp_path), Params(on_bad="skip"), log) as reader:
        assert reader.tags == ["good"]
    rows = [json.loads(line) for line in (tmp_path / "skipped.jsonl").open(encoding="utf-8")]
    assert [row["utt"] for row in rows] == ["short", "silent", "gone"]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"num_ceps": 12}, "found num_ceps 12, needed none with kind 'log_mel'"),
        ({"kind": "mfcc", "num_ceps": 41}, "found num_ceps 41, needed 1 to num_mel_bins, 40"),
        ({"kind": "mfcc", "num_ceps": 0}, "found num_ceps 0, needed 1 to num_mel_bins, 40"),
        ({"frame_shift": 0.0}, "found frame_shift 0.0, needed at least one sample, 0.000063"),
        ({"frame_length": 0.0}, "found frame_length 0.0, needed two samples"),
        ({"sample_rate": 0}, "found sample_rate 0, needed more than 0"),
        ({"dither": -1.0}, "found dither -1.0, needed 0 or more"),
        ({"threads": 0}, "found threads 0, needed 1 or more"),
    ],
)
def test_wrong_parameters(params: dict[str, Any], message: str) -> None:
    with pytest.raises(JobError, match=f"^stage f: {message}"):
        from_json(Params, params, "stage f")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (Params(high_freq=9000), "do not fit together: .*high-freq 9000 vs. nyquist 8000"),
        (Params(num_mel_bins=300), "do not fit together: .*num_mel_bins too large"),
    ],
)
def test_parameters_that_do_not_fit(
    tmp_path: Path, log: logging.Logger, params: Params, message: str
) -> None:
    with pytest.raises(JobError, match=message):
        _run(tmp_path, _corpus(tmp_path, {"a": _signal(0.1)}), params, log)


def test_a_corpus_without_utterances(tmp_path: Path, log: logging.Logger) -> None:
    with pytest.raises(JobError, match="found no utterances, needed at least one"):
        _run(tmp_path, _corpus(tmp_path, {}), Params(), log)


def test_real_recordings(data_root: Path, tmp_path: Path, log: logging.Logger) -> None:
    audio = sorted((data_root / "librispeech_sample").rglob("*.flac"))
    utterances = [
        Utterance(utt=p.stem, audio=p, text="a", speaker="s", duration=soundfile.info(p).duration)
        for p in audio
    ]
    write_manifest(tmp_path / "corpus.jsonl", utterances)
    with _run(tmp_path, tmp_path / "corpus.jsonl", Params(), log) as reader:
        for u, frames in zip(utterances, reader.lengths, strict=True):
            assert frames == int((u.duration - 0.025) / 0.01 + 1e-6) + 1
            assert 0 < reader.read(reader.index(u.utt)).mean() < 20
