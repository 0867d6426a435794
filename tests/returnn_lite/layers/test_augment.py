"""Layers that change the input in training: what they mask and warp, and what they leave."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eager import Array, dense, run

from returnn_lite.errors import NetworkError
from returnn_lite.network import Network

STREAMS = {"data": {"dim": 30}}


def augmented(x: Array, lengths: list[int], *, step: int = 0, seed: int = 1, **layer: Any) -> Array:
    net = {"output": {"from": "data", **layer}}
    network = Network(net, extern_data={"data": {"dim": x.shape[-1]}}, train=True, seed=seed)
    return run(network, {"data": (x, lengths)}, step=step)["output"].values


def runs(hidden: Array) -> list[int]:
    """Return the lengths of the runs of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], hidden.astype(int), [0]])))
    return (edges[1::2] - edges[::2]).tolist()


@pytest.mark.parametrize("seed", range(5))
def test_spec_augment_zeroes_bands_of_limited_number_and_width(seed: int) -> None:
    x = np.ones((6, 40, 30), np.float32)
    layer = {"class": "spec_augment", "time_masks": 2, "time_size": 7}
    out = augmented(x, [40] * 6, seed=seed, feature_masks=1, feature_size=5, **layer)
    assert set(np.unique(out)) == {0.0, 1.0}
    shown = []
    for sequence in out:
        frames, features = ~sequence.any(axis=1), ~sequence.any(axis=0)
        np.testing.assert_array_equal(sequence == 0, frames[:, None] | features[None, :])
        assert len(runs(frames)) <= 2 and frames.sum() <= 14
        assert len(runs(features)) <= 1 and features.sum() <= 5
        shown.append((*frames, *features))
    assert len(set(shown)) > 3, "sequences get the same bands"


def test_bands_of_time_begin_within_the_sequence() -> None:
    x = np.ones((200, 50, 30), np.float32)
    layer = {"class": "spec_augment", "time_masks": 1, "time_size": 4, "feature_masks": 0}
    out = augmented(x, [5] * 200, **layer)
    hidden = ~out.any(axis=2)
    # Of sequences with 5 frames, each frame is hidden now and then.
    assert np.all(hidden[:, :5].mean(axis=0) > 0.1)
    assert 0.25 < hidden[:, :5].mean() < 0.55


@pytest.mark.parametrize("name", ["spec_augment", "vtlp"])
def test_augmentation_depends_on_seed_and_step_and_is_none_in_evaluation(name: str) -> None:
    x, lengths = dense([40, 40], 30)
    first = augmented(x, lengths, **{"class": name})
    np.testing.assert_array_equal(first, augmented(x, lengths, **{"class": name}))
    assert np.any(first != augmented(x, lengths, step=1, **{"class": name}))
    assert np.any(first != augmented(x, lengths, seed=2, **{"class": name}))
    network = Network({"output": {"class": name, "from": "data"}}, extern_data=STREAMS, train=True)
    plain = run(network, {"data": (x, lengths)}, train=False)["output"].values
    np.testing.assert_array_equal(plain, x)


def test_vtlp_moves_a_peak_along_the_bins_by_at_most_its_factor() -> None:
    mel = np.linspace(0, 1127 * np.log(1 + 8000 / 700), 82)[1:-1]
    hertz = 700 * np.expm1(mel / 1127)
    x = np.exp(-0.5 * ((hertz - 2000) / 300) ** 2)[None, None, :].repeat(50, axis=0)
    out = augmented(x.astype(np.float32), [1] * 50, **{"class": "vtlp", "low_freq": 0.0})
    peaks = hertz[out[:, 0].argmax(axis=-1)]
    assert 1750 < peaks.min() < 1950 and 2050 < peaks.max() < 2300
    np.testing.assert_allclose(out.max(axis=-1), 1.0, atol=0.1)
    still = augmented(x.astype(np.float32), [1] * 50, **{"class": "vtlp", "warp": 0.0})
    np.testing.assert_allclose(still, x, atol=1e-3)


def test_vtlp_keeps_flat_spectra_and_warps_all_frames_of_a_sequence_alike() -> None:
    flat = np.full((3, 5, 30), 2.5, np.float32)
    np.testing.assert_allclose(augmented(flat, [5, 5, 5], **{"class": "vtlp"}), flat, rtol=1e-5)
    x = np.repeat(dense([1, 1], 30)[0], 4, axis=1)
    out = augmented(x, [4, 4], **{"class": "vtlp"})
    np.testing.assert_allclose(out, np.repeat(out[:, :1], 4, axis=1), rtol=1e-5)


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (
            {"class": "spec_augment", "time_size": -1},
            r"output \(spec_augment\): found time_size -1, needed 0 or more",
        ),
        ({"class": "vtlp", "warp": 1.0}, r"output \(vtlp\): found warp 1.0, needed 0 to less"),
        (
            {"class": "vtlp", "low_freq": 9000.0},
            r"found low_freq 9000.0 and high_freq 8000.0, needed a range",
        ),
        (
            {"class": "spec_augment", "from": "count"},
            r"output \(spec_augment\): found source \[B\], int32, needed a time and a feature dim",
        ),
        (
            {"class": "vtlp", "from": "count"},
            r"output \(vtlp\): found source \[B\], int32, needed a batch and a feature dim",
        ),
    ],
)
def test_mistakes(layer: dict[str, Any], text: str) -> None:
    net = {"count": {"class": "length", "from": "data"}, "output": {"from": "data", **layer}}
    with pytest.raises(NetworkError, match=text):
        Network(net, extern_data=STREAMS)
