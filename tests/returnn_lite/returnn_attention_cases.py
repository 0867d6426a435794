"""Networks for comparison with RETURNN: attention, normalisation, activations, parameters."""

from __future__ import annotations

from typing import Any

Net = dict[str, Any]
Parts = tuple[Net, dict[str, Any], dict[str, list[int]], tuple[str, ...]]

STREAMS = {"data": {"dim": 4}, "classes": {"dim": 5, "sparse": True}}
LENGTHS = {"data": [6, 3, 5], "classes": [4, 2, 3]}
SPLIT = "tf.reshape(source(0, auto_convert=False), [3, -1, 2, 2])"
LINEAR = {"class": "linear", "activation": None}


def _outputs(net: Net, *names: str) -> tuple[str, ...]:
    """Mark layers as outputs, and return their names and that of the network's output."""
    for name in names:
        net[name]["is_output_layer"] = True
    return ("output", *names)


def activations() -> Parts:
    """Return activations that are not elementary, and combine with expressions."""
    names = ["gelu", "swish", "safe_log", "softplus", "5.0*sigmoid", "identity + 1", "log_softmax"]
    net: Net = {
        f"act{i}": {"class": "activation", "activation": name, "from": "data"}
        for i, name in enumerate(names)
    }
    net["act2"]["from"] = "act6_exp"
    net["act6_exp"] = {"class": "activation", "activation": "softmax", "from": "data"}
    net["eps"] = {**net["act2"], "from": "data", "opts": {"eps": 0.1}}
    net["gate"] = {"class": "gating", "activation": "tanh", "from": "data"}
    net["eval"] = {"class": "combine", "kind": "eval", "from": ["act0", "act1"]}
    net["eval"] |= {"eval": "source(0) * k + source(1)", "eval_locals": {"k": 3.0}}
    net["average"] = {"class": "combine", "kind": "average", "from": ["act0", "act1", "act4"]}
    net["norm"] = {"class": "layer_norm", "from": "average"}
    net["output"] = {"class": "copy", "from": ["norm", "gate"]}
    return net, STREAMS, LENGTHS, _outputs(net, *(n for n in net if n != "output"))


def batch_norms(*lengths: int) -> Parts:
    """Return batch normalisation, with the names of several versions."""
    old = {"class": "batch_norm", "masked_time": True, "from": "hidden"}
    late = {"update_sample_only_in_training": True, "delay_sample_update": True}
    net = {
        "hidden": {**LINEAR, "n_out": 3, "from": "data"},
        "old": old,
        "late": {**old, **late, "momentum": 0.1, "epsilon": 0.01, "param_version": 1},
        "unmasked": {**old, **late, "masked_time": False, "param_version": 2},
        "output": {"class": "activation", "activation": "relu", "from": "hidden"},
    }
    net["output"]["batch_norm"] = {"param_version": 2, "masked_time": True, "use_shift": False}
    outputs = _outputs(net, "old", "late", "unmasked")
    return net, {"data": {"dim": 4}}, {"data": [*lengths]}, outputs


def encoder_self_attention() -> Parts:
    """Return blocks of a Transformer's encoder, with relative positions and shared parameters."""
    block = {"class": "self_attention", "num_heads": 2, "total_key_dim": 8, "n_out": 4}
    net = {
        "pos": {"class": "positional_encoding", "add_to_input": True, "from": "data"},
        "rel": {"class": "relative_positional_encoding", "n_out": 4, "clipping": 2, "from": "pos"},
        "att": {**block, "from": "pos", "key_shift": "rel"},
        "left": {**block, "from": "att", "attention_left_only": True, "reuse_params": "att"},
        "fixed": {**block, "from": "left", "key_shift": "sin"},
        "sin": {"class": "relative_positional_encoding", "n_out": 4, "fixed": True, "from": "pos"},
        "own": {"class": "positional_encoding", "n_out": 7, "from": "data"},
        "output": {**LINEAR, "n_out": 2, "from": ["fixed", "own"]},
    }
    return net, STREAMS, LENGTHS, _outputs(net, "pos", "att", "left", "fixed", "own")


def decoder_self_attention(*, moved: bool) -> Parts:
    """Return a language model by self-attention, step by step or not."""
    block = {"class": "self_attention", "num_heads": 2, "total_key_dim": 6, "n_out": 4}
    unit: Net = {
        "in": {**LINEAR, "n_out": 4, "with_bias": False, "from": "prev:output"},
        "pos": {"class": "positional_encoding", "add_to_input": True, "from": "in"},
        "rel": {"class": "relative_positional_encoding", "n_out": 3, "clipping": 2, "from": "pos"},
        "att": {**block, "from": "pos", "attention_left_only": True, "key_shift": "rel"},
        "p": {"class": "softmax", "from": "att", "target": "classes", "loss": "ce"},
        "output": {"class": "choice", "from": "p", "target": "classes", "beam_size": 3},
    }
    unit["output"]["initial_output"] = 0
    unit["p"]["is_output_layer"] = True
    if not moved:
        # What depends on its own last output stays in the loop.
        unit["last"] = {"class": "linear", "n_out": 4, "activation": "tanh", "from": "prev:att"}
        unit["in2"] = {"class": "combine", "kind": "add", "from": ["in", "last"]}
        unit["pos"]["from"] = "in2"
    net = {
        "output": {"class": "rec", "from": [], "target": "classes", "unit": unit},
    }
    return net, STREAMS, LENGTHS, ("output/p",)


def attention() -> Parts:
    """Return additive and multiplicative attention of a decoder to an encoder."""
    unit: Net = {
        "e": {**LINEAR, "n_out": 4, "from": "prev:output"},
        "s": {"class": "rec", "unit": "nativelstm2", "n_out": 4, "from": ["e", "prev:att"]},
        "query": {**LINEAR, "n_out": 3, "from": "s"},
        "sum": {"class": "combine", "kind": "add", "from": ["base:keys", "query"]},
        "tanh": {"class": "activation", "activation": "tanh", "from": "sum"},
        "energy": {**LINEAR, "n_out": 1, "with_bias": False, "from": "tanh"},
        "weights": {"class": "softmax_over_spatial", "from": "energy"},
        "att": {"class": "generic_attention", "weights": "weights", "base": "base:values"},
        "energy2": {"class": "dot", "from": ["base:keys", "query"], "red1": -1, "red2": -1},
        "weights2": {"class": "softmax_over_spatial", "energy_factor": 0.5, "from": "energy2"},
        "att2": {"class": "generic_attention", "weights": "weights2", "base": "base:values"},
        "p": {"class": "softmax", "from": ["att", "att2"], "target": "classes", "loss": "ce"},
        "output": {"class": "choice", "from": "p", "target": "classes", "beam_size": 3},
    }
    unit["energy2"] |= {"var1": "T", "var2": "T?"}
    unit["output"]["initial_output"] = 0
    unit["p"]["is_output_layer"] = True
    net = {
        "keys": {**LINEAR, "n_out": 3, "from": "data"},
        "values": {**LINEAR, "n_out": 4, "from": "data"},
        "output": {"class": "rec", "from": [], "target": "classes", "unit": unit},
    }
    return net, STREAMS, LENGTHS, ("output/p",)


def windows() -> Parts:
    """Return a softmax over time with a window and a start, and products over named axes."""
    net: Net = {
        "half": {"class": "eval", "eval": "source(0) // 2", "from": "count"},
        "count": {"class": "length", "from": "data"},
        "energy": {**LINEAR, "n_out": 2, "from": "data"},
        "start": {"class": "softmax_over_spatial", "start": "half", "from": "energy"},
        "window": {"class": "softmax_over_spatial", "from": "energy"},
        "best": {"class": "generic_attention", "weights": "window", "base": "data"},
        "split": {"class": "eval", "eval": SPLIT, "from": "data"},
        "multi": {"class": "generic_attention", "weights": "start", "base": "split"},
        "gram": {"class": "dot", "from": ["data", "energy"], "reduce": "T"},
        "heads": {"class": "dot", "from": ["start", "data"], "red1": "T", "red2": "T"},
        "output": {"class": "copy", "from": "best"},
    }
    net["window"] |= {"window_start": "half", "window_size": 2}
    net["split"]["out_type"] = {"shape": (None, 2, 2)}
    net["gram"] |= {"var1": "F", "var2": "F"}
    net["heads"] |= {"var1": "F", "var2": "F"}
    return net, STREAMS, LENGTHS, _outputs(net, "start", "window", "gram", "heads", "multi")


def tied() -> Parts:
    """Return an output layer tied to the embedding, and a parameter as a layer."""
    net: Net = {
        "embed": {**LINEAR, "n_out": 4, "with_bias": False, "from": "data:classes"},
        "add": {"class": "combine", "kind": "add", "from": ["embed", "offset"]},
        "offset": {"class": "variable", "shape": (4,), "add_batch_axis": True, "init": 0.5},
        "output": {"class": "softmax", "from": "add", "target": "classes", "loss": "ce"},
    }
    net["output"] |= {"use_transposed_weights": True, "reuse_params": {"map": {}}}
    net["output"]["reuse_params"]["map"] = {"W": "embed", "b": None}
    return net, STREAMS, LENGTHS, _outputs(net, "add")


def distilled() -> Parts:
    """Return the cross entropy of attention weights, of which a function says the dims."""
    dot = {"class": "dot", "red1": "F", "red2": "F", "var1": "T", "var2": "T"}
    net: Net = {
        "keys": {**LINEAR, "n_out": 3, "from": "data"},
        "queries": {**LINEAR, "n_out": 3, "from": "data:classes"},
        "other": {**LINEAR, "n_out": 3, "from": "data:classes"},
        "energy": {**dot, "from": ["queries", "keys"]},
        "reference": {**dot, "from": ["other", "keys"]},
        "weights": {"class": "softmax_over_spatial", "from": "reference"},
        "output": {
            "class": "eval",
            "from": ["energy", "weights"],
            "eval": "softmax_cross_entropy_over_size("
            "logits=source(0, as_data=True, auto_convert=False), "
            "labels=source(1, as_data=True, auto_convert=False))",
            "out_type": lambda sources, **_: sources[0].output.copy_template_excluding_spatial_dim(
                -1
            ),
            "loss": "as_is",
        },
    }
    net["weights"]["axis"] = "stag:extern_data:data"
    return net, STREAMS, LENGTHS, _outputs(net, "weights")


PARTS = {
    "distilled": distilled(),
    "activations": activations(),
    "batch_norms": batch_norms(6, 3, 5),
    # What lies behind the ends is other data there, and counts for masked_time False.
    "batch_norms_training": batch_norms(4, 4),
    "encoder_self_attention": encoder_self_attention(),
    "decoder_self_attention": decoder_self_attention(moved=True),
    "decoder_self_attention_in_loop": decoder_self_attention(moved=False),
    "attention": attention(),
    "windows": windows(),
    "tied": tied(),
}
