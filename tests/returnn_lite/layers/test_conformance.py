"""What every layer must do: a table of layers, and properties of them. A new layer needs a row."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from conformance_kinds import OF_A_SEQUENCE, OF_A_STEP, STAYING, WHOLE_NUMBERS, WITHOUT_BATCH
from conformance_table import CASES, CLASSES, COMMON, DIM, INPUTS, LENGTHS, SHIFT, STREAMS, Net
from eager import Array, dense, frame_of, random_parameters, run, sparse, weighted_gradients

from returnn_lite import layers
from returnn_lite.dim import BATCH
from returnn_lite.layers import base
from returnn_lite.network import Network
from returnn_lite.output import Output, Outputs

# How far outputs are looked at around a point: small against 1, large against rounding.
STEP = 3e-4
# What is no smooth function of data and parameters, or has no or another gradient on purpose.
WITHOUT_GRADIENT = (*WHOLE_NUMBERS, "scaled_grad", "fast_bw", "fast_bw_hmm", "accumulate_mean")


def network(layout: str = "batch", *, search: bool = True) -> Network:
    """Return all layers of the table in one network."""
    net = {**INPUTS[layout], **COMMON, **CASES}
    return Network(net, extern_data=STREAMS, outputs=list(CASES), search=search)


def whole_batch() -> dict[str, tuple[Array, list[int]]]:
    short = [-(-n // 2) for n in LENGTHS]
    return {
        "data": dense(LENGTHS, DIM),
        "classes": sparse(LENGTHS, CLASSES),
        "labels": sparse(short, CLASSES, seed=1),
    }


def row(batch: dict[str, tuple[Array, list[int]]], b: int) -> dict[str, tuple[Array, list[int]]]:
    """Return one sequence of a batch, without padding."""
    return {k: (v[b : b + 1, : n[b]], [n[b]]) for k, (v, n) in batch.items()}


def entries(out: Output, b: int) -> Array:
    """Return what a layer gives for a sequence: all its hypotheses, without padding."""
    beam = out.beam_size or 1
    rows = slice(b * beam, (b + 1) * beam)
    x = out.canonical()
    x = x[rows] if BATCH in out.dims else x
    for axis, dim in enumerate(out.canonical_dims()):
        if dim.name in out.lengths:
            x = x[(*[slice(None)] * axis, slice(max(out.lengths[dim.name][rows])))]
    return x


@pytest.fixture(scope="module")
def built() -> Network:
    net = network()
    random_parameters(net)
    return net


@pytest.fixture(scope="module")
def outputs(built: Network) -> Outputs:
    return run(built, whole_batch())


@pytest.fixture(scope="module")
def rows(built: Network) -> list[Outputs]:
    return [run(built, row(whole_batch(), b)) for b in range(len(LENGTHS))]


def test_every_layer_class_is_in_the_table(built: Network) -> None:
    layers.load()
    registered = {cls for entries in base._registry.values() for _, cls in entries}
    assert {type(n.layer) for n in built.nodes()} >= registered


def test_the_table_survives_json(built: Network) -> None:
    net = json.loads(json.dumps({**INPUTS["batch"], **COMMON, **CASES}))
    again = Network(net, extern_data=STREAMS, outputs=list(CASES), search=True)
    assert again.param_specs() == built.param_specs()


@pytest.mark.parametrize("name", CASES)
def test_the_template_is_that_of_the_output(built: Network, name: str) -> None:
    frame = frame_of(built, whole_batch())
    node = built.scope.get(name)
    value, template = frame.value(node), node.out
    assert template is not None
    for key in ("dims", "dtype", "sparse_dim", "feature_dim", "time_dim"):
        assert getattr(value, key) == getattr(template, key), key
    assert value.tensor.dtype.name == template.dtype
    assert [d.size or n for d, n in zip(value.dims, value.tensor.shape, strict=True)] == list(
        value.tensor.shape
    )


@pytest.mark.parametrize("name", [n for n in CASES if n not in WITHOUT_BATCH])
def test_a_sequence_alone_gives_what_it_gives_in_a_batch(
    outputs: Outputs, rows: list[Outputs], name: str
) -> None:
    for b, alone in enumerate(rows):
        together = entries(outputs[name], b)
        np.testing.assert_allclose(entries(alone[name], 0), together, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", [n for n in CASES if n not in WHOLE_NUMBERS + WITHOUT_BATCH])
def test_gradients_of_a_batch_are_those_of_its_sequences(
    built: Network, outputs: Outputs, name: str
) -> None:
    batch = whole_batch()
    weights = np.random.default_rng(0).standard_normal(outputs[name].canonical().shape)
    weights *= np.broadcast_to(valid(outputs[name]), weights.shape)
    _, together, data = weighted_gradients(built, batch, name, weights)
    total = dict.fromkeys(together, 0.0)
    for b in range(len(LENGTHS)):
        size = entries(outputs[name], b).shape[1:]
        part = weights[b : b + 1][(slice(None), *(slice(n) for n in size))]
        _, alone, own = weighted_gradients(built, row(batch, b), name, part)
        total = {k: total[k] + alone[k] for k in total}
        np.testing.assert_allclose(data[b, : LENGTHS[b]], own[0], rtol=1e-4, atol=1e-5)
        assert not data[b, LENGTHS[b] :].any()
    for key, value in together.items():
        np.testing.assert_allclose(value, total[key], rtol=1e-4, atol=1e-5, err_msg=key)


@pytest.fixture(scope="module")
def nearby() -> tuple[dict[str, Array], list[Outputs]]:
    """Return a direction for data and parameters, and the outputs a little way along it."""
    rng, found = np.random.default_rng(3), []
    middle = network()
    random_parameters(middle)
    params = middle.get_params()
    way = {k: rng.standard_normal(v.shape).astype(np.float32) for k, v in params.items()}
    batch = whole_batch()
    way[":data"] = rng.standard_normal(batch["data"][0].shape).astype(np.float32)
    for step in (STEP, -STEP):
        middle.set_params({k: v + step * way[k] for k, v in params.items()})
        data = batch["data"][0] + step * way[":data"]
        found.append(run(middle, {**batch, "data": (data, batch["data"][1])}))
    return way, found


@pytest.mark.parametrize("name", [n for n in CASES if n not in WITHOUT_GRADIENT])
def test_gradients_are_those_of_small_changes(
    built: Network, nearby: tuple[dict[str, Array], list[Outputs]], name: str
) -> None:
    way, (up, down) = nearby
    difference = (up[name].canonical() - down[name].canonical()) / (2 * STEP)
    weights = valid(up[name]) * np.random.default_rng(0).standard_normal(difference.shape)
    parts = weights * difference
    _, gradients, data = weighted_gradients(built, whole_batch(), name, weights)
    slope = sum((g * way[k]).sum() for k, g in gradients.items()) + (data * way[":data"]).sum()
    np.testing.assert_allclose(parts.sum(), slope, rtol=0.02, atol=0.02 * abs(parts).sum() + 1e-3)


@pytest.mark.parametrize("name", CASES)
def test_what_is_behind_an_end_changes_nothing(
    outputs: Outputs, other_padding: Outputs, name: str
) -> None:
    np.testing.assert_array_equal(other_padding[name].canonical(), outputs[name].canonical())


@pytest.fixture(scope="module")
def other_padding(built: Network) -> Outputs:
    other = network("other")
    other.set_params(built.get_params())
    return run(other, whole_batch())


def valid(out: Output) -> Array:
    """Return which entries of the canonical values lie within the lengths."""
    x = np.ones(out.values.shape)
    ones = Output(x, out.dims, out.time_dim, out.feature_dim, out.sparse_dim, out.lengths)
    return ones.canonical()


def test_the_compiled_network_gives_the_same(built: Network, outputs: Outputs) -> None:
    compiled = built.run(whole_batch())
    for name in CASES:
        np.testing.assert_allclose(
            compiled[name].canonical(), outputs[name].canonical(), atol=1e-5, err_msg=name
        )
        for dim, lengths in outputs[name].lengths.items():
            np.testing.assert_array_equal(compiled[name].lengths[dim], lengths)


def test_time_major_input_gives_the_same(built: Network, outputs: Outputs) -> None:
    other = network("time")
    other.set_params(built.get_params())
    found = run(other, whole_batch())
    for name in CASES:
        np.testing.assert_allclose(
            found[name].canonical(), outputs[name].canonical(), atol=1e-5, err_msg=name
        )


def test_parameters_survive_a_checkpoint(built: Network, tmp_path: Any) -> None:
    built.save(tmp_path / "checkpoint")
    other = network()
    other.load(tmp_path / "checkpoint")
    for name, value in built.get_params().items():
        np.testing.assert_array_equal(other.get_params()[name], value)


def in_a_loop(name: str, inputs: Net, *, moved: bool) -> Network:
    """Return a network with a layer of the table in a loop; `s` makes every step differ."""
    layer = json.loads(json.dumps(CASES[name]).replace("data:labels", "data:classes"))
    unit = {
        "s": {"class": "linear", "activation": "tanh", "from": "data:source", "n_out": DIM},
        **inputs,
        "mask": {**COMMON["mask"], "initial_output": 1},
        **{k: v for k, v in COMMON.items() if k not in ("count", "mask")},
        "half": {"class": "eval", "from": "base:count", "eval": "source(0) // 2"},
        "x": layer,
        "output": {"class": "copy", "from": "s"},
    }
    unit["x"]["is_output_layer"] = True
    rec = {"class": "rec", "from": "data", "unit": unit, "optimize_move_layers_out": moved}
    net = {"other": SHIFT | {"from": "data:other"}, "count": COMMON["count"], "output": rec}
    streams = {**STREAMS, "other": {"dim": DIM}}
    return Network(net, extern_data=streams, outputs=["output/x"], train=True)


@pytest.mark.parametrize(
    ("name", "kind"),
    [*((n, "step") for n in OF_A_STEP), *((n, "sequence") for n in OF_A_SEQUENCE)],
)
def test_in_a_loop_a_layer_gives_what_it_gives_out_of_it(name: str, kind: str) -> None:
    of_step = {"in": {**SHIFT, "from": "s"}}
    of_sequence = {"in": {"class": "combine", "kind": "add", "from": ["s", "base:other"]}}
    found = []
    for moved in (True, False):
        net = in_a_loop(name, of_step if kind == "step" else of_sequence, moved=moved)
        random_parameters(net)
        batch = {k: v for k, v in whole_batch().items() if k != "labels"}
        batch["other"] = dense([2, 6, 3], DIM, seed=5)
        out = run(net, batch)["output/x"]
        placement = net.scope.get("output").layer.placement(net.scope.get("output"))  # type: ignore[attr-defined]
        stays = moved and kind == "sequence" and name in STAYING
        assert (placement.place[net.scope.get("output/x")] == "in") == (stays or not moved)
        found.append(out)
    assert [d.name for d in found[0].dims if d.size is None] == [
        d.name for d in found[1].dims if d.size is None
    ]
    np.testing.assert_allclose(found[0].canonical(), found[1].canonical(), atol=1e-5)
