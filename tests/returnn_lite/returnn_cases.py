"""Networks that RETURNN and this project run with the same parameters and inputs."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import returnn_attention_cases
import returnn_axis_cases
import returnn_branch_cases
import returnn_config_cases
import returnn_dialect_cases
import returnn_dim_cases
import returnn_extra_cases
import returnn_loop_cases
import returnn_meeting_cases
import returnn_mixed_cases
import returnn_option_cases
import returnn_published_cases
import returnn_shape_cases
import returnn_speech_cases
import returnn_stream_cases
import returnn_variant_cases
from models import FEATURES, decoder_net, transducer_net, transducer_streams
from returnn_application_cases import APPLICATION_CASES
from returnn_decode_cases import DECODE_CASES
from returnn_loss_cases import LOSS_CASES
from returnn_search_cases import SEARCH_CASES
from returnn_signal_cases import SIGNAL_CASES
from returnn_tutorial_cases import TUTORIAL_CASES
from returnn_unit_cases import UNIT_CASES

from recipes.networks.lm import lstm_lm, step_lm
from recipes.networks.transducer import shallow_fusion

Array = np.ndarray[Any, np.dtype[Any]]
Net = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A network, the lengths of its streams, and what of it is compared.

    search: whether its choices search. train: whether there are gradients, but also dropout; where
    it is absent, without search. normalised: the exponent of length normalisation in RETURNN's
    scores; the loop's include_eos is then True. outputs: layers. config: what eval strings ask for.
    lengths: of each stream, one list for each dynamic dim, if these are several, or empty.
    returnn: what RETURNN's dict has besides or differently, by path, such as
    {"output/unit/output/length_normalization": False}.
    """

    net: Net
    streams: dict[str, Any]
    lengths: dict[str, list[Any]]
    outputs: tuple[str, ...] = ("output",)
    search: bool = False
    config: dict[str, Any] = field(default_factory=dict)
    returnn: dict[str, Any] = field(default_factory=dict)
    train: bool | None = None
    normalised: float | None = None

    @property
    def trains(self) -> bool:
        """Whether the network is that of training."""
        return not self.search if self.train is None else self.train

    def net_for_returnn(self) -> Net:
        """Return the dict with RETURNN's differences."""
        net = copy.deepcopy(self.net)
        for path, value in self.returnn.items():
            *parents, key = path.split("/")
            at = net
            for name in parents:
                at = at[name]
            at[key] = value
        return net

    def batch(self) -> dict[str, tuple[Array, list[Any]]]:
        """Return random inputs; what lies behind the lengths is random too."""
        rng = np.random.default_rng(1)
        found = {}
        for key, lengths in self.lengths.items():
            opts, shape = self.streams[key], _shape(self.streams[key], lengths)
            if opts.get("sparse"):
                values = rng.integers(0, opts["dim"] or 4, shape).astype(np.int32)
            else:
                values = rng.standard_normal(shape).astype(np.float32)
            found[key] = values, lengths
        return found


def _shape(opts: dict[str, Any], lengths: list[Any]) -> tuple[int, ...]:
    """Return the shape of a stream, with the batch, where it has one, in front."""
    sizes = [None] if opts.get("sparse") else [None, opts.get("dim")]
    if "dim_tags" in opts:
        sizes = [dim.size for dim in opts["dim_tags"] if dim.kind != "batch"]
    rows = lengths if lengths and isinstance(lengths[0], list) else [lengths]
    longest = (max(row) for row in rows)
    shape = [next(longest) if size is None else size for size in opts.get("shape", sizes)]
    return tuple(shape) if opts.get("batch_dim_axis", 0) is None else (len(rows[0]) or 3, *shape)


def parameters(shapes: dict[str, tuple[int, ...]]) -> dict[str, Array]:
    """Return random parameters by name."""
    rng = np.random.default_rng(2)
    found = {
        name: (0.8 * rng.standard_normal(shape)).astype(np.float32)
        for name, shape in sorted(shapes.items())
    }
    return {n: np.abs(x) if n.endswith("variance") else x for n, x in found.items()}


def _blstm() -> Case:
    net: Net = {}
    source: Any = "data"
    for i in range(2):
        for suffix, direction in (("fw", 1), ("bw", -1)):
            layer = {"class": "rec", "unit": "nativelstm2", "n_out": 4, "from": source}
            net[f"lstm{i}_{suffix}"] = {**layer, "direction": direction}
        source = [f"lstm{i}_fw", f"lstm{i}_bw"]
        if i == 0:
            pool = {"class": "pool", "mode": "max", "pool_size": [2], "padding": "same"}
            net["pool"] = {**pool, "from": source}
            source = "pool"
    loss = {"loss": "ce", "loss_opts": {"label_smoothing": 0.1}, "target": "classes"}
    net["output"] = {"class": "softmax", "from": source, **loss}
    return Case(
        net,
        {"data": {"dim": 5}, "classes": {"dim": 3, "sparse": True}},
        {"data": [8, 4, 6], "classes": [4, 2, 3]},
        outputs=("output", "pool", "lstm0_bw"),
    )


def _conv() -> Case:
    conv = {"class": "conv", "filter_size": [5], "padding": "same", "n_out": 4, "with_bias": True}
    pool = {"class": "pool", "mode": "avg", "pool_size": [2], "padding": "valid"}
    net = {
        "conv": {**conv, "activation": "relu", "from": "data"},
        "pool": {**pool, "from": "conv"},
        "valid": {**conv, "filter_size": [3], "padding": "valid", "strides": 2, "from": "data"},
        "max": {"class": "reduce_out", "mode": "max", "num_pieces": 2, "from": "conv"},
        "output": {"class": "linear", "activation": "tanh", "n_out": 2, "from": ["conv", "data"]},
    }
    for name in ("pool", "valid", "max"):
        net[name]["is_output_layer"] = True
    streams = {"data": {"dim": 3}}
    outputs = ("output", "conv", "pool", "valid", "max")
    return Case(net, streams, {"data": [9, 9, 9]}, outputs=outputs)


def _explicit_lstm() -> Case:
    gate = {"class": "linear", "from": "input", "activation": "sigmoid", "n_out": 4}
    update = "source(0) * source(1) + source(2) * source(3)"
    unit = {
        "input": {"class": "copy", "from": ["prev:output", "data:source"]},
        "input_gate": gate,
        "forget_gate": gate,
        "output_gate": gate,
        "cell_in": {**gate, "activation": "tanh"},
        "c": {"class": "eval", "from": ["input_gate", "cell_in", "forget_gate", "prev:c"]},
        "output": {"class": "eval", "from": ["output_gate", "c"], "eval": "source(0) * source(1)"},
    }
    unit["c"]["eval"] = update
    net = {
        "lstm": {"class": "rec", "from": "data", "unit": unit},
        "output": {"class": "softmax", "loss": "ce", "target": "classes", "from": "lstm"},
    }
    streams = {"data": {"dim": 5}, "classes": {"dim": 3, "sparse": True}}
    return Case(net, streams, {"data": [5, 2], "classes": [5, 2]}, outputs=("output", "lstm"))


def _lm() -> Case:
    net = lstm_lm(labels=6, embed=3, units=4, layers=2, dropout=0.0)
    streams = {"data": {"dim": 6, "sparse": True}, "delayed": {"dim": 6, "sparse": True}}
    lengths = {"data": [5, 3], "delayed": [5, 3]}
    return Case(net, streams, lengths)


# In RETURNN a masked_computation that is moved out of the loop gives the shorter sequence; in the
# loop it holds its output, as it does here in both. Scores are divided by lengths, by default.
IN_LOOP = {"output/optimize_move_layers_out": False}
PLAIN_SCORES = {"output/unit/output/length_normalization": False}
# There, `log_sigmoid` is no name in an expression, and the embedding looks blanks up, too.
EXPRESSIONS = {
    "output/unit/blank_log_prob/eval": "tf.math.log_sigmoid(-source(0))",
    "output/unit/prev_label": {
        "class": "eval",
        "eval": "tf.where(tf.equal(source(0), 4), 0, source(0))",
        "from": "prev:output",
        "out_type": {"dim": 4, "sparse": True, "dtype": "int32"},
    },
}


def _ctc() -> Case:
    loss = {"class": "softmax", "loss": "ctc", "target": "classes", "from": ["fw", "bw"]}
    lstm = {"class": "rec", "unit": "nativelstm2", "n_out": 3, "from": "data"}
    net = {"fw": lstm, "bw": {**lstm, "direction": -1}, "output": loss}
    streams = {"data": {"dim": 3}, "classes": {"dim": 4, "sparse": True}}
    return Case(net, streams, {"data": [7, 4, 6], "classes": [3, 1, 2]}, outputs=("output", "bw"))


def _masked() -> Case:
    mask = {"class": "compare", "kind": "not_equal", "value": 0, "from": "data:classes"}
    unit = {"class": "rec", "unit": "nativelstm2", "n_out": 3}
    sub = {"h": {"class": "linear", "activation": "relu", "n_out": 4}}
    sub["output"] = {"class": "linear", "activation": "log_softmax", "n_out": 3, "from": "h"}
    net = {
        "mask": mask,
        "masked": {"class": "masked_computation", "mask": "mask", "from": "data", "unit": unit},
        "output": {"class": "subnetwork", "from": "masked", "subnetwork": sub},
    }
    streams = {
        "data": {"dim": 3},
        "classes": {"dim": 3, "sparse": True, "same_dim_tags_as": {"t": "data"}},
    }
    lengths = {"data": [6, 3, 5], "classes": [6, 3, 5]}
    return Case(net, streams, lengths, outputs=("output", "masked"))


def _fusion() -> Case:
    fusion = shallow_fusion(step_lm(labels=4, embed=2, units=3, layers=1))
    del fusion["lm"]["unit"]["load_on_init"]
    net = transducer_net(labels=4, beam_size=4, fusion=fusion)
    del net["labels"]
    return Case(
        net,
        transducer_streams(4),
        {"data": [5, 5]},
        search=True,
        config={"lm_scale": 0.7},
        returnn={**IN_LOOP, **PLAIN_SCORES, **EXPRESSIONS},
    )


def _transducer(*, search: bool) -> Case:
    net = transducer_net(labels=4, beam_size=3)
    del net["labels"]
    for name in ("output_log_prob", "slow", "readout"):
        net["output"]["unit"][name]["is_output_layer"] = True
    layers = ("output/output_log_prob", "output/slow", "output/readout")
    return Case(
        net,
        transducer_streams(4),
        {"data": [6, 6, 6]} if search else {"data": [6, 4, 5], "alignment": [6, 4, 5]},
        outputs=("output",) if search else layers,
        search=search,
        returnn={**IN_LOOP, **PLAIN_SCORES, **EXPRESSIONS},
    )


def _decoder(*, search: bool) -> Case:
    net = decoder_net(
        labels=4, beam_size=3, max_len="max_len_from('base:encoder')", end=3, eos=False
    )
    for name in ("s",):
        net["output"]["unit"][name]["is_output_layer"] = True
    streams = {"data": {"dim": FEATURES}, "classes": {"dim": 4, "sparse": True}}
    return Case(
        net,
        streams,
        {"data": [6, 6, 6]} | ({} if search else {"classes": [4, 2, 5]}),
        outputs=("output",) if search else ("output/s",),
        search=search,
    )


def _convolutions() -> Case:
    """Over one and two dims; of equal lengths, as RETURNN's windows see what is behind an end."""
    conv = {"class": "conv", "padding": "same", "with_bias": True, "activation": "tanh"}
    net = {
        "groups": {**conv, "filter_size": [3], "n_out": 8, "groups": 4, "from": "data"},
        "dilated": {**conv, "filter_size": [3], "dilation_rate": 2, "n_out": 4, "from": "groups"},
        "two": {
            **{**conv, "filter_size": (3, 3), "strides": (2, 1), "n_out": 3, "from": "dilated"},
            "input_add_feature_dim": True,
        },
        "pool": {"class": "pool", "mode": "max", "pool_size": (1, 2), "from": "two"},
        "mean": {
            **{"class": "pool", "mode": "avg", "pool_size": (2, 3), "strides": 1, "from": "two"},
            "padding": "same",
        },
        "static": {**conv, "filter_size": [4], "n_out": 4, "from": "data", "strides": 2},
        "back": {
            **{"class": "transposed_conv", "filter_size": [4], "strides": [2], "n_out": 3},
            "from": "static",
        },
        "back2": {
            **{"class": "transposed_conv", "filter_size": [3, 2], "strides": [2, 2], "n_out": 2},
            **{"from": "pool", "padding": "valid", "activation": "relu"},
        },
        "output": {"class": "copy", "from": "back"},
    }
    net["static"]["padding"] = "same_static"
    outputs = tuple(name for name in net if name != "output")
    for name in outputs:
        net[name]["is_output_layer"] = True
    return Case(net, {"data": {"dim": 4}}, {"data": [8, 8]}, outputs=("output", *outputs))


PARTS = UNIT_CASES | LOSS_CASES | SIGNAL_CASES | DECODE_CASES | TUTORIAL_CASES
PARTS |= SEARCH_CASES | APPLICATION_CASES | returnn_option_cases.cases()
PARTS |= returnn_axis_cases.cases() | returnn_loop_cases.cases() | returnn_mixed_cases.cases()
PARTS |= returnn_variant_cases.cases() | returnn_dialect_cases.cases()
PARTS |= returnn_published_cases.cases() | returnn_dim_cases.cases()
PARTS |= returnn_meeting_cases.cases()
PARTS |= returnn_branch_cases.cases() | returnn_extra_cases.cases()
PARTS |= returnn_config_cases.cases() | returnn_stream_cases.cases()
PARTS |= returnn_speech_cases.cases()
TRAIN = {"batch_norms": False, "batch_norms_training": True}
CASES = {
    "blstm": _blstm(),
    "conv": _conv(),
    "convolutions": _convolutions(),
    "explicit_lstm": _explicit_lstm(),
    "lm": _lm(),
    "transducer": _transducer(search=False),
    "transducer_search": _transducer(search=True),
    "decoder": _decoder(search=False),
    "decoder_search": _decoder(search=True),
    "ctc": _ctc(),
    "masked": _masked(),
    "fusion": _fusion(),
    **{
        name: Case(*parts, train=TRAIN.get(name))
        for name, parts in returnn_attention_cases.PARTS.items()
    },
    **{name: Case(**opts) for name, opts in PARTS.items()},
}
for _name, (_net, _outputs) in returnn_shape_cases.nets().items():
    _lengths = returnn_shape_cases.RAGGED
    CASES[_name] = Case(_net, returnn_shape_cases.STREAMS, _lengths, outputs=_outputs)
