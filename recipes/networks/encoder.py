"""A stack of bidirectional LSTMs with time pooling, as in the tutorial's speech models."""

from __future__ import annotations

from typing import Any

from recipes.networks.dropout import dropped

Net = dict[str, Any]


def blstm(
    *,
    units: tuple[int, ...],
    stride: int,
    filters: int,
    pooling: tuple[int, ...],
    dropout: float,
    warp: float = 0.18,
    high_freq: float = 8000.0,
) -> Net:
    """Return layers that end in `encoder`: float [batch, time / (stride * pooling), feat].

    A convolution takes every `stride` frames together before the first LSTM, so that no recurrency
    runs at the full frame rate. filters: its outputs. units: of each LSTM, per direction. pooling:
    by how much the frames are pooled after each of the first LSTMs. dropout: on the input of each.
    In training, the frequencies of the log-mel input, which end at high_freq (Hz), are warped by a
    factor from 1 - warp to 1 + warp, so that unseen speakers are less new, and bands are masked.
    """
    if len(pooling) > len(units):
        raise ValueError(
            f"found pooling {pooling}, needed at most one for each of {len(units)} LSTMs"
        )
    net = _front_end(stride=stride, filters=filters, warp=warp, high_freq=high_freq)
    source: str | list[str] = "conv"
    for i, n_out in enumerate(units):
        lstm = {
            "class": "rec",
            "unit": "nativelstm2",
            "unit_opts": {"forget_bias": 1.0},
            "n_out": n_out,
            "from": source,
            **dropped(dropout),
        }
        net[f"lstm{i}_fw"] = {**lstm, "direction": 1}
        net[f"lstm{i}_bw"] = {**lstm, "direction": -1}
        source = [f"lstm{i}_fw", f"lstm{i}_bw"]
        if i < len(pooling) and pooling[i] > 1:
            net[f"pool{i}"] = {
                "class": "pool",
                "mode": "max",
                "pool_size": [pooling[i]],
                "padding": "same",
                "from": source,
            }
            source = f"pool{i}"
    net["encoder"] = {"class": "copy", "from": source}
    return net


def _front_end(*, stride: int, filters: int, warp: float, high_freq: float) -> Net:
    """Return what is before the first LSTM: augmentation, and the convolution `conv`."""
    return {
        "warp": {"class": "vtlp", "warp": warp, "high_freq": high_freq, "from": "data"},
        "augment": {
            "class": "spec_augment",
            "time_size": 10,
            "feature_size": 5,
            "from": "warp",
        },
        "conv": {
            "class": "conv",
            "filter_size": [2 * stride - 1],
            "strides": stride,
            # Unlike "same", the frames of a window do not depend on the length of the sequence.
            "padding": "same_static",
            "activation": "relu",
            "with_bias": True,
            "n_out": filters,
            "from": "augment",
        },
    }
