"""Log-mel and MFCC features by Kaldi's definition, through kaldi-native-fbank."""

from __future__ import annotations

import zlib
from typing import Any, TypeAlias

import kaldi_native_fbank as knf
import numpy as np
from numpy.typing import NDArray

from jobs.features.extract import NAME, Params
from jobs.job import JobError

Features: TypeAlias = NDArray[np.float32]

FULL_SCALE = 2**15  # Kaldi counts samples in steps of 16 bits


def options(params: Params) -> Any:
    """Return kaldi-native-fbank's options; what params does not name is Kaldi's default.

    Raises JobError for parameters that do not fit together.
    """
    result = knf.FbankOptions() if params.kind == "log_mel" else knf.MfccOptions()
    frame, mel = result.frame_opts, result.mel_opts
    frame.samp_freq = params.sample_rate
    frame.frame_length_ms = 1000 * params.frame_length
    frame.frame_shift_ms = 1000 * params.frame_shift
    frame.window_type = params.window
    frame.dither = 0.0  # the library's is seeded by the clock; extract adds its own
    mel.num_bins = params.num_mel_bins
    mel.low_freq, mel.high_freq = params.low_freq, params.high_freq
    if params.kind == "mfcc":
        result.num_ceps = params.cepstra
    _extractor(params, result)
    return result


def _extractor(params: Params, opts: Any) -> Any:
    try:
        return knf.OnlineFbank(opts) if params.kind == "log_mel" else knf.OnlineMfcc(opts)
    except ValueError as error:
        raise JobError(f"{NAME}: parameters do not fit together: {error}") from None


def extract(samples: NDArray[np.float32], name: str, params: Params, opts: Any) -> Features:
    """Compute features, float32 [frames, dim]; no frames where less than one frame_length is there.

    samples: [time] in [-1, 1), scaled here to the range of 16 bits as Kaldi has it. name: seeds the
    dither. opts: from `options`.
    """
    scaled = samples * np.float32(FULL_SCALE)
    if params.dither:
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        scaled += params.dither * rng.standard_normal(len(scaled), dtype=np.float32)
    extractor = _extractor(params, opts)
    extractor.accept_waveform(params.sample_rate, scaled)
    extractor.input_finished()
    result = np.empty((extractor.num_frames_ready, extractor.dim), np.float32)
    for i in range(len(result)):
        result[i] = extractor.get_frame(i)
    return result
