"""Sums over the paths of transducers in networks, against their definition and each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eager import Array, dense, gradients, random_parameters, run

from cupy_kernels.transducer import reference
from returnn_lite import native
from returnn_lite.errors import NetworkError
from returnn_lite.network import Network

LENGTHS = [5, 4, 1]
LABELS = (np.array([[0, 1, 1], [2, 0, 0], [1, 1, 0]], np.int32), [3, 1, 2])
STREAMS = {"data": {"dim": 4}, "labels": {"dim": 3, "sparse": True}}
BATCH = {"data": dense(LENGTHS, 4), "labels": LABELS}
TOPOLOGIES = ["rnnt", "rna", "ctc"]
MAXOUT = {"class": "reduce_out", "mode": "max", "num_pieces": 2, "from": "sum"}


def activation(name: str | None, **opts: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"class": "activation", "activation": name, "from": "sum"}
    return {**found, "opts": opts} if opts else found


def transducer(joint: dict[str, Any], **loss_opts: Any) -> dict[str, Any]:
    """Return a network whose output has the loss, of the labels and, at the end, the blank."""
    linear: dict[str, Any] = {"class": "linear", "activation": None, "n_out": 6}
    return {
        "encoder": {**linear, "from": "data"},
        "embedding": {**linear, "from": "data:labels"},
        "predictor": {"class": "prefix_in_time", "from": "embedding"},
        "sum": {"class": "combine", "kind": "add", "from": ["predictor", "encoder"]},
        "joint": joint,
        "output": {
            "class": "softmax",
            "from": "joint",
            "n_out": 4,
            "target": "labels",
            "loss": "transducer",
            "loss_opts": {"input_type": "prob", **loss_opts},
        },
    }


def opened(net: dict[str, Any], **options: Any) -> Network:
    network = Network(net, extern_data=STREAMS, **options)
    random_parameters(network)
    return network


def without_kernel(net: dict[str, Any]) -> dict[str, Any]:
    """Return a network that has its loss behind a copy, which stores the whole output."""
    loss = {k: net["output"][k] for k in ("target", "loss", "loss_opts")}
    output = {k: v for k, v in net["output"].items() if k not in loss}
    return {**net, "output": output, "stored": {"class": "copy", "from": "output", **loss}}


def log_probs(network: Network, layer: str) -> Array:
    """Return [batch, time, labels + 1, classes]."""
    out = run(network, BATCH, [layer], with_losses=False)[layer]
    x = np.log(np.maximum(out.canonical(), 1e-38))
    return x if x.shape[1:3] == (5, 4) else x.swapaxes(1, 2)


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_the_value_is_that_of_all_paths(topology: str) -> None:
    net = transducer(activation("tanh"), topology=topology)
    for one, layer in ((net, "output"), (without_kernel(net), "stored")):
        network = opened(one)
        found = run(network, BATCH).losses[layer].value
        needed, _ = reference.transducer_loss(
            log_probs(network, "output"), np.array(LENGTHS), *map(np.array, LABELS),
            blank=3, topology=topology,
        )  # fmt: skip
        assert np.isinf(needed).tolist() == [False, False, topology != "rnnt"]
        np.testing.assert_allclose(found, needed, rtol=1e-5)


NAMES = ("tanh", "relu", "swish", "gelu", "elu", "selu", "leaky_relu", "softplus", "none", None)


BOTH = ["predictor", "encoder"]
SUM, TANH_OF_SUM = "source(0) + source(1)", "tf.tanh(source(0) + source(1))"
SUMS: list[dict[str, Any]] = [
    {"class": "combine", "kind": "add", "activation": "relu", "from": BOTH},
    {"class": "combine", "kind": "eval", "eval": TANH_OF_SUM, "from": BOTH},
    {"class": "eval", "eval": TANH_OF_SUM, "from": BOTH},
    {"class": "eval", "eval": SUM, "activation": "swish", "from": BOTH},
]
GELU = activation("gelu", approximate=True)


@pytest.mark.parametrize("joint", [MAXOUT, *map(activation, NAMES), GELU, *SUMS])
def test_what_is_made_slice_by_slice_has_the_same_gradients(
    joint: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    net = transducer(joint, zero_infinity=True, topology="rna")
    whole, needed = gradients(opened(without_kernel(net)), BATCH)

    monkeypatch.setattr(native, "transducer_loss", None)
    value, found = gradients(opened(net), BATCH)
    assert value == pytest.approx(whole, rel=1e-5)
    assert found.keys() == needed.keys()
    for name, gradient in found.items():
        np.testing.assert_allclose(gradient, needed[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "opts"),
    [
        ("joint", activation("cos")),
        ("joint", activation("leaky_relu", alpha=0.3)),
        ("joint", {**activation("tanh"), "dropout": 0.5, "dropout_on_forward": True}),
        ("joint", {"class": "eval", "eval": SUM, "out_type": {"dim": 6}, "from": BOTH}),
        ("sum", {"class": "combine", "kind": "mul", "from": ["predictor", "encoder"]}),
        ("sum", {"class": "combine", "kind": "add", "from": ["encoder", "embedded"]}),
    ],
)
def test_other_joint_networks_are_stored(
    layer: str, opts: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    net = {**transducer(activation("tanh")), layer: opts}
    net["embedded"] = {"class": "combine", "kind": "add", "from": ["predictor", "encoder"]}
    monkeypatch.setattr(native, "transducer_fused_loss", None)
    network = opened(net)
    found = run(network, BATCH).losses["output"].value
    needed, _ = reference.transducer_loss(
        log_probs(network, "output"), np.array(LENGTHS), *map(np.array, LABELS),
        blank=3, topology="rnnt",
    )  # fmt: skip
    np.testing.assert_allclose(found, needed, rtol=1e-5)


def separate(blank_idx: int, *, input_type: str = "log_prob", **drop: Any) -> dict[str, Any]:
    """Return a network with an emission probability of its own, of labels that count the blank."""
    net = transducer(activation("tanh"), input_type=input_type, blank_idx=blank_idx)
    output = net.pop("output")
    output.pop("n_out")
    linear: dict[str, Any] = {"class": "linear", "from": "joint", **drop}
    blank_first = ["blank", "labelled"][:: 1 if blank_idx == 0 else -1]
    net |= {
        "emit": {**linear, "activation": None, "n_out": 1},
        "blank": {"class": "eval", "from": "emit", "eval": "log_sigmoid(-source(0))"},
        "emitted": {"class": "activation", "activation": "log_sigmoid", "from": "emit"},
        "label": {**linear, "activation": "log_softmax", "n_out": 3},
        "labelled": {"class": "combine", "kind": "add", "from": ["label", "emitted"]},
        "output": {**output, "class": "copy", "from": blank_first},
    }
    if input_type == "prob":
        net["joined"] = {"class": "copy", "from": blank_first}
        net["output"] |= {"class": "activation", "activation": "exp", "from": "joined"}
    return net


@pytest.mark.parametrize("input_type", ["log_prob", "prob"])
@pytest.mark.parametrize("blank_idx", [0, -1])
def test_an_emission_probability_of_its_own(
    blank_idx: int, input_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The value is that of the definition, the gradients are those of what is stored."""
    net = separate(blank_idx, input_type=input_type)
    streams = {**STREAMS, "labels": {"dim": 4, "sparse": True}}
    first = int(blank_idx == 0)
    inside = np.arange(3) < np.array(LABELS[1])[:, None]
    labels = (np.where(inside, LABELS[0] + first, 0), LABELS[1])
    network = Network(net, extern_data=streams)
    random_parameters(network)
    out = run(network, {**BATCH, "labels": labels})
    x = out["output"].canonical()
    x = x if x.shape[1:3] == (5, 4) else x.swapaxes(1, 2)
    x = np.log(np.maximum(x, 1e-38)) if input_type == "prob" else x
    needed, _ = reference.transducer_loss(
        x, np.array(LENGTHS), *map(np.array, labels), blank=blank_idx % 4, topology="rnnt"
    )
    np.testing.assert_allclose(np.exp(x[0]).sum(axis=-1), 1, rtol=1e-5)
    np.testing.assert_allclose(out.losses["output"].value, needed, rtol=1e-5)

    def found(net: dict[str, Any]) -> tuple[float, dict[str, Array]]:
        opened = Network(net, extern_data=streams)
        random_parameters(opened)
        return gradients(opened, {**BATCH, "labels": labels})

    whole, wanted = found(without_kernel(net))
    monkeypatch.setattr(native, "transducer_loss", None)
    value, grads = found(net)
    assert value == pytest.approx(whole, rel=1e-5)
    assert grads.keys() == wanted.keys()
    for name, gradient in grads.items():
        np.testing.assert_allclose(gradient, wanted[name], rtol=1e-4, atol=1e-5)


def test_an_activation_of_the_sum_of_emission_and_label_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net = separate(0)
    net["labelled"]["activation"] = "tanh"
    batch = {**BATCH, "labels": (np.minimum(LABELS[0] + 1, 3), LABELS[1])}
    streams = {**STREAMS, "labels": {"dim": 4, "sparse": True}}
    losses = []
    monkeypatch.setattr(native, "transducer_fused_loss", None)
    for one, layer in ((net, "output"), (without_kernel(net), "stored")):
        network = Network(one, extern_data=streams)
        random_parameters(network)
        losses.append(run(network, batch).losses[layer].value)
    np.testing.assert_array_equal(*losses)


EACH = {"dropout": 0.4, "dropout_noise_shape": {"*": None}}
DROPS = {
    "of features": {"dropout": 0.4},
    "of entries": EACH,
    "of features in frames": {"dropout": 0.4, "dropout_noise_shape": {"B": 1, "*": None}},
    "of features in sequences": {"dropout": 0.4, "dropout_axis": ("B", "F")},
}


@pytest.mark.parametrize("drop", DROPS)
@pytest.mark.parametrize("by_layer", [False, True])
@pytest.mark.parametrize("terms", [["predictor", "encoder"], ["encoder", "predictor"]])
def test_dropout_is_that_of_layers(
    drop: str, by_layer: bool, terms: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same entries of the joint layer, whether it is stored or not; none in evaluation."""
    net = transducer(activation("elu"), zero_infinity=True)
    net["sum"]["from"] = terms
    if by_layer:
        net["dropped"] = {"class": "dropout", "from": "joint", **DROPS[drop]}
        net["output"]["from"] = "dropped"
    else:
        net["output"] |= DROPS[drop]
    stored = without_kernel(net)
    whole, needed = gradients(opened(stored), BATCH, train=True, step=3)
    without, _ = gradients(opened(stored), BATCH)

    monkeypatch.setattr(native, "transducer_loss", None)
    network = opened(net)
    value, found = gradients(network, BATCH, train=True, step=3)
    assert value == pytest.approx(whole, rel=1e-5)
    assert found.keys() == needed.keys()
    for name, gradient in found.items():
        np.testing.assert_allclose(gradient, needed[name], rtol=1e-4, atol=1e-5)
    assert gradients(network, BATCH)[0] == pytest.approx(without, rel=1e-5)
    assert abs(whole - without) > 0.01
    assert gradients(network, BATCH, train=True, step=4)[0] != pytest.approx(value, rel=1e-4)


@pytest.mark.parametrize("how", ["features", "one layer for both", "entries of each"])
def test_dropout_before_an_emission_probability(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two masks of single entries cannot be fused, and are stored; all others are."""
    net = separate(-1, **{"features": {"dropout": 0.4}, "entries of each": EACH}.get(how, {}))
    if how == "one layer for both":
        net["dropped"] = {"class": "dropout", "from": "joint", **EACH}
        net |= {name: {**net[name], "from": "dropped"} for name in ("emit", "label")}
    streams = {**STREAMS, "labels": {"dim": 4, "sparse": True}}

    def found(net: dict[str, Any]) -> tuple[float, dict[str, Array]]:
        opened = Network(net, extern_data=streams)
        random_parameters(opened)
        return gradients(opened, BATCH, train=True)

    whole, wanted = found(without_kernel(net))
    monkeypatch.setattr(
        native, "transducer_fused_loss" if how == "entries of each" else "transducer_loss", None
    )
    value, grads = found(net)
    assert value == pytest.approx(whole, rel=1e-5)
    for name, gradient in grads.items():
        np.testing.assert_allclose(gradient, wanted[name], rtol=1e-4, atol=1e-5)


def test_sequences_without_a_path_are_left_out_if_told() -> None:
    net = transducer(activation("tanh"), topology="rna", zero_infinity=True)
    assert run(opened(net), BATCH).losses["output"].value[2] == 0


@pytest.mark.parametrize(
    ("opts", "text"),
    [
        ({"loss_opts": {}}, "missing option .input_type. of the loss"),
        (
            {"loss_opts": {"topology": "hmm", "input_type": "prob"}},
            "option 'topology' of the loss .*: found 'hmm', need",
        ),
        (
            {"loss_opts": {"blank_idx": 7, "input_type": "prob"}},
            "found blank_idx 7 for .*, needed one of it",
        ),
        (
            {"loss_opts": {"blank_idx": 0, "input_type": "prob"}},
            "found blank_idx 0 for target .*, needed the last, -1, or",
        ),
        ({"n_out": 9}, "found 9 outputs for target .*, needed 4, the last one for the blank"),
        ({"from": "encoder"}, r"found .* for labels .*, needed \[batch, time, labels \+ 1, feat"),
        ({"from": "twice"}, r"found .*, needed \[batch, .*; try prefix_in_time for the labels"),
    ],
)
def test_mistakes(opts: dict[str, Any], text: str) -> None:
    net = transducer(activation("tanh"))
    net["twice"] = {"class": "combine", "kind": "add", "from": ["encoder", "embedding"]}
    net["output"] = {**net["output"], **opts}
    with pytest.raises(NetworkError, match=rf"output \(softmax\): {text}"):
        Network(net, extern_data=STREAMS)
