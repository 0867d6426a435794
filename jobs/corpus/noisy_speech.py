"""Recordings of requests: spoken by several processes at once, with pauses and noise."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

import numpy as np

from jobs.corpus.audio import Samples, read_audio, write_audio
from jobs.corpus.noise import decibels, generator, noise, rms
from jobs.corpus.synthesis import Synthesiser
from jobs.corpus.voices import Request
from jobs.progress import progress

if TYPE_CHECKING:
    from jobs.corpus.commands import Params

PAUSE_SECONDS = (0.1, 0.3)  # before and after an utterance
LARGEST_PEAK = 0.99


def synthesise(
    requests: Sequence[Request], folder: Path, params: Params, log: logging.Logger
) -> dict[str, float]:
    """Write `folder/<utt>.wav` for each request; returns the seconds of each by its name."""
    with ExitStack() as stack:
        idle: SimpleQueue[Synthesiser] = SimpleQueue()
        for _ in range(params.processes):
            idle.put(stack.enter_context(Synthesiser()))

        def make(request: Request) -> float:
            synthesiser = idle.get()
            try:
                return _make(request, synthesiser, folder, params)
            finally:
                idle.put(synthesiser)

        pool = stack.enter_context(ThreadPoolExecutor(params.processes))
        futures = [pool.submit(make, request) for request in requests]
        stack.callback(pool.shutdown, cancel_futures=True)
        seconds = [future.result() for future in progress(futures, "speech", log)]
    return {request.utt: s for request, s in zip(requests, seconds, strict=True)}


def _make(request: Request, synthesiser: Synthesiser, folder: Path, params: Params) -> float:
    """Write the wav file of one request; returns its seconds."""
    path = folder / f"{request.utt}.wav"
    synthesiser.say(request.sentence, request.voice, path)
    samples = add_noise(read_audio(path, params.sample_rate), request.utt, params)
    write_audio(path, samples, params.sample_rate)
    return len(samples) / params.sample_rate


def add_noise(speech: Samples, utt: str, params: Params) -> Samples:
    """Bring speech to a level, put a pause on both sides, and add noise over all of it.

    What is drawn depends on the seed and on the utterance's name alone.
    """
    draw = generator("commands", params.seed, utt)
    level = decibels(draw.uniform(params.level_db.low, params.level_db.high))
    snr = params.snr_db[draw.integers(len(params.snr_db))]
    kind = params.noises[draw.integers(len(params.noises))]
    pauses = np.round(draw.uniform(*PAUSE_SECONDS, size=2) * params.sample_rate).astype(int)
    padded = np.pad(speech * (level / np.float32(rms(speech))), pauses)
    total = padded + level / decibels(snr) * noise(kind, len(padded), params.sample_rate, draw)
    peak = float(np.abs(total).max())
    limited: Samples = total * np.float32(min(1.0, LARGEST_PEAK / peak))
    return limited
