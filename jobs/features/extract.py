"""Compute acoustic features of a corpus: log-mel or MFCC, as Kaldi defines them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from jobs.corpus.manifest import Utterance, read_manifest
from jobs.files import written
from jobs.job import Expected, JobError, Resources, file, unhashed
from jobs.progress import progress
from jobs.shards import WHOLE, Shard, merge_sequences, merge_skipped
from jobs.skipped import Skipped

if TYPE_CHECKING:
    from jobs.features.kaldi import Features

NAME = "features.extract"
VERSION = 1

BLOCK = 64  # utterances in memory at once


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """corpus: manifest."""

    corpus: Path


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """features: [frames, dim] float32 for each utterance. skipped: JSONL of {"utt", "reason"}."""

    features: Path = file("features.hdf")
    skipped: Path = file("skipped.jsonl")


@dataclass(frozen=True, kw_only=True)
class Params:
    """What to compute; the rest (pre-emphasis, energy, liftering, ...) is Kaldi's default.

    kind: logarithms of mel-filter energies, or cepstra of them. num_mel_bins: number of filters.
    num_ceps: number of cepstra, MFCC only, 13 by default; the first is the frame's log energy.
    sample_rate: Hz; other recordings are resampled. frame_length, frame_shift: seconds.
    window: as Kaldi names them. low_freq, high_freq: ends of the filter bank in Hz; a high_freq
    that is not positive counts from half the sample rate.
    dither: standard deviation of noise added to the samples, in steps of 16 bits; seeded by the
    utterance's name. on_bad: whether an utterance that is unreadable, silent (all samples equal)
    or shorter than a frame is an error, or is left out and listed.
    """

    kind: Literal["log_mel", "mfcc"] = "log_mel"
    num_mel_bins: int = 40
    num_ceps: int | None = None
    sample_rate: int = 16000
    frame_length: float = 0.025
    frame_shift: float = 0.010
    window: Literal["povey", "hamming", "hanning", "blackman", "rectangular"] = "povey"
    low_freq: float = 20.0
    high_freq: float = 0.0
    dither: float = 0.0
    on_bad: Literal["error", "skip"] = "error"
    threads: int = unhashed(2)

    def __post_init__(self) -> None:
        sample = 1 / self.sample_rate if self.sample_rate > 0 else 1.0
        bins, mfcc = self.num_mel_bins, self.kind == "mfcc"
        checks = [
            (mfcc or self.num_ceps is None, "num_ceps", "none with kind 'log_mel'"),
            (not mfcc or 0 < self.cepstra <= bins, "num_ceps", f"1 to num_mel_bins, {bins}"),
            (self.sample_rate > 0, "sample_rate", "more than 0"),
            (self.frame_shift >= sample, "frame_shift", f"at least one sample, {sample:.6f} s"),
            (self.frame_length >= 2 * sample, "frame_length", f"two samples, {2 * sample:.6f} s"),
            (self.dither >= 0, "dither", "0 or more"),
            (self.threads > 0, "threads", "1 or more"),
        ]
        for good, name, needed in checks:
            if not good:
                raise ValueError(f"found {name} {getattr(self, name)}, needed {needed}")

    @property
    def cepstra(self) -> int:
        """Number of cepstra where they are computed."""
        return 13 if self.num_ceps is None else self.num_ceps

    @property
    def dim(self) -> int:
        """Size of a frame's features."""
        return self.num_mel_bins if self.kind == "log_mel" else self.cepstra


def resources(params: Params) -> Resources:
    return Resources(threads=params.threads, mem_mb=1000, minutes=240)


def expected(params: Params, inputs: Mapping[str, Expected]) -> dict[str, Expected]:
    """Return the size of the features."""
    seconds = inputs["corpus"].seconds
    size = int(seconds / params.frame_shift * params.dim * 4)
    stream = {"dim": params.dim, "sparse": False}
    return {"features": Expected(bytes=size, seconds=seconds, stream=stream)}


def run(
    inputs: Inputs, outputs: Outputs, params: Params, log: logging.Logger, shard: Shard = WHOLE
) -> None:
    """Compute the features, in the manifest's order.

    Raises JobError for parameters that do not fit together, a corpus without utterances, and for
    bad utterances.
    """
    from jobs.features.kaldi import options
    from returnn_lite.hdf import HdfWriter

    utterances = read_manifest(inputs.corpus)
    if not utterances:
        raise JobError(f"{inputs.corpus}: found no utterances, needed at least one")
    opts = options(params)
    utterances = shard.of(utterances, [u.duration for u in utterances])
    skipped = _skipped(inputs, params)
    with written(outputs.features) as tmp, HdfWriter(tmp, params.dim) as writer:
        results = _results(utterances, params, opts)
        for u, result in zip(progress(utterances, "features", log), results, strict=True):
            if isinstance(result, str):
                skipped.add(u.utt, result)
            else:
                writer.write(u.utt, result)
        skipped.finish(outputs.skipped, len(utterances), log, whole=shard.whole)


def merge(
    inputs: Inputs, parts: Sequence[Outputs], outputs: Outputs, params: Params, log: logging.Logger
) -> None:
    """Put the features of all shards together."""
    good = merge_sequences([part.features for part in parts], outputs.features)
    lists = [part.skipped for part in parts]
    merge_skipped(lists, outputs.skipped, good, _skipped(inputs, params), log)


def _skipped(inputs: Inputs, params: Params) -> Skipped:
    """Return what collects the bad utterances."""
    return Skipped(
        where=str(inputs.corpus),
        skip=params.on_bad == "skip",
        advice="leave them out of the corpus, or set on_bad to 'skip'",
    )


def _results(utterances: list[Utterance], params: Params, opts: Any) -> Iterator[Features | str]:
    """Yield features, or what is wrong, of each utterance in order, computed in threads."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(params.threads) as pool:
        for start in range(0, len(utterances), BLOCK):
            block = utterances[start : start + BLOCK]
            yield from pool.map(lambda u: _features(u, params, opts), block)


def _features(u: Utterance, params: Params, opts: Any) -> Features | str:
    """Return the features of an utterance, or what is wrong with it."""
    from jobs.corpus.audio import read_audio
    from jobs.features.kaldi import extract

    try:
        samples = read_audio(u.audio, params.sample_rate)
    except JobError as error:
        return str(error)
    if samples.min() == samples.max():
        return f"audio {u.audio}: found silence, all samples equal, needed speech"
    features = extract(samples, u.utt, params, opts)
    if not len(features):
        seconds = len(samples) / params.sample_rate
        return f"audio {u.audio}: found {seconds:.4f} s, needed at least {params.frame_length} s"
    return features
