"""The cross entropy over a dynamic dim: its gradient, and what is not right with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eager import Array, dense, gradients, random_parameters, run

from returnn_lite.errors import NetworkError
from returnn_lite.network import Network

LENGTHS = [4, 2]
STREAMS = {"data": {"dim": 3}, "labels": {"dim": 3, "same_dim_tags_as": {"t": "data"}}}
BATCH = {"data": dense(LENGTHS, 3), "labels": (np.abs(dense(LENGTHS, 3)[0]), LENGTHS)}


def network(more: str = "", labels: str = "data:labels") -> Network:
    net = {
        "logits": {"class": "linear", "activation": None, "n_out": 3, "from": "data"},
        "lost": {"class": "reduce", "mode": "sum", "axis": "F", "from": "data:labels"},
        "output": {
            "class": "eval",
            "from": ["logits", labels],
            "eval": "softmax_cross_entropy_over_size("
            f"source(0, as_data=True), source(1, as_data=True, auto_convert=False){more})",
            "out_type": lambda sources, **_: sources[0].output.copy_template_excluding_time_dim(),
            "loss": "as_is",
        },
    }
    return Network(net, extern_data=STREAMS)


def softmax(x: Array) -> Array:
    shifted = np.exp(x - x.max(0))
    found: Array = shifted / shifted.sum(0)
    return found


@pytest.mark.parametrize("stable", [True, False])
def test_values_and_gradients(stable: bool) -> None:
    built = network("" if stable else ", stable_gradient=False")
    params = random_parameters(built)
    found, needed = run(built, BATCH)["output"].values, np.zeros([3, 3])
    for b, n in enumerate(LENGTHS):
        x, labels = BATCH["data"][0][b, :n], BATCH["labels"][0][b, :n]
        probs = softmax(x @ params["logits/W"] + params["logits/b"])
        np.testing.assert_allclose(found[b], -(labels * np.log(probs)).sum(0), rtol=1e-4)
        needed += x.T @ ((probs if stable else probs * labels.sum(0)) - labels)
    weights = gradients(built, BATCH)[1]["logits/W"]
    np.testing.assert_allclose(weights / weights[0, 0], needed / needed[0, 0], rtol=1e-3)


def test_labels_of_other_dims() -> None:
    built: Any = network(labels="lost")
    with pytest.raises(NetworkError, match=r"found labels \[B.*\] for logits \[B,.*, needed as ma"):
        run(built, BATCH)
