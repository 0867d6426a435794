"""Recordings and pictures within a page."""

from __future__ import annotations

import base64
import io
import struct
import zlib

import numpy as np
import soundfile

from jobs.report.media import COLOURS, audio_uri, picture_uri, png, spectrogram


def content(uri: str, kind: str) -> bytes:
    head, _, body = uri.partition(",")
    assert head == f"data:{kind};base64"
    return base64.b64decode(body)


def test_a_recording_stays_as_it_is() -> None:
    samples = np.random.default_rng(0).uniform(-1, 1, 500).astype(np.float32)
    decoded, rate = soundfile.read(io.BytesIO(content(audio_uri(samples, 8000), "audio/flac")))
    assert rate == 8000
    np.testing.assert_allclose(decoded, samples, atol=2**-15)


def test_a_picture_is_a_png_of_its_values() -> None:
    data = content(picture_uri(np.array([[0.0, 1.0, 2.0], [2.0, 2.0, 2.0]])), "image/png")
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    found, at = {}, 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert data[at + 8 + length : at + 12 + length] == struct.pack(
            ">I", zlib.crc32(kind + body)
        )
        found[kind] = body
        at += 12 + length
    assert [*found] == [b"IHDR", b"PLTE", b"IDAT", b"IEND"]
    assert struct.unpack(">IIBBBBB", found[b"IHDR"]) == (3, 2, 8, 3, 0, 0, 0)
    assert zlib.decompress(found[b"IDAT"]) == bytes([0, 0, 128, 255, 0, 255, 255, 255])
    assert found[b"PLTE"][:3] == bytes(COLOURS[0]) and found[b"PLTE"][-3:] == bytes(COLOURS[-1])


def test_a_picture_of_one_value() -> None:
    zeros = png(np.zeros((1, 2), np.uint8))
    assert content(picture_uri(np.full((1, 2), 7.0)), "image/png") == zeros


def test_a_tone_is_a_line_at_its_frequency() -> None:
    rate, tone = 8000, 1000
    samples = np.sin(2 * np.pi * tone * np.arange(rate) / rate).astype(np.float32)
    found = spectrogram(samples, rate)
    assert found.shape == (101, 100)  # 0 to 4000 Hz in steps of 40 Hz, a frame each 10 ms
    frequencies = np.linspace(4000, 0, 101)
    assert set(frequencies[found[:, 2:-2].argmax(axis=0)]) == {tone}
    assert found.max() - found.min() <= 70.0 + 1e-9


def test_a_sound_that_is_shorter_than_a_window() -> None:
    assert spectrogram(np.ones(10, np.float32), 8000).shape == (101, 1)
