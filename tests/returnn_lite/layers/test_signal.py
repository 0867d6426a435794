"""Spectra against numpy's transform of each frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eager import Array, dense, run
from reference import check

from returnn_lite.errors import NetworkError
from returnn_lite.layers.signal import MelFilterbank
from returnn_lite.network import Network

LENGTHS = [13, 2, 9]
STREAMS = {"data": {"dim": 1}}
STFT = {"class": "stft", "frame_size": 4, "frame_shift": 3, "fft_size": 6, "from": "data"}


def hann(size: int) -> Array:
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)


def spectra(x: Array, size: int, shift: int, fft: int, window: Array) -> Array:
    """Return the spectra of the frames that lie within a signal."""
    starts = range(0, len(x) - size + 1, shift)
    frames = [np.fft.rfft(x[i : i + size] * window, fft) for i in starts]
    return np.array(frames).reshape(len(frames), fft // 2 + 1)


def sequences(out: Any) -> list[Array]:
    lengths = out.lengths[out.time_dim.name]
    return [x[:n] for x, n in zip(out.canonical(), lengths, strict=True)]


@pytest.mark.parametrize("fft", [6, 4, 3])
def test_stft(fft: int) -> None:
    network = Network({"output": {**STFT, "fft_size": fft}}, extern_data=STREAMS)
    batch = {"data": dense(LENGTHS, 1)}
    out = run(network, batch)["output"]
    for x, n, y in zip(batch["data"][0], LENGTHS, sequences(out), strict=True):
        # A transform of fewer points sees the beginning of the window alone.
        needed = spectra(x[:n, 0], 4, 3, fft, hann(4)) if fft >= 4 else None
        if needed is None:
            frames = [x[i : i + 3, 0] * hann(4)[:3] for i in range(0, n - 3, 3)]
            needed = np.array([np.fft.rfft(f) for f in frames]).reshape(-1, 2)
        np.testing.assert_allclose(y, needed, atol=1e-5)


def test_gradients_of_the_energy_of_filters() -> None:
    """The usual chain: signal, spectrum, power, filters, logarithm."""
    net = {
        "stft": STFT,
        "abs": {"class": "activation", "activation": "abs", "from": "stft"},
        "power": {"class": "eval", "eval": "source(0) ** 2", "from": "abs"},
        "mel": {
            "class": "mel_filterbank",
            "fft_size": 6,
            "nr_of_filters": 2,
            "sampling_rate": 8000,
            "from": "power",
        },
        "output": {
            "class": "activation",
            "activation": "safe_log",
            "opts": {"eps": 1e-10},
            "from": "mel",
        },
    }
    network = Network(net, extern_data=STREAMS)
    assert network.template("stft").dtype == "complex64"
    assert network.template("abs").dtype == "float32"
    filters = MelFilterbank(fft_size=6, nr_of_filters=2, sampling_rate=8000).matrix()

    def formula(_: Any, data: Array) -> list[Array]:
        found = [spectra(x[:n, 0], 4, 3, 6, hann(4)) for x, n in zip(data, LENGTHS, strict=True)]
        return [np.log(np.abs(y) ** 2 @ filters.astype(np.float64)) for y in found]

    check(network, {"data": dense(LENGTHS, 1)}, formula)


def test_filters_are_triangles_on_the_mel_scale() -> None:
    filters = MelFilterbank(fft_size=512, nr_of_filters=20, f_min=100.0, f_max=4000.0).matrix()
    assert filters.shape == (257, 20)
    mel = 1125 * np.log(1 + np.array([100.0, 4000.0]) / 700)
    centres = 700 * (np.exp(np.linspace(*mel, 22) / 1125) - 1) * 512 / 16000
    for i, column in enumerate(filters.T):
        inside = np.flatnonzero(column)
        assert centres[i] < inside[0] and inside[-1] < centres[i + 2]
        assert abs(column.argmax() - centres[i + 1]) < 1
        for k in inside:
            left, right = centres[i : i + 2] if k < centres[i + 1] else centres[i + 2 : i : -1]
            assert column[k] == pytest.approx((k - left) / (right - left), abs=1e-5)


def test_istft_undoes_stft() -> None:
    net = {
        "stft": {**STFT, "frame_size": 4, "frame_shift": 2, "fft_size": 8},
        "output": {**STFT, "class": "istft", "frame_shift": 2, "fft_size": 8, "from": "stft"},
    }
    network = Network(net, extern_data=STREAMS)
    batch = {"data": dense(LENGTHS, 1)}
    out = run(network, batch)["output"]
    for x, n, y in zip(batch["data"][0], LENGTHS, sequences(out), strict=True):
        frames = max((n - 4) // 2 + 1, 0)
        assert len(y) == (2 * frames + 2 if frames else 0)
        # The window is 0 in the first sample, and the ends lie in one frame only.
        np.testing.assert_allclose(y[2:-2], x[: len(y)][2:-2], atol=1e-5)


@pytest.mark.parametrize("padded", [False, True])
def test_resolutions_of_channels(padded: bool) -> None:
    layer = {
        "class": "multichannel_multiresolution_stft_layer",
        "frame_shift": 2,
        "frame_sizes": [4, 6, 3],
        "fft_sizes": [4, 6, 8],
        "window": "blackman",
        "nr_of_channels": 2,
        "pad_last_frame": padded,
        "from": "data",
    }
    network = Network({"output": layer}, extern_data={"data": {"dim": 2}})
    # So small that what is put behind the end matters.
    batch = {"data": (1e-6 * dense(LENGTHS, 2)[0], LENGTHS)}
    out = run(network, batch)["output"]
    assert network.template("output").feature_size == 2 * (3 + 4 + 5)
    for x, n, y in zip(batch["data"][0], LENGTHS, sequences(out), strict=True):
        count = (n - 5) // 2 + 2 if padded else (n - 4) // 2 + 1
        assert len(y) == max(count, 0)
        parts = []
        for size, fft in ((4, 4), (6, 6), (3, 8)):
            beyond = np.full((max(size - 4, 0), 2), 1e-7)
            signal = np.concatenate([x[:n], beyond, np.zeros((9, 2))])
            for channel in signal.T:
                parts.append(spectra(channel, size, 2, fft, np.blackman(size))[: len(y)])
        np.testing.assert_allclose(y, np.concatenate(parts, axis=1), atol=1e-10)


def test_complex_projection() -> None:
    layer = {"class": "complex_linear_projection", "nr_of_filters": 3, "from": "data"}
    network = Network({"output": layer}, extern_data={"data": {"dim": 4}})
    assert network.param_shapes() == {"output/clp_kernel": (2, 2, 3)}

    def formula(p: Any, data: Array) -> list[Array]:
        kernel = p["output/clp_kernel"][0] + 1j * p["output/clp_kernel"][1]
        complex_ = data[..., ::2] + 1j * data[..., 1::2]
        return [np.log(np.abs(x[:n] @ kernel)) for x, n in zip(complex_, LENGTHS, strict=True)]

    check(network, {"data": dense(LENGTHS, 4)}, formula)


@pytest.mark.parametrize("norm", [None, "ortho"])
def test_dct_is_its_formula(norm: str | None) -> None:
    size = 5
    streams = {"data": {"dim": size}}
    network = Network({"output": {"class": "dct", "norm": norm}}, extern_data=streams)

    def formula(_: Any, data: Array) -> list[Array]:
        k, n = np.arange(size)[:, None], np.arange(size)
        cosines = 2 * np.cos(np.pi * k * (2 * n + 1) / (2 * size))
        if norm:
            cosines *= np.sqrt(np.where(k == 0, 0.25, 0.5) / size)
        return [x[:n] @ cosines.T for x, n in zip(data, LENGTHS, strict=True)]

    check(network, {"data": dense(LENGTHS, size)}, formula)


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        ({"class": "dct", "type": 5}, r"output \(dct\): found type 5 and norm None, needed 1 to 4"),
        ({"class": "dct", "type": 1}, r"found source .*, needed float32 features, 2 or more"),
        ({**STFT, "frame_shift": 0}, r"found .*'frame_step': 0.*, needed 1 or more"),
        ({**STFT, "class": "istft"}, r"needed complex features, 4 for the fft_size"),
        (
            {"class": "mel_filterbank", "fft_size": 512, "from": "data"},
            r"output \(mel_filterbank\): found source .*, needed 257 float features for the",
        ),
        (
            {"class": "multichannel_stft_layer", "frame_shift": 1, "frame_size": 2, "fft_size": 2}
            | {"nr_of_channels": 3, "from": "data"},
            r"found nr_of_channels 3, needed that of",
        ),
        (
            {"class": "multichannel_multiresolution_stft_layer", "frame_shift": 1}
            | {"frame_sizes": [2, 4], "fft_sizes": [2], "from": "data"},
            r"found frame_sizes \[2, 4\] and fft_sizes \[2\], needed as many",
        ),
    ],
)
def test_wrong_options(layer: dict[str, Any], text: str) -> None:
    with pytest.raises(NetworkError, match=text):
        Network({"output": layer}, extern_data=STREAMS)


def test_several_channels_need_another_layer() -> None:
    with pytest.raises(NetworkError, match=r"needed one channel; try .* multichannel_stft_layer"):
        Network({"output": STFT}, extern_data={"data": {"dim": 2}})
