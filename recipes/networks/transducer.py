"""The extended transducer of Zeyer et al. (2020): SlowRNN, FastRNN, and a separate emit model."""

from __future__ import annotations

from typing import Any

from recipes.networks.dropout import dropped
from recipes.networks.encoder import Net


def transducer(
    encoder: Net,
    *,
    labels: int,
    embed: int,
    slow: int,
    fast: int,
    readout: int,
    dropout: float,
    beam_size: int,
    fusion: Net | None = None,
) -> Net:
    """Return encoder and decoder; `output` has one label or blank (index `labels`) per frame.

    The FastRNN runs over the frames, the SlowRNN over the labels without blanks. embed, slow, fast,
    readout: their sizes. fusion: layers that make `lm_label_log_prob` of `label_emit_log_prob`.
    """
    unit: Net = {
        **_slow_rnn(labels=labels, embed=embed, units=slow),
        **_fast_rnn(units=fast, dropout=dropout),
        **_readout(labels=labels, size=readout, dropout=dropout),
        **(fusion or {}),
    }
    label_scores = "lm_label_log_prob" if fusion else "label_emit_log_prob"
    unit["output_log_prob"] = {"class": "copy", "from": [label_scores, "blank_log_prob"]}
    unit["output_prob"] = {
        "class": "activation",
        "activation": "exp",
        "from": "output_log_prob",
        "target": "alignment",
        "loss": "ce",
    }
    unit["output"] = {
        "class": "choice",
        "from": "output_log_prob",
        "input_type": "log_prob",
        "target": "alignment",
        "beam_size": beam_size,
        "initial_output": 0,
    }
    unit["output_emit"] = {
        "class": "compare",
        "kind": "not_equal",
        "from": "output",
        "value": labels,
        "initial_output": 1,
        "is_output_layer": True,
    }
    return {
        **encoder,
        "output": {"class": "rec", "from": "encoder", "unit": unit},
        "labels": {
            "class": "masked_computation",
            "mask": "output/output_emit",
            "from": "output",
            "unit": {"class": "copy"},
        },
    }


def forced_alignment(net: Net, *, labels: int) -> Net:
    """Return a transducer that searches for the best alignment of the labels `data:classes`.

    The labels are fixed and their frames are searched for (M104): in each frame a hypothesis may
    emit its next label, or a blank if enough frames are left for the labels that remain.
    """
    unit = dict(net["output"]["unit"])
    number = f"tf.range({labels + 1})[None, :]"
    emit = f"tf.logical_and({number} == source(1), source(2) < source(3))"
    blank = (
        f"tf.logical_and({number} == {labels}, source(4) - source(5) - 1 >= source(3) - source(2))"
    )
    unit |= {
        "emitted": {
            "class": "eval",
            "from": ["prev:emitted", "output_emit"],
            "eval": "source(0) + tf.cast(source(1), tf.int32)",
            "out_type": {"dtype": "int32"},
            "initial_output": 0,
        },
        "next_label": {
            "class": "gather",
            "from": "base:data:classes",
            "position": "prev:emitted",
        },
        "label_count": {"class": "length", "from": "base:data:classes"},
        "frame_count": {"class": "length", "from": "base:encoder"},
        "allowed": {
            "class": "eval",
            "from": [
                "output_log_prob",
                "next_label",
                "prev:emitted",
                "label_count",
                "frame_count",
                ":i",
            ],
            "eval": f"tf.where(tf.logical_or({emit}, {blank}), source(0), float('-inf'))",
        },
        "output": {**unit["output"], "from": "allowed"},
    }
    return {**net, "output": {**net["output"], "unit": unit}}


def shallow_fusion(lm: Net) -> Net:
    """Return the layers that add `lm_scale` times the language model's log-probability to labels.

    lm: a network whose `output` is the log-probability after the label `data`. It is updated only
    by labels, as the SlowRNN is. Its parameters are those of the job's input `lm`; `lm_scale` is a
    value of the config.
    """
    return {
        "lm": {
            "class": "masked_computation",
            "mask": "prev:output_emit",
            "from": "prev_label",
            "unit": {"class": "subnetwork", "subnetwork": lm, "load_on_init": "{lm}"},
        },
        "lm_label_log_prob": {
            "class": "eval",
            "from": ["label_emit_log_prob", "lm"],
            "eval": "source(0) + self.network.get_config().typed_value('lm_scale') * source(1)",
        },
    }


def _slow_rnn(*, labels: int, embed: int, units: int) -> Net:
    subnetwork: Net = {
        "input_embed": {
            "class": "linear",
            "activation": None,
            "with_bias": False,
            "from": "data",
            "n_out": embed,
        },
        "lstm0": {"class": "rec", "unit": "nativelstm2", "from": "input_embed", "n_out": units},
        "output": {"class": "copy", "from": "lstm0"},
    }
    return {
        # Where the last output is a blank, nothing uses it as a label.
        "prev_label": {
            "class": "reinterpret_data",
            "from": "prev:output",
            "set_sparse_dim": labels,
        },
        "slow": {
            "class": "masked_computation",
            "mask": "prev:output_emit",
            "from": "prev_label",
            "unit": {"class": "subnetwork", "subnetwork": subnetwork},
        },
    }


def _fast_rnn(*, units: int, dropout: float) -> Net:
    return {
        "fast": {
            "class": "rec",
            "unit": "nativelstm2",
            "from": ["slow", "data:source"],
            "n_out": units,
            **dropped(dropout),
        }
    }


def _readout(*, labels: int, size: int, dropout: float) -> Net:
    linear: dict[str, Any] = {"class": "linear", "activation": None}
    return {
        "readout_in": {**linear, "from": ["fast", "slow"], "n_out": size},
        "readout": {
            "class": "reduce_out",
            "mode": "max",
            "num_pieces": 2,
            "from": "readout_in",
        },
        "emit_prob0": {**linear, "from": "fast", "n_out": 1},
        "emit_log_prob": {
            "class": "activation",
            "activation": "log_sigmoid",
            "from": "emit_prob0",
        },
        "blank_log_prob": {
            "class": "eval",
            "from": "emit_prob0",
            "eval": "log_sigmoid(-source(0))",
        },
        "label_log_prob": {
            "class": "linear",
            "activation": "log_softmax",
            "from": "readout",
            **dropped(dropout),
            "n_out": labels,
        },
        "label_emit_log_prob": {
            "class": "combine",
            "kind": "add",
            "from": ["label_log_prob", "emit_log_prob"],
        },
    }
