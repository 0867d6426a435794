"""Self-attention: a network gives the same with the kernel and with TensorFlow's own operations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from both_forms import NEEDS_COMPILER

from returnn_lite import Network, NetworkError, native
from returnn_lite.layers.positions import RelativePositionalEncoding
from returnn_lite.native import attention

STREAMS = {"data": {"dim": 5}, "classes": {"dim": 4, "sparse": True}}
LENGTHS = np.array([9, 4, 1], np.int32)
ATTENTION = {"class": "self_attention", "num_heads": 2, "total_key_dim": 6, "n_out": 8}
OUTPUT = {"class": "softmax", "target": "classes", "loss": "ce"}
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "left only": {"attention_left_only": True},
    "shifted keys": {"key_shift": "places"},
    "shared keys": {"share_kv": True, "total_key_dim": 8},
    "dropout": {"attention_dropout": 0.5},
    "states": {"initial_state": "keep_over_epoch"},
}
BY_TENSORFLOW = ("shared keys", "states")


def _net(sees_padding: bool = False, places: Any = None, **options: Any) -> dict[str, Any]:
    encoding = {"class": "relative_positional_encoding", "n_out": 3, "from": "data"}
    net = {
        "places": {**encoding, **(places or {})},
        "att": {**ATTENTION, **options, "from": "data"},
    }
    # Sees what the attention's queries behind the ends have.
    sum_of_all = {"class": "eval", "eval": "tf.reduce_sum(source(0), axis=1, keepdims=True)"}
    other = {"class": "combine", "kind": "add", "from": ["att", "sum"]}
    net |= {"sum": {**sum_of_all, "from": "att"}, "both": other} if sees_padding else {}
    return {**net, "output": {**OUTPUT, "from": "both" if sees_padding else "att"}}


def _run(net: dict[str, Any], *, train: bool = False, outputs: tuple[str, ...] = ()) -> list[Any]:
    rng = np.random.default_rng(1)
    data = {
        "data": (rng.standard_normal((3, 9, 5), np.float32), LENGTHS),
        "classes": (rng.integers(0, 4, (3, 9), np.int32), LENGTHS),
    }
    network = Network(net, extern_data=STREAMS, train=train, seed=3)
    out = network.run(data, ["att", *outputs], gradients=True)
    assert out.gradients is not None
    values = [out[name].canonical() for name in ("att", *outputs)]
    return [*values, *(out.gradients[name] for name in sorted(out.gradients))]


@pytest.mark.parametrize("sees_padding", [False, True])
@pytest.mark.parametrize("name", OPTIONS)
def test_both_forms(name: str, sees_padding: bool) -> None:
    net = _net(sees_padding, **OPTIONS[name])
    found = _run(net)
    with native.tensorflow_only():
        wanted = _run(net)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * max(np.abs(b).max(), 1e-3))


# With the number of axes of what the kernel is given: of distances, or of all pairs.
ENCODINGS: dict[str, tuple[dict[str, Any], int]] = {
    "learnt": ({}, 2),
    "fixed": ({"fixed": True}, 2),
    "near": ({"clipping": 1}, 2),
    "offset of none": ({"query_offset": 0, "clipping": 3}, 2),
    "offset": ({"query_offset": 2, "clipping": 3}, 3),
    "normalised": ({"batch_norm": {"masked_time": False}}, 3),
    "checked": ({"control_dependencies_on_output": lambda layer: [tf.no_op()]}, 3),
}


@pytest.mark.parametrize("also", [(), ("places",)], ids=["alone", "shown"])
@pytest.mark.parametrize("name", ENCODINGS)
def test_shifts_by_distance(
    name: str, also: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    places, axes = ENCODINGS[name]
    given = []

    def launch(*arguments: Any, launch: Any = attention.launch) -> Any:
        given.append(len(arguments[3 if arguments[1].endswith("forward") else 4].shape))
        return launch(*arguments)

    net = _net(key_shift="places", places=places)
    monkeypatch.setattr(attention, "launch", launch)
    found = _run(net, outputs=also)
    assert set(given) <= {axes}
    with native.tensorflow_only():
        wanted = _run(net, outputs=also)
    for a, b in zip(found, wanted, strict=True):  # what shifts all keys alike has no gradient
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * max(np.abs(b).max(), 0.1))


def _in_a_loop() -> dict[str, Any]:
    """All of its layers leave it."""
    unit = _net(key_shift="places", attention_left_only=True)
    unit |= {name: {**unit[name], "from": "data:source"} for name in ("places", "att")}
    loop = {"class": "rec", "from": "data", "unit": unit, "target": "classes"}
    return {"output": loop, "att": {"class": "copy", "from": "output/att"}}


@NEEDS_COMPILER
@pytest.mark.parametrize("net", [_net(key_shift="places"), _in_a_loop()], ids=["plain", "loop"])
def test_shifts_of_pairs_are_not_made(net: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def call(*_: Any) -> Any:
        raise AssertionError("found shifts of pairs")

    wanted = _run(net)
    monkeypatch.setattr(RelativePositionalEncoding, "call", call)
    for a, b in zip(_run(net), wanted, strict=True):
        np.testing.assert_array_equal(a, b)
    with native.tensorflow_only(), pytest.raises(AssertionError, match="found shifts of pairs"):
        _run(net)


def test_shifts_of_other_frames_are_an_error() -> None:
    net = _net(key_shift="places")
    net["half"] = {"class": "pool", "mode": "max", "pool_size": (2,), "from": "data"}
    net["places"]["from"] = "half"
    text = "att .*found key_shift of other queries or keys than there are frames"
    with pytest.raises((NetworkError, tf.errors.InvalidArgumentError), match=text):
        _run(net)


@NEEDS_COMPILER
def test_lengths_that_are_none() -> None:
    """A network may make any numbers of them: below 0 it is none, above all frames it is these."""
    qkv = np.random.default_rng(0).standard_normal((2, 5, 6), np.float32)
    of = native.Heads(heads=1, key_size=2, value_size=2)
    found, wanted = (
        native.self_attention(tf.constant(qkv), None, tf.constant(lengths), of)
        for lengths in ([-2, 9], [0, 5])
    )
    np.testing.assert_array_equal(found, wanted)


@NEEDS_COMPILER
@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("train", [False, True])
def test_where_the_kernel_serves(name: str, train: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    called = []

    def count(*arguments: Any, launch: Any = attention.launch) -> Any:
        called.append(arguments[1])
        return launch(*arguments)

    monkeypatch.setattr(attention, "launch", count)
    _run(_net(**OPTIONS[name]), train=train)
    drops = name == "dropout" and train
    passes = ["self_attention_forward", "self_attention_backward"]
    assert called == ([] if drops or name in BY_TENSORFLOW else passes)
