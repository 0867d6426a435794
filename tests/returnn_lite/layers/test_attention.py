"""Attention: against numpy over ragged lengths, in loops and searches, and mistakes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eager import Array, dense, random_parameters, run
from reference import check, softmax

from returnn_lite.dim import FeatureDim
from returnn_lite.errors import NetworkError
from returnn_lite.network import Network

LENGTHS = [4, 2]
STREAMS = {"data": {"dim": 4}, "other": {"dim": 3}}
LINEAR = {"class": "linear", "activation": None}
ATTENTION = {"class": "self_attention", "num_heads": 2, "total_key_dim": 4, "n_out": 6}


def make(net: dict[str, Any], **more: Any) -> Network:
    return Network(net, extern_data=STREAMS, **more)


def heads(x: Array, weights: Array) -> list[tuple[Array, Array, Array]]:
    """Return query, key and value of each of two heads, by the columns of QKV."""
    parts = np.split(x @ weights, 2, axis=-1)
    return [(y[..., :2] / np.sqrt(2), y[..., 2:4], y[..., 4:]) for y in parts]


@pytest.mark.parametrize("left", [False, True])
def test_self_attention_is_its_formula(left: bool) -> None:
    network = make({"output": {**ATTENTION, "attention_left_only": left, "from": "data"}})

    def formula(p: Any, data: Array) -> list[Array]:
        result = []
        for x, n in zip(data, LENGTHS, strict=True):
            found = []
            for q, k, v in heads(x[:n], p["output/QKV"]):
                energy = q @ k.T
                if left:
                    energy = np.where(np.tri(n, dtype=bool), energy, -np.inf)
                found.append(softmax(energy) @ v)
            result.append(np.concatenate(found, axis=-1))
        return result

    check(network, {"data": dense(LENGTHS, 4)}, formula)


@pytest.mark.parametrize("moved", [True, False])
def test_keys_that_are_the_values(moved: bool) -> None:
    layer = {**ATTENTION, "class": "self_attention_share_kv", "n_out": 4, "share_kv": True}
    unit = {"output": {**layer, "attention_left_only": True, "from": "data:source"}}
    rec = {"class": "rec", "from": "data", "unit": unit, "optimize_move_layers_out": moved}
    network = make({"output": rec})
    assert network.param_shapes() == {"output/rec/output/QKV": (4, 8)}

    def formula(p: Any, data: Array) -> list[Array]:
        result = []
        for x, n in zip(data, LENGTHS, strict=True):
            found = []
            for y in np.split(x[:n] @ p["output/rec/output/QKV"], 2, axis=-1):
                q, k = np.split(y, 2, axis=-1)
                energy = np.where(np.tri(n, dtype=bool), q @ k.T / np.sqrt(2), -np.inf)
                found.append(softmax(energy) @ k)
            result.append(np.concatenate(found, axis=-1))
        return result

    check(network, {"data": dense(LENGTHS, 4)}, formula)
    with pytest.raises(NetworkError, match="found total_key_dim 4 and n_out 6 with share_kv, need"):
        make({"output": {**layer, "n_out": 6, "from": "data"}})


@pytest.mark.parametrize("moved", [True, False])
def test_a_window_around_a_predicted_position(moved: bool) -> None:
    # As in the published configs of local attention.
    unit: dict[str, Any] = {
        "step": {**LINEAR, "activation": "softplus", "n_out": 1, "from": "data:source"},
        "p": {"class": "combine", "kind": "add", "from": ["step", "prev:p"]},
        "start": {"class": "eval", "from": "p", "eval": "tf.maximum(0.0, source(0) - 1)"},
        "gauss": {"class": "gauss_weighting", "window_size": 3, "std": 2.0, "from": "p"},
        "frames": {"class": "slice_nd", "from": "base:data", "start": "start", "size": 3},
        "output": {"class": "generic_attention", "weights": "gauss", "base": "frames"},
    }
    unit["gauss"]["n_out"] = 1
    rec = {"class": "rec", "from": "data:other", "unit": unit, "optimize_move_layers_out": moved}
    network = make({"output": rec})
    random_parameters(network)
    p = network.get_params()
    data, other = dense(LENGTHS, 4), dense([3, 2], 3, seed=1)
    found = run(network, {"data": data, "other": other})["output"].canonical()
    for x, n, words, steps, y in zip(*data, *other, found, strict=True):
        jumps = words @ p["output/rec/step/W"] + p["output/rec/step/b"]
        places = np.cumsum(np.log1p(np.exp(jumps[:, 0])))
        for place, out in zip(places[:steps], y, strict=False):
            frames = int(max(place - 1, 0)) + np.arange(3)
            weights = np.exp(-((frames - place) ** 2) / 8.0)
            needed = sum((w * x[t] for w, t in zip(weights, frames, strict=True) if t < n), 0.0)
            np.testing.assert_allclose(out, needed * np.ones(4), rtol=1e-4, atol=1e-6)


def test_additive_attention_is_its_formula() -> None:
    net = {
        "energy": {**LINEAR, "n_out": 2, "from": "data"},
        "weights": {"class": "softmax_over_spatial", "energy_factor": 0.5, "from": "energy"},
        "output": {"class": "generic_attention", "weights": "weights", "base": "data"},
    }

    def formula(p: Any, data: Array) -> list[Array]:
        rows = [x[:n] for x, n in zip(data, LENGTHS, strict=True)]
        energies = [0.5 * (x @ p["energy/W"] + p["energy/b"]) for x in rows]
        return [softmax(e.T) @ x for e, x in zip(energies, rows, strict=True)]

    check(make(net), {"data": dense(LENGTHS, 4)}, formula)


def test_dot_attention_is_its_formula() -> None:
    net = {
        "count": {"class": "length", "from": "data"},
        "query": {"class": "gather", "position": "zero", "from": "data"},
        "zero": {"class": "eval", "eval": "0 * source(0)", "from": "count"},
        "base": {**LINEAR, "n_out": 3, "from": "data"},
        "output": {"class": "dot_attention", "base": "base", "base_ctx": "data", "from": "query"},
    }
    net["output"] |= {"energy_factor": 0.7, "n_out": 3}

    def formula(p: Any, data: Array) -> list[Array]:
        rows = [x[:n] for x, n in zip(data, LENGTHS, strict=True)]
        return [softmax(0.7 * x @ x[0]) @ (x @ p["base/W"] + p["base/b"]) for x in rows]

    check(make(net), {"data": dense(LENGTHS, 4)}, formula)


def test_a_window_beyond_the_end_gives_zeros() -> None:
    layer = {"class": "softmax_over_spatial", "window_start": 3, "window_size": 5, "from": "data"}
    found = run(make({"output": layer}), {"data": dense(LENGTHS, 4)})["output"].canonical()
    np.testing.assert_array_equal(found[0, :3], 0)
    np.testing.assert_allclose(found[0, 3], 1.0, rtol=1e-6)  # e / e, rounded
    np.testing.assert_array_equal(found[1], 0)


def test_logarithms_and_padding_that_takes_part() -> None:
    layer = {"class": "softmax_over_spatial", "from": "data"}
    x = dense(LENGTHS, 4)
    batch = {"data": x}
    found = run(make({"output": {**layer, "log_space": True}}), batch)["output"].canonical()
    row = x[0][1, :2].astype(np.float64)
    np.testing.assert_allclose(found[1, :2], np.log(softmax(row.T)).T, rtol=1e-4, atol=1e-5)
    found = run(make({"output": {**layer, "use_time_mask": False}}), batch)["output"].canonical()
    padded = np.concatenate([row, np.zeros((2, 4))])
    np.testing.assert_allclose(found[1, :2], softmax(padded.T).T[:2], rtol=1e-4)


DOTS: dict[str, tuple[dict[str, Any], str]] = {
    "features": ({"reduce": "F", "var1": "T", "var2": "T"}, "bif,bjf->bij"),
    "positions": ({"red1": -1, "red2": 2, "var1": 1, "var2": -2}, "bif,bjf->bij"),
    "time": ({"red1": "T", "red2": "stag:other", "var1": "F", "var2": "F"}, "bti,btj->bij"),
    "sizes": ({"red1": "dim:3", "red2": "static:0", "var1": "T", "var2": "T"}, "bif,bjf->bij"),
    "automatic": ({"reduce": "F"}, "bif,bjf->bij"),
}


@pytest.mark.parametrize("name", DOTS)
def test_dot_is_a_sum_over_named_axes(name: str) -> None:
    options, formula = DOTS[name]
    net = {
        "a": {**LINEAR, "n_out": 3, "with_bias": False, "from": "data"},
        "output": {"class": "dot", "from": ["a", "data:other"], **options},
    }
    network = make(net)
    p = random_parameters(network)
    batch = {"data": dense(LENGTHS, 4), "other": dense(LENGTHS, 3, seed=1)}
    found = run(network, batch)["output"]
    for b, n in enumerate(LENGTHS):
        x, y = batch["data"][0][b : b + 1, :n] @ p["a/W"], batch["other"][0][b : b + 1, :n]
        needed = np.einsum(formula, x, y)[0]
        row = found.values[b][: needed.shape[0], : needed.shape[1]]
        np.testing.assert_allclose(row, needed, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("version", "dims"), [(13, ["[B,F|4]"] * 2), (14, ["[B,F|4]", "[B,4,F|4]"])]
)
def test_dot_of_axes_of_equal_size(version: int, dims: list[str]) -> None:
    size = FeatureDim("size", 4)
    named = {"class": "linear", "activation": None, "out_dim": size, "from": "data"}
    net = {
        "a": named,
        "b": named,
        "same": {"class": "dot", "reduce": "T", "from": ["a", "b"]},
        "output": {"class": "dot", "reduce": "T", "from": ["a", "data"]},
    }
    config = {"behavior_version": version}
    streams = {"data": {"dim": 4}}
    network = Network(net, extern_data=streams, config=config, outputs=["same", "output"])
    assert [str(network.template(n)) for n in ("same", "output")] == dims


def test_dot_of_what_a_loop_has_none_of_has_an_axis_of_size_1() -> None:
    unit: dict[str, Any] = {
        "s": {**LINEAR, "n_out": 4, "from": "data:source"},
        "energy": {"class": "dot", "from": ["base:data", "s"], "red1": "F", "red2": "F"},
        "weights": {"class": "softmax_over_spatial", "from": "energy"},
        "output": {"class": "generic_attention", "weights": "weights", "base": "base:data"},
    }
    unit["energy"] |= {"var1": "T", "var2": "T?"}
    found = []
    for moved in (True, False):
        rec = {"class": "rec", "from": "data:other", "unit": unit}
        network = make({"output": {**rec, "optimize_move_layers_out": moved}})
        assert network.template("output/energy").dims[-1].size == 1
        random_parameters(network)
        batch = {"data": dense(LENGTHS, 4), "other": dense([2, 3], 3, seed=1)}
        found.append(run(network, batch)["output"].canonical())
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)


# -- in loops


def language_model(*, masked: bool = False) -> dict[str, Any]:
    """Return self-attention over a loop's own outputs, with relative positions."""
    layer: dict[str, Any] = {**ATTENTION, "attention_left_only": True}
    unit: dict[str, Any] = {
        "e": {**LINEAR, "n_out": 4, "from": "prev:output"},
        "pos": {"class": "positional_encoding", "add_to_input": True, "from": "e"},
        "rel": {"class": "relative_positional_encoding", "n_out": 2, "clipping": 1, "from": "e"},
        "att": {**layer, "key_shift": "rel", "from": "pos"},
        "p": {"class": "softmax", "n_out": 5, "from": "att", "target": "classes", "loss": "ce"},
        "output": {
            "class": "choice",
            "from": "p",
            "target": "classes",
            "beam_size": 4,
            "initial_output": 0,
        },
        "end": {"class": "compare", "from": "output", "value": 4},
    }
    if masked:
        unit["mask"] = {
            "class": "compare",
            "kind": "not_equal",
            "value": 1,
            "from": "prev:output",
            "initial_output": True,
        }
        unit["att"] = {"class": "masked_computation", "mask": "mask", "unit": layer, "from": "pos"}
        del unit["rel"]
    rec = {"class": "rec", "from": [], "target": "classes", "unit": unit}
    return {"output": {**rec, "max_seq_len": "max_len_from('base:data')"}}


@pytest.mark.parametrize("masked", [False, True])
def test_a_search_scores_as_training_does_whatever_leaves_the_loop(masked: bool) -> None:
    streams = {"data": {"dim": 4}, "classes": {"dim": 5, "sparse": True}}
    net = language_model(masked=masked)
    search = Network(net, extern_data=streams, search=True)
    params = random_parameters(search)
    found = run(search, {"data": dense([4, 3], 4)})["output"]
    labels, lengths = found.canonical(), found.lengths[found.time_dim.name]  # type: ignore[union-attr]
    assert found.scores is not None
    best = labels[::4], lengths[::4].tolist()
    # The label that ends is not in the output, but in the score.
    full = np.zeros((2, max(best[1]) + 1), np.int32)
    for row, found_row, n in zip(full, *best, strict=True):
        row[:n] = found_row[:n]
    ended = [n < most for n, most in zip(best[1], (4, 3), strict=True)]
    for row, n, end in zip(full, best[1], ended, strict=True):
        row[n] = 4 if end else row[n]
    counts = [n + end for n, end in zip(best[1], ended, strict=True)]
    for moved in (True, False):
        net["output"]["optimize_move_layers_out"] = moved
        train = Network(net, extern_data=streams)
        train.set_params(params)
        out = run(train, {"data": dense([4, 3], 4), "classes": (full, counts)})
        (loss,) = out.losses.values()
        np.testing.assert_allclose(-loss.value, found.scores[:, 0], rtol=1e-4)


def test_steps_that_a_mask_leaves_out_are_attended_to_neither_in_a_loop_nor_out_of_it() -> None:
    streams = {"data": {"dim": 4}, "classes": {"dim": 5, "sparse": True}}
    # Label 1 is what the mask leaves out.
    labels = np.array([[1, 2, 1, 1, 3, 0], [2, 1, 1, 3, 0, 0]], np.int32)
    batch = {"data": dense([2, 2], 4), "classes": (labels, [6, 4])}
    found = []
    for moved in (True, False):
        net = language_model(masked=True)
        net["output"]["optimize_move_layers_out"] = moved
        net["output"]["unit"]["att"]["unit"]["attention_dropout"] = 0.3
        network = Network(net, extern_data=streams, outputs=["output/p"], train=True)
        random_parameters(network)
        found.append(run(network, batch)["output/p"].canonical())
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)


def test_relative_positions_of_selected_steps() -> None:
    layer = {"class": "relative_positional_encoding", "n_out": 2}
    unit = {
        "mask": {"class": "compare", "value": 1, "from": ":i"},
        "output": {"class": "masked_computation", "mask": "mask", "unit": layer},
    }
    unit["output"]["from"] = "data:source"
    with pytest.raises(NetworkError, match="found it in a masked_computation in a loop"):
        make({"output": {"class": "rec", "from": "data", "unit": unit}})


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        ({**ATTENTION, "num_heads": 4}, r"found total_key_dim 4 and n_out 6, needed multiples of"),
        ({**ATTENTION, "attention_dropout": 1.0}, "found attention_dropout 1.0, needed 0 or more"),
        (
            {**ATTENTION, "key_shift": "data"},
            r"found key_shift \[B,.*, needed \[queries, keys",
        ),
        ({**ATTENTION, "from": "n"}, r"found source \[B\], int32, needed batch and feature dims"),
        (
            {"class": "softmax_over_spatial", "window_start": 1},
            "needed both of 'window_start' and 'window_size', or neither",
        ),
        (
            {"class": "softmax_over_spatial", "start": "data"},
            r"found start \[B,.*, needed whole numbers",
        ),
        (
            {"class": "softmax_over_spatial", "axis": "F", "use_time_mask": True},
            "found use_time_mask for axis F|4",
        ),
        ({"class": "dot", "reduce": "F"}, "found 1 sources, needed two"),
        ({"class": "dot", "from": ["data", "data"]}, "needed the option 'reduce', or both"),
        (
            {"class": "dot", "from": ["data", "data:other"], "reduce": "F"},
            "to sum over, needed the same sizes",
        ),
        (
            {"class": "dot", "from": ["data", "data"], "reduce": "F", "var1": "T", "var2": None},
            r"besides, needed the same ones; try var1 and var2",
        ),
        (
            {"class": "dot", "from": ["data", "data"], "reduce": "F", "var1": "F"},
            r"in var1 and var2, needed others than in red",
        ),
        (
            {"class": "generic_attention", "weights": "n", "base": "data"},
            r"found weights \[B\], int32 for base .*, needed the same time dim",
        ),
        (
            {"class": "generic_attention", "weights": "data", "base": "n"},
            r"found base \[B\], int32, needed batch, time and feature dims",
        ),
        (
            {"class": "dot_attention", "base": "data", "base_ctx": "data"},
            r"found source \[B,.*, needed \[batch, n\], \[batch, time, ...\]",
        ),
        (
            {"class": "positional_encoding", "add_to_input": True, "n_out": 3},
            "found n_out 3 to add to",
        ),
        (
            {"class": "positional_encoding", "n_out": 4, "offset": "data"},
            r"found offset \[B,.*, needed whole numbers; try 'cast'",
        ),
        (
            {"class": "positional_encoding", "from": "n"},
            r"found source \[B\], int32, needed a",
        ),
        (
            {"class": "relative_positional_encoding", "n_out": 3, "clipping": -1},
            "found clipping -1, needed 0 or more",
        ),
    ],
)
def test_mistakes(layer: dict[str, Any], text: str) -> None:
    net = {"n": {"class": "length", "from": "data"}, "output": {"from": "data", **layer}}
    if "weights" in layer:
        del net["output"]["from"]
    with pytest.raises(NetworkError, match=r"output \([a-z_]+\): .*" + text):
        make(net)
