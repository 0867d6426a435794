"""Hard attention: the frame that each label looks at is a second variable, chosen as labels are."""

from __future__ import annotations

from recipes.networks.encoder import Net


def hard_attention(
    encoder: Net, *, labels: int, window: int, embed: int, units: int, beam_size: int
) -> Net:
    """Return encoder and decoder; `output` is the label y_i, and in its unit `t` the frame t_i.

    In each step the decoder goes on by 0 to window - 1 frames, the choice `step`, with the
    target `data:forward`, and then chooses a label; label 0 is the end. embed, units: sizes.
    """
    scores: Net = {"class": "linear", "activation": "log_softmax"}
    choice: Net = {"class": "choice", "input_type": "log_prob", "beam_size": beam_size}
    unit: Net = {
        "embed": {
            **{"class": "linear", "activation": None, "with_bias": False, "from": "output"},
            **{"n_out": embed, "initial_output": 0},
        },
        "s": {
            **{"class": "rec", "unit": "nativelstm2", "n_out": units},
            "from": ["prev:embed", "prev:context"],
        },
        "forward_log_prob": {**scores, "from": ["s", "prev:context"], "n_out": window},
        "step": {**choice, "target": "forward", "from": "forward_log_prob"},
        "frames": {"class": "length", "from": "base:encoder"},
        "t": {
            **{"class": "eval", "from": ["prev:t", "step", "frames"], "initial_output": 0},
            **{"eval": "tf.minimum(source(0) + source(1), source(2) - 1)"},
            **{
                "out_type": {"dtype": "int32", "sparse": False, "dim": None},
                "is_output_layer": True,
            },
        },
        "context": {"class": "gather", "from": "base:encoder", "position": "t", "axis": "T"},
        "label_log_prob": {**scores, "from": ["s", "context"], "n_out": labels},
        "output": {
            **{**choice, "target": "classes", "from": "label_log_prob", "initial_output": 0},
        },
        "end": {"class": "compare", "from": "output", "value": 0},
    }
    return {
        **encoder,
        "output": {
            **{"class": "rec", "from": [], "target": "classes", "unit": unit, "include_eos": True},
            "max_seq_len": "max_len_from('base:encoder') * 2",
        },
    }


def forced_alignment(net: Net) -> Net:
    """Return a hard attention that searches for the frames of the labels `data:classes`.

    The choice of labels is fixed, and that of frames is searched for.
    """
    rec = net["output"]
    unit = {**rec["unit"], "output": {**rec["unit"]["output"], "search": False}}
    return {**net, "output": {**rec, "unit": unit, "size_target": "classes"}}
