"""Functions of the config that see layers while these are computed."""

from __future__ import annotations

from typing import Any

import pytest
import tensorflow as tf
from eager import dense, sparse

from returnn_lite.errors import NetworkError
from returnn_lite.network import Network

LENGTHS = [4, 2]
STREAMS = {
    "data": {"dim": 3},
    "classes": {"dim": 4, "sparse": True, "same_dim_tags_as": {"t": "data"}},
}
BATCH = {"data": dense(LENGTHS, 3), "classes": sparse(LENGTHS, 4)}
LINEAR = {"class": "linear", "activation": None}


def make(net: dict[str, Any], **more: Any) -> Network:
    return Network(net, extern_data=STREAMS, **more)


def test_an_assertion_runs_before_the_output_is_used() -> None:
    seen = []

    def below(most: float) -> Any:
        def check(layer: Any) -> Any:
            seen.append((layer.name, layer.output.dim))
            return [tf.debugging.assert_less(layer.output.placeholder, most, "too large")]

        return check

    for most in (1e9, -1e9):
        layer = {"class": "copy", "from": "data", "control_dependencies_on_output": below(most)}
        network = make({"checked": layer, "output": {**LINEAR, "n_out": 2, "from": "checked"}})
        if most < 0:
            with pytest.raises(NetworkError, match="too large"):
                network.run(BATCH, ["output"])
        else:
            assert network.run(BATCH, ["checked"])["checked"].values.shape == (2, 4, 3)
    assert seen == [("checked", 3)] * 2


def test_it_sees_the_hypotheses_of_a_choice() -> None:
    scores = []

    def keep(layer: Any) -> Any:
        scores.append(layer.search_choices.beam_scores.shape.as_list())
        return tf.no_op()

    choice = {"class": "choice", "target": "classes", "beam_size": 3, "from": "p"}
    unit = {
        "p": {"class": "softmax", "from": "prev:output", "target": "classes"},
        "output": {**choice, "initial_output": 0, "control_dependencies_on_output": keep},
        "end": {"class": "compare", "kind": "equal", "from": "output", "value": 0},
    }
    rec = {"class": "rec", "from": [], "unit": unit, "target": "classes", "max_seq_len": 4}
    make({"output": rec}, search=True).run({"data": BATCH["data"]}, ["output"])
    assert scores == [[None, 3]]


def test_it_has_to_give_operations() -> None:
    layer = {
        "class": "copy",
        "from": "data",
        "control_dependencies_on_output": lambda layer: ["no"],
    }
    wrong = r"^output \(copy\): found 'no' of control_dependencies_on_output, needed operations or"
    with pytest.raises(NetworkError, match=wrong):
        make({"output": layer}).run(BATCH, ["output"])
    layer["control_dependencies_on_output"] = 3
    with pytest.raises(
        NetworkError, match=r"option 'control_dependencies_on_output': found 3, nee"
    ):
        make({"output": layer})
