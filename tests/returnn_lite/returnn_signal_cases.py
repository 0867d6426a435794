"""Spectra and filters that RETURNN and this project compute: arguments of `returnn_cases.Case`."""

from __future__ import annotations

from typing import Any

Net = dict[str, Any]

STFT: Net = {"class": "stft", "frame_shift": 2, "frame_size": 4, "fft_size": 6}
CHANNELS: Net = {"frame_shift": 3, "nr_of_channels": 2, "from": "data:channels"}
STREAMS = {"data": {"dim": 1}, "channels": {"dim": 2}}


def _spectra() -> Net:
    net: Net = {
        "stft": {**STFT, "from": "data"},
        "abs": {"class": "activation", "activation": "abs", "from": "stft"},
        "power": {"class": "eval", "eval": "source(0) ** 2", "from": "abs"},
        "mel": {
            **{"class": "mel_filterbank", "fft_size": 6, "nr_of_filters": 3, "n_out": 3},
            **{"sampling_rate": 8000, "f_min": 60.0, "from": "power"},
        },
        "one": {
            **{"class": "multichannel_stft_layer", "frame_size": 4, "fft_size": 4},
            **{"window": "ones", **CHANNELS},
        },
        "many": {
            **{"class": "multichannel_multiresolution_stft_layer"},
            **{"frame_sizes": [4, 6, 3], "fft_sizes": [4, 6, 8], **CHANNELS},
        },
        "repeated": {"class": "resize", "factor": 3, "axis": "T", "from": "data"},
        "filled": {"class": "resize", "factor": 2, "axis": "T", "kind": "fill", "from": "data"},
        "projected": {
            **{"class": "complex_linear_projection", "nr_of_filters": 3, "n_out": 3},
            **{"from": "data:channels"},
        },
        "output": {"class": "activation", "activation": "safe_log", "from": "mel"},
    }
    net["filled"]["fill_value"] = 0.5
    net["output"]["opts"] = {"eps": 1e-10}
    outputs = ("stft", "mel", "one", "projected", "repeated", "filled", "output")
    for name in (*outputs, "many"):
        net[name]["is_output_layer"] = True
    return {
        "net": net,
        "streams": STREAMS,
        "lengths": {"data": [13, 8, 11], "channels": [9, 7, 8]},
        "outputs": outputs,
    }


def _same_lengths() -> Net:
    """Of equal lengths: RETURNN also adds up frames behind an end."""
    net = _spectra()["net"]
    net["linear"] = {"class": "resize", "factor": 3, "axis": "T", "kind": "linear", "from": "data"}
    net["linear"]["is_output_layer"] = True
    net["output"] = {**STFT, "class": "istft", "from": "stft", "is_output_layer": True}
    return {
        "net": {k: net[k] for k in ("stft", "many", "linear", "output")},
        "streams": STREAMS,
        "lengths": {"data": [13, 13], "channels": [9, 9]},
        "outputs": ("output", "many", "linear"),
    }


def _resized() -> Net:
    """Of lengths whose products with the factors are whole: RETURNN's distance is otherwise not."""
    more = {"class": "resize", "axis": "T", "from": "data"}
    net: Net = {
        "value": {"class": "constant", "value": 1.5, "dtype": "float32"},
        "fewer": {**more, "factor": 0.75},
        "half": {**more, "factor": 0.5},
        "output": {**more, "factor": "value"},
    }
    outputs = ("output", "fewer", "half")
    for name in outputs:
        net[name]["is_output_layer"] = True
    streams = {"data": STREAMS["data"]}
    return {"net": net, "streams": streams, "lengths": {"data": [12, 8, 5]}, "outputs": outputs}


SIGNAL_CASES: dict[str, Net] = {
    "resized": _resized(),
    "spectra": _spectra(),
    "spectra_back": _same_lengths(),
}
