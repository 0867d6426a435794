"""Noise: power, spectrum, and what it depends on."""

from __future__ import annotations

import numpy as np
import pytest

from jobs.corpus.noise import Noise, background, decibels, generator, noise, rms

RATE = 16000


def slope(samples: np.ndarray, low: float, high: float) -> float:
    """Return the change of power density in dB an octave, from octave-wide means."""
    power = np.abs(np.fft.rfft(samples)) ** 2
    hertz = np.fft.rfftfreq(len(samples), 1 / RATE)

    def density(centre: float) -> float:
        band = (hertz > centre / 1.1) & (hertz < centre * 1.1)
        return 10 * float(np.log10(power[band].mean()))

    return (density(high) - density(low)) / float(np.log2(high / low))


@pytest.mark.parametrize(
    ("kind", "low", "high", "expected"),
    [
        ("white", 100, 6400, 0.0),
        ("pink", 100, 6400, -3.01),
        ("speech", 100, 400, 0.0),
        ("speech", 800, 6400, -9.03),
    ],
)
def test_spectrum(kind: Noise, low: float, high: float, expected: float) -> None:
    samples = noise(kind, 40 * RATE, RATE, generator("spectrum"))
    assert slope(samples, low, high) == pytest.approx(expected, abs=0.3)


@pytest.mark.parametrize("kind", ["white", "pink", "speech"])
@pytest.mark.parametrize("time", [160, 12345])
def test_mean_power_is_one(kind: Noise, time: int) -> None:
    samples = noise(kind, time, RATE, generator("power"))
    assert samples.shape == (time,) and samples.dtype == np.float32
    assert rms(samples) == pytest.approx(1)


def test_a_generator_depends_on_its_key_alone() -> None:
    draws = [generator(*key).random() for key in (("a", 1), ("a", 1), ("a", 2), ("b", 1))]
    assert draws[0] == draws[1]
    assert len(set(draws)) == 3


def test_decibels() -> None:
    assert decibels(-20) == pytest.approx(0.1)
    assert decibels(6.0206) == pytest.approx(2)


def test_background_is_the_quietest_part() -> None:
    samples = noise("white", RATE, RATE, generator("b"))
    samples[4000:6000] *= 0.01
    assert background(samples, RATE) == pytest.approx(0.01, rel=0.3)
    assert background(samples[:100], RATE) == pytest.approx(rms(samples[:100]))  # less than 20 ms
