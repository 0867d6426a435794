"""What a run gives besides outputs: summed losses, gradients, the result of a search."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eager import dense, random_parameters, sparse
from models import FEATURES, decoder_net, two_choices_net, two_choices_streams

from returnn_lite import Network, NetworkError

STREAMS = {"data": {"dim": 3}, "classes": {"dim": 4, "sparse": True}}
SOFTMAX = {"class": "softmax", "from": "hidden", "target": "classes", "loss": "ce"}
NET: dict[str, Any] = {
    "hidden": {"class": "linear", "n_out": 2, "activation": "tanh", "from": "data", "L2": 0.25},
    "output": SOFTMAX,
    "aside": {**SOFTMAX, "loss_scale": 0.5},
}
BATCH = {"data": dense([3, 2], 3), "classes": sparse([3, 2], 4)}
DECODER = decoder_net(labels=3, beam_size=2, max_len="max_len_from('base:enc')", end=0, eos=False)
DECODER_STREAMS = {"data": {"dim": FEATURES}, "classes": {"dim": 3, "sparse": True}}

# Layers to which padding may be of use, between two linear layers; train, for batch_norm.
SUMMED = {"class": "reduce", "mode": "sum", "axes": "T"}
SEES_PADDING: dict[str, dict[str, Any]] = {
    "reduce": {**SUMMED, "use_time_mask": False},
    "eval": {"class": "eval", "eval": "tf.reduce_sum(source(0), axis=1)"},
    "eval function": {"class": "eval", "eval": lambda source, **_: source(0) * 2.0},
    "batch_norm": {"class": "batch_norm", "masked_time": False},
    "option batch_norm": {"class": "copy", "batch_norm": {"masked_time": False}},
    "softmax_over_spatial": {"class": "softmax_over_spatial", "use_time_mask": False},
    "slice_nd": {"class": "slice_nd", "start": 1, "size": 2},
    "pad": {"class": "pad", "axes": "T", "padding": (0, 1), "handle_dynamic_dims": False},
    "reinterpret_data": {"class": "reinterpret_data", "size_base": "hidden"},
    "gather": {"class": "gather", "position": 1},
    "shift_axis": {"class": "shift_axis", "axis": "T", "amount": -1, "adjust_size_info": False},
    "activation": {"class": "activation", "activation": "tf.cumsum(x, axis=1)"},
    "eval of a name": {"class": "eval", "eval": "relu(source(0))", "eval_locals": {"relu": abs}},
}
PLAIN_EVALS = ["source(0) * 2.0", "tf.nn.relu(source(0)) + tf.cast(source(0) > 0, 'float32')"]


@pytest.mark.parametrize("name", SEES_PADDING)
def test_no_padding_is_left_out_where_a_layer_sees_it(name: str) -> None:
    assert not _skips_padding(SEES_PADDING[name])


@pytest.mark.parametrize("expression", PLAIN_EVALS)
def test_padding_is_left_out_where_none_does(expression: str) -> None:
    assert _skips_padding(SUMMED)
    assert _skips_padding({"class": "eval", "eval": expression})


def _skips_padding(layer: dict[str, Any]) -> bool:
    net = {**NET, "other": {**layer, "from": "hidden", "is_output_layer": True}}
    return Network(net, extern_data=STREAMS).frame(dict(BATCH)).run.skips_padding


def test_losses_are_summed_and_by_sequence() -> None:
    out = Network(NET, extern_data=STREAMS).run(BATCH)
    loss = out.losses["output"]
    assert loss.value.shape == loss.weight.shape == (2,)
    assert loss.error is not None and loss.summed_error == loss.error.sum()
    assert loss.summed == pytest.approx(loss.value.sum())
    assert loss.norm_factor == pytest.approx(1 / 5)
    assert out.gradients is None and out.search is None
    assert Network(NET, extern_data=STREAMS).run({"data": BATCH["data"]}).losses == {}


def test_a_loss_has_the_target_of_the_config_by_default() -> None:
    net = {"output": {"class": "softmax", "from": "data", "loss": "ce"}}
    assert Network(net, extern_data=STREAMS).template("output").feature_size == 4
    streams = {**STREAMS, "bpe": {"dim": 6, "sparse": True}}
    network = Network(net, extern_data=streams, config={"target": "bpe"})
    assert network.template("output").feature_size == 6
    assert network.run({"data": BATCH["data"], "bpe": sparse([3, 2], 6)}).losses.keys() == {
        "output"
    }


def test_gradients_are_those_of_the_summed_losses_and_l2() -> None:
    network = Network(NET, extern_data=STREAMS)
    params = random_parameters(network)

    def objective() -> float:
        network.set_params(params)
        out = network.run(BATCH)
        decay = 0.25 * sum(np.sum(params[f"hidden/{n}"] ** 2, dtype=float) for n in "Wb")
        return out.losses["output"].summed + 0.5 * out.losses["aside"].summed + decay

    out = network.run(BATCH, ["output"], gradients=True)
    assert out.gradients is not None and set(out.gradients) == set(params)
    for name, index in (("hidden/W", (2, 1)), ("hidden/b", (0,)), ("output/W", (1, 3))):
        value = params[name][index]
        params[name][index] = value + 1e-2
        up = objective()
        params[name][index] = value - 1e-2
        slope = (up - objective()) / 2e-2
        params[name][index] = value
        assert out.gradients[name][index] == pytest.approx(slope, rel=2e-3)


def test_frozen_parameters_have_no_gradient() -> None:
    net = {**NET, "hidden": {**NET["hidden"], "trainable": False}}
    out = Network(net, extern_data=STREAMS).run(BATCH, gradients=True)
    assert out.gradients is not None
    assert set(out.gradients) == {"aside/W", "aside/b", "output/W", "output/b"}


@pytest.mark.parametrize(
    ("net", "batch", "needed"),
    [
        (NET, {"data": BATCH["data"]}, r"the target of output \(softmax\)"),
        ({"output": NET["hidden"]}, BATCH, "a layer with a loss"),
    ],
)
def test_gradients_need_a_loss_and_its_target(net: Any, batch: Any, needed: str) -> None:
    with pytest.raises(NetworkError, match=f"gradients: found no loss .*, needed {needed}"):
        Network(net, extern_data=STREAMS).run(batch, gradients=True)


def test_the_hypotheses_of_a_search() -> None:
    network = Network(DECODER, extern_data=DECODER_STREAMS, task="search")
    random_parameters(network, scale=1.5)
    batch = {"data": dense([4, 3], FEATURES)}
    out = network.run(batch, ["encoder", "output"])
    found, rows = out.search, out["output"]
    assert found is not None and (found.layer, list(out)) == ("output", ["encoder", "output"])
    assert found.labels.shape[:2] == found.lengths.shape == found.scores.shape == (2, 2)
    assert np.all(np.diff(found.scores, axis=1) <= 0)
    np.testing.assert_array_equal(found.labels.reshape(4, -1), rows.canonical())
    (lengths,) = rows.lengths.values()
    np.testing.assert_array_equal(found.lengths.reshape(4), lengths)
    np.testing.assert_array_equal(found.scores, rows.scores)
    again = network.run(batch, ["encoder"]).search
    assert again is not None
    np.testing.assert_array_equal(again.labels, found.labels)


def test_the_hypotheses_that_are_decided_on() -> None:
    net = {**DECODER, "best": {"class": "decide", "from": "output", "is_output_layer": True}}
    network = Network(net, extern_data=DECODER_STREAMS, search=True, outputs=["best"])
    out = network.run({"data": dense([4, 3], FEATURES)})
    assert out.search is not None and out.search.layer == "output"
    best = out["best"].canonical()
    np.testing.assert_array_equal(out.search.labels[:, 0, : best.shape[1]], best)


def test_the_last_choice_has_the_hypotheses() -> None:
    network = Network(two_choices_net(beams=(2, 3)), extern_data=two_choices_streams(), search=True)
    found = network.run({"data": dense([3, 2], FEATURES)}).search
    assert found is not None and found.labels.shape == (2, 3, 3)
    assert found.lengths.tolist() == [[3] * 3, [2] * 3]
    assert np.all(found.labels[1, :, 2] == 0)


TASKS = {
    "forward": (False, False),
    "eval": (False, False),
    "train": (True, False),
    "search": (False, True),
}


@pytest.mark.parametrize("task", TASKS)
def test_tasks(task: str) -> None:
    mode = Network(DECODER, extern_data=DECODER_STREAMS, task=task).mode
    assert (mode.train, mode.search) == TASKS[task]
    assert Network(DECODER, extern_data=DECODER_STREAMS, task="forward", train=True).mode.train


def test_a_task_that_there_is_not() -> None:
    with pytest.raises(NetworkError, match="task: found 'decode', needed one of forward, eval"):
        Network(NET, extern_data=STREAMS, task="decode")


def test_what_a_config_defines() -> None:
    text = "source(0) * self.network.get_config().{}"
    calls = ["typed_value('scale')", "float('scale', 1.0)", "int('other', 2)", "value('task', '')"]
    net = {
        "output": {"class": "eval", "from": "data", "eval": text.format(calls[0])},
        "b": {"class": "eval", "from": "data", "eval": text.format(calls[1])},
        "c": {"class": "eval", "from": "data", "eval": text.format(calls[2])},
        "d": {"class": "eval", "from": "data", "eval": text.format(calls[3] + ".count('e')")},
    }
    config = {"scale": 3.0}
    network = Network(net, extern_data=STREAMS, config=config, task="eval")
    x = BATCH["data"][0] * (np.arange(3)[:, None] < [[[3]], [[2]]])
    out = network.run(BATCH, list(net))
    for name, factor in (("output", 3), ("b", 3), ("c", 2), ("d", 1)):
        np.testing.assert_allclose(out[name].canonical(), factor * x, rtol=1e-6)
