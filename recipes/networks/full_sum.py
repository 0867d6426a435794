"""A transducer that is trained on all alignments at once, and finds the best one (M163, M164)."""

from __future__ import annotations

from typing import Any

from recipes.networks.dropout import dropped
from recipes.networks.encoder import Net


def full_sum(
    encoder: Net, *, labels: int, embed: int, slow: int, readout: int, dropout: float
) -> Net:
    """Return a network whose loss is the sum over all alignments of the labels `data:classes`.

    `alignment` is the best of them: a label, or the blank (index `labels`), for each frame. There
    is no FastRNN, which would differ between alignments; so the joint network is a sum of frames
    and labels, and its output is never stored as a whole. embed, slow, readout: sizes.
    """
    linear: dict[str, Any] = {"class": "linear", "activation": None}
    paths = {"topology": "rna", "input_type": "prob"}
    return {
        **encoder,
        "embed": {**linear, "from": "data:classes", "with_bias": False, "n_out": embed},
        "history": {"class": "prefix_in_time", "from": "embed"},
        "slow": {"class": "rec", "unit": "nativelstm2", "from": "history", "n_out": slow},
        "slow_term": {**linear, "from": "slow", "n_out": readout, **dropped(dropout)},
        "frame_term": {**linear, "from": "encoder", "n_out": readout, **dropped(dropout)},
        "readout_in": {"class": "combine", "kind": "add", "from": ["frame_term", "slow_term"]},
        "readout": {"class": "reduce_out", "mode": "max", "num_pieces": 2, "from": "readout_in"},
        "output": {
            "class": "softmax",
            "from": "readout",
            "n_out": labels + 1,
            "target": "classes",
            "loss": "transducer",
            "loss_opts": paths,
        },
        "alignment": {
            "class": "forced_align",
            "from": "output",
            "align_target": "data:classes",
            **paths,
        },
    }
