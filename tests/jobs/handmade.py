"""A searching model whose parameters are set by hand, and a language model for it.

The features of a frame are the scores of its labels and of the blank, so that tests say what the
model hears.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from synthetic import LABELS, save_by_hand, write_corpus, write_sequences

from recipes.networks.transducer import shallow_fusion

Array = np.ndarray[Any, np.dtype[Any]]
BLANK = LABELS
A, B, SPACE = 2, 3, 4
STREAMS = {"data": {"dim": LABELS + 1}, "alignment": {"dim": LABELS + 1, "sparse": True}}
STEP_LM = {
    "output": {"class": "linear", "activation": "log_softmax", "from": "data", "n_out": LABELS}
}


def search_net(*, beam_size: int = 4, fused: bool = False) -> dict[str, Any]:
    """Return a network that searches for a label or blank in each frame; `labels` has no blanks."""
    linear = {"class": "linear", "activation": None, "from": "data:source"}
    scores = "lm_label_log_prob" if fused else "label_emit_log_prob"
    unit = {
        "prev_label": {
            "class": "reinterpret_data",
            "from": "prev:output",
            "set_sparse_dim": LABELS,
        },
        "label_emit_log_prob": {**linear, "n_out": LABELS},
        "blank_log_prob": {**linear, "n_out": 1},
        **(shallow_fusion(STEP_LM) if fused else {}),
        "scores": {"class": "copy", "from": [scores, "blank_log_prob"]},
        "output": {
            "class": "choice",
            "from": "scores",
            "input_type": "log_prob",
            "target": "alignment",
            "beam_size": beam_size,
            "initial_output": 0,
        },
        "output_emit": {
            "class": "compare",
            "kind": "not_equal",
            "from": "output",
            "value": BLANK,
            "initial_output": 1,
            "is_output_layer": True,
        },
    }
    unit["prob"] = {
        "class": "activation",
        "activation": "exp",
        "from": "scores",
        "target": "alignment",
        "loss": "ce",
    }
    return {
        "output": {"class": "rec", "from": "data", "unit": unit},
        "labels": {
            "class": "masked_computation",
            "mask": "output/output_emit",
            "from": "output",
            "unit": {"class": "copy"},
        },
    }


def save_model(folder: Path) -> Path:
    """Write the model: what is heard is the score."""
    identity = np.eye(LABELS + 1)
    weights = {
        "output/rec/label_emit_log_prob/W": identity[:, :LABELS],
        "output/rec/blank_log_prob/W": identity[:, LABELS:],
    }
    return save_by_hand(folder, search_net(), STREAMS, weights)


def save_lm(folder: Path, follows: Mapping[int, int]) -> Path:
    """Write a language model in which, after a label, one is e^3 times as likely as others."""
    scores = np.zeros((LABELS, LABELS))
    for before, after in follows.items():
        scores[before, after] = 3.0
    streams = {"data": {"dim": LABELS, "sparse": True}}
    return save_by_hand(folder, STEP_LM, streams, {"output/W": scores})


def heard(*frames: Mapping[int, float]) -> Array:
    """Return features: the probabilities of some labels in each frame; others have next to none."""
    x = np.full((len(frames), LABELS + 1), 1e-4)
    for row, frame in zip(x, frames, strict=True):
        for label, probability in frame.items():
            row[label] = probability
    return np.log(x)


def save_data(folder: Path, sounds: Mapping[str, Array], texts: Sequence[str]) -> tuple[Path, Path]:
    """Write features, a second for each frame, and their corpus."""
    features = write_sequences(folder / "heard.hdf", sounds, LABELS + 1)
    seconds = {utt: float(len(x)) for utt, x in sounds.items()}
    corpus = write_corpus(folder / "heard.jsonl", dict(zip(sounds, texts, strict=True)), seconds)
    return features, corpus
