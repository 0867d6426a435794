"""Speech with noise: the level and the signal-to-noise ratio that were asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from jobs.corpus.commands import Params
from jobs.corpus.noise import rms
from jobs.corpus.noisy_speech import add_noise
from jobs.corpus.ranges import Range

SPEECH = np.sin(np.arange(16000) / 7).astype(np.float32) * 0.3
LEVEL = Range(low=-26, high=-26)


@pytest.mark.parametrize("kind", ["white", "pink", "speech"])
def test_level_and_snr(kind: str) -> None:
    params = Params(snr_db=(12.0,), noises=(kind,), level_db=LEVEL)
    quiet = add_noise(SPEECH, "u", replace(params, snr_db=(200.0,)))
    noisy = add_noise(SPEECH, "u", params)
    assert 20 * np.log10(rms(quiet[np.abs(quiet) > 1e-6])) == pytest.approx(-26, abs=0.2)
    assert 20 * np.log10(rms(noisy - quiet)) == pytest.approx(-26 - 12, abs=0.1)


def test_pauses_lie_on_both_sides() -> None:
    samples = add_noise(SPEECH, "u", Params(snr_db=(200.0,)))
    loud = np.flatnonzero(np.abs(samples) > 1e-3)
    for pause in (loud[0], len(samples) - loud[-1]):
        assert 0.1 * 16000 <= pause <= 0.3 * 16000 + 2


def test_nothing_clips() -> None:
    samples = add_noise(SPEECH, "u", Params(snr_db=(-5.0,), level_db=Range(low=0, high=0)))
    assert np.abs(samples).max() == pytest.approx(0.99)


def test_draws_differ_from_one_utterance_to_another() -> None:
    lengths = {len(add_noise(SPEECH, f"u{i}", Params())) for i in range(20)}
    assert len(lengths) > 15
    np.testing.assert_array_equal(
        add_noise(SPEECH, "u", Params()), add_noise(SPEECH, "u", Params())
    )


def test_all_listed_values_are_drawn() -> None:
    params = Params(snr_db=(0.0, 40.0), noises=("white",), level_db=LEVEL)
    levels = {round(rms(add_noise(SPEECH, f"u{i}", params)[:1600]), 2) for i in range(20)}
    assert levels == {0.05, 0.0}
