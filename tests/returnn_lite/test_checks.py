"""Mistakes in a network dict that need no data to be found."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from recipes import commands
from returnn_lite.checks import check_dict
from returnn_lite.errors import NetworkError

NETWORK: dict[str, Any] = {
    "hidden": {"class": "linear", "activation": "tanh", "n_out": 4, "from": "data"},
    "output": {
        "class": "rec",
        "from": "hidden",
        "unit": {
            "state": {"class": "linear", "from": ["data:source", "prev:state"], "n_out": 3},
            "output": {"class": "copy", "from": "state"},
        },
    },
    "probs": {"class": "softmax", "from": "output", "loss": "ce", "target": "classes"},
}


def changed(path: str, **options: Any) -> dict[str, Any]:
    network = copy.deepcopy(NETWORK)
    layer = network
    for name in path.split("/"):
        layer = layer["unit"][name] if "unit" in layer else layer[name]
    layer.update(options)
    return network


@pytest.mark.parametrize(
    ("network", "text"),
    [
        (
            changed("hidden", activatoin="relu"),
            "hidden (linear): unknown option 'activatoin'; did you mean 'activation'?",
        ),
        (
            changed("output/state", **{"class": "linaer"}),
            "output/state (linaer): unknown layer class 'linaer'; did you mean 'linear'?",
        ),
        (
            changed("output/state", **{"from": "prev:stat"}),
            "output/state (linear): no layer 'stat'; did you mean 'state'?",
        ),
        (
            changed("output/state", n_out="3"),
            "output/state (linear): option 'n_out': found '3', needed",
        ),
        (
            changed("hidden", **{"from": "probs"}),
            "found layers that depend on one another: ",
        ),
        (
            changed("probs", target="clases"),
            "probs (softmax): no data stream 'clases'; did you mean 'classes'?",
        ),
        (changed("probs", loss="cee"), "probs (softmax): unknown loss 'cee'; did you mean 'ce'?"),
        (
            changed("hidden", activation="sigmoyd"),
            "hidden (linear): unknown activation 'sigmoyd'; did you mean 'sigmoid'?",
        ),
        ({"hidden": {"class": "copy"}}, "found no layer 'output', no loss and no is_output_layer"),
        ({"output": ["copy"]}, "output: found ['copy'], needed a dict with 'class'"),
    ],
)
def test_what_is_wrong_is_told_without_data(network: dict[str, Any], text: str) -> None:
    with pytest.raises(NetworkError) as caught:
        check_dict(network, streams=["data", "classes"])
    assert text in str(caught.value)


def test_streams_that_are_not_known_may_have_any_name() -> None:
    check_dict(changed("probs", target="clases"))


@pytest.mark.parametrize("stage", ["ctc", "transducer", "lm", "tune", "realign_dev"])
def test_the_shipped_networks_have_no_mistake(stage: str) -> None:
    params = commands.RECIPE.stages[stage].params
    search = stage in ("tune", "realign_dev")
    layer = {"tune": ["labels"], "realign_dev": ["output"]}.get(stage)
    check_dict(params["network"], search=search, outputs=layer)
