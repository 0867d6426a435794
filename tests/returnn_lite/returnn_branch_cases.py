"""Branches of which one is computed, for RETURNN: arguments of `returnn_cases.Case`."""

from __future__ import annotations

from typing import Any

from returnn_option_cases import EVEN, PLAIN, TANH, small

Net = dict[str, Any]

NUMBER: Net = {"class": "length", "axis": "B", "from": "data"}
LINEAR: Net = {**TANH, "from": "data"}


def _net(output: str, **layers: Net) -> Net:
    layers["output"] = {"class": "copy", "from": output}
    return {"class": "subnetwork", "subnetwork": layers}


def _branch(*, factor: float) -> Net:
    """Return a subnetwork with two outputs."""
    out: Net = {"is_output_layer": True}
    scaled: Net = {"class": "eval", "eval": f"{factor} * source(0)", "from": "data"}
    return {**_net("a", a={**LINEAR, **out}, b={**scaled, **out}), "from": "data"}


def _cond(value: int, number: str = "_n", **opts: Net) -> Net:
    condition: Net = {"class": "compare", "kind": "greater", "value": value, "from": number}
    return {"class": "cond", "from": [], "condition": condition, **opts}


LAYERS: dict[str, Net] = {
    # A batch has two sequences.
    "parts": {
        "_n": NUMBER,
        "_c": _cond(1, true_layer=_branch(factor=2.0), false_layer=_branch(factor=3.0)),
        "_d": _cond(2, true_layer=_branch(factor=2.0), false_layer=_branch(factor=3.0)),
        "x": {"class": "combine", "kind": "add", "from": ["_c/b", "_d/b"]},
        "y": {"class": "combine", "kind": "add", "from": ["_c", "_d/a"]},
        "last": {**LINEAR, "from": ["x", "y"]},
    },
    "scopes": {
        "x": {
            **_net(
                "c",
                n=NUMBER,
                c={
                    **_cond(1, "n", true_layer=LINEAR, false_layer={**PLAIN, "n_out": 4}),
                    "name_scope": "",
                },
            ),
            "from": "data",
        }
    },
}


def cases() -> dict[str, Net]:
    """Return the arguments of `returnn_cases.Case` by name."""
    return {f"branch_{k}": small(v, EVEN) for k, v in LAYERS.items()}
