"""Options whose default depends on the behaviour version of the config."""

from __future__ import annotations

from typing import Any

import pytest

from returnn_lite.dim import BATCH, FeatureDim, SpatialDim
from returnn_lite.errors import NetworkError
from returnn_lite.network import Network

Net = dict[str, Any]
NET: Net = {
    "conv": {"class": "conv", "filter_size": [3], "n_out": 2, "from": "data"},
    "norm": {"class": "batch_norm", "from": "conv"},
    "heads": {"class": "split_dims", "axis": "F", "dims": [2, 1], "from": "norm"},
    "merged": {"class": "merge_dims", "axes": ["F", "static:0"], "from": "heads"},
    "output": {"class": "rec", "unit": "zoneoutlstm", "n_out": 2, "from": "merged"},
}


def network(version: int | None) -> Network:
    config = {} if version is None else {"behavior_version": version}
    return Network(NET, extern_data={"data": {"dim": 3}}, config=config)


@pytest.mark.parametrize(
    ("version", "biased", "mean"),
    [
        (None, False, "norm_norm_output_mean"),
        (10, True, "norm_norm_output_mean"),
        (12, True, "v2_mean"),
    ],
)
def test_parameters(version: int | None, biased: bool, mean: str) -> None:
    shapes = network(version).param_shapes()
    assert ("conv/bias" in shapes) == biased
    assert f"norm/batch_norm/{mean}" in shapes


def test_other_options() -> None:
    def options(version: int) -> tuple[bool, bool, float]:
        scope = network(version).scope
        merged: Any = scope.get("merged").layer
        norm: Any = scope.get("norm").layer
        return (
            merged.keep_order,
            scope.get("output").resolved["cell"].use_zoneout_output,
            norm.momentum,
        )

    assert options(0) == (False, False, 0.99)
    assert options(6) == (True, False, 0.99)
    assert options(17) == (True, True, 0.1)


def test_a_product_of_no_axes() -> None:
    dot = {"class": "dot", "from": ["data", "data"], "reduce": "F", "var1": None, "var2": None}
    found = [
        str(
            Network(
                {"output": dot}, extern_data={"data": {"dim": 3}}, config={"behavior_version": v}
            ).template("output")
        )
        for v in (2, 3)
    ]
    assert [x.count(",") for x in found] == [2, 1]


def test_what_the_dict_says_holds() -> None:
    net = {"output": {**NET["conv"], "with_bias": False}}
    config = {"behavior_version": 20}
    assert list(Network(net, extern_data={"data": {"dim": 3}}, config=config).param_shapes()) == [
        "output/W"
    ]


def test_subnetworks_have_it_too() -> None:
    net = {"output": {"class": "subnetwork", "subnetwork": {"output": NET["conv"]}}}
    config = {"behavior_version": 10}
    found = Network(net, extern_data={"data": {"dim": 3}}, config=config).param_shapes()
    assert "output/output/bias" in found


def test_a_version_is_a_number() -> None:
    with pytest.raises(NetworkError, match="found behavior_version '1', needed 0 or more"):
        Network(NET, extern_data={"data": {"dim": 3}}, config={"behavior_version": "1"})


@pytest.mark.parametrize(("version", "axes"), [(15, 3), (16, 4)])
def test_dims_of_equal_size(version: int, axes: int) -> None:
    wide, other = FeatureDim("wide", 3), FeatureDim("other", 3)
    net = {
        "row": {"class": "variable", "shape": [other]},
        "output": {"class": "combine", "kind": "add", "from": ["data", "row"]},
    }
    streams = {"data": {"dim_tags": [BATCH, SpatialDim("time"), wide]}}
    out = Network(net, extern_data=streams, config={"behavior_version": version})
    assert len(out.template("output").dims) == axes
