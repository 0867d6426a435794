"""A segmental model: every label has a segment of frames, and both are chosen step by step."""

from __future__ import annotations

from recipes.networks.encoder import Net


def segmental(
    encoder: Net, *, labels: int, longest: int, embed: int, units: int, beam_size: int
) -> Net:
    """Return encoder and decoder; `output` is a label per segment, and in its unit `t` its end.

    In each step the length of the next segment is chosen, 1 to `longest` frames but no more than
    there are, as the choice `length` with the target `data:duration` (the length less 1); then a
    label, by the mean of its frames. All frames are in segments. embed, units: sizes.
    """
    choice: Net = {"class": "choice", "input_type": "log_prob", "beam_size": beam_size}
    linear: Net = {"class": "linear", "activation": None}
    # What is longer than the frames that are left has no probability.
    left = f"(tf.range({longest})[None, :] + source(1) < source(2))"
    unit: Net = {
        "embed": {**linear, "from": "output", "n_out": embed, "initial_output": 0},
        "s": {
            **{"class": "rec", "unit": "nativelstm2", "n_out": units},
            "from": ["prev:embed", "prev:segment"],
        },
        "frames": {"class": "length", "from": "base:encoder"},
        "duration_scores": {**linear, "from": "s", "n_out": longest},
        "duration_log_prob": {
            **{"class": "eval", "from": ["duration_scores", "prev:t", "frames"]},
            "eval": f"tf.where({left}, tf.nn.log_softmax(tf.where({left}, source(0), -1e30)), "
            "float('-inf'))",
        },
        "length": {**choice, "target": "duration", "from": "duration_log_prob"},
        "t": {
            **{"class": "eval", "from": ["prev:t", "length"], "initial_output": 0},
            **{"eval": "source(0) + source(1) + 1", "is_output_layer": True},
            "out_type": {"dtype": "int32", "sparse": False, "dim": None},
        },
        "frame": {"class": "range_in_axis", "axis": "T", "from": "base:encoder"},
        "weights": {
            **{"class": "eval", "from": ["frame", "prev:t", "t"]},
            "eval": "tf.cast((source(0) >= source(1)) & (source(0) < source(2)), 'float32')"
            " / tf.cast(source(2) - source(1), 'float32')",
            "out_type": {"dtype": "float32"},
        },
        "segment": {
            **{"class": "generic_attention", "weights": "weights", "base": "base:encoder"},
        },
        "label_log_prob": {
            **{"class": "linear", "activation": "log_softmax", "from": ["s", "segment"]},
            "n_out": labels,
        },
        "output": {
            **{**choice, "target": "classes", "from": "label_log_prob", "initial_output": 0},
        },
        "end": {"class": "compare", "kind": "greater_equal", "from": ["t", "frames"]},
    }
    return {
        **encoder,
        "output": {
            **{"class": "rec", "from": [], "target": "classes", "unit": unit, "include_eos": True},
            "max_seq_len": "max_len_from('base:encoder')",
        },
    }


def forced_alignment(net: Net, *, longest: int) -> Net:
    """Return a segmental model that searches for the segments of the labels `data:classes`.

    The choice of labels is fixed, and that of lengths is searched for, among those that leave the
    other labels as many frames as they need.
    """
    rec = net["output"]
    unit = dict(rec["unit"])
    left = f"(source(2) - source(1) - 1 - tf.range({longest})[None, :])"
    labels = "(source(3) - 1 - source(4))"
    fits = f"({left} >= {labels}) & ({left} <= {longest} * {labels})"
    unit |= {
        "label_count": {"class": "length", "from": "base:data:classes"},
        "fitting": {
            **{"class": "eval", "eval": f"tf.where({fits}, source(0), float('-inf'))"},
            "from": ["duration_log_prob", "prev:t", "frames", "label_count", ":i"],
        },
        "length": {**unit["length"], "from": "fitting"},
        "output": {**unit["output"], "search": False},
    }
    return {**net, "output": {**rec, "unit": unit, "size_target": "classes"}}
