"""Networks of trainings and searches, built from templates before there are any data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jobs.engine_errors import engine_errors
from jobs.job import Expected, JobError

if TYPE_CHECKING:
    from jobs.train.network import CheckParams
    from returnn_lite.data import Data

# Of a parameter, in bytes: in the model, and in two checkpoints with two moments each.
MODEL, CHECKPOINTS = 4, 2 * 3 * 4


@engine_errors()
def trained(params: CheckParams, inputs: Mapping[str, Expected]) -> dict[str, Expected]:
    """Return the model that a training makes; nothing where its data are not known.

    Raises JobError where the network does not fit the data.
    """
    from returnn_lite.network import Network

    given = {"data": inputs["train"].stream}
    if "train_targets" in inputs:
        given[params.target] = inputs["train_targets"].stream
    known = {name: dict(stream) for name, stream in given.items() if stream is not None}
    if known.keys() != given.keys():
        return {}
    if params.end_label is not None:
        known["delayed"] = {**known["data"], "same_dim_tags_as": {"t": "data"}}
    network = Network(params.network, extern_data=known, train=True, config=params.config)
    size = sum(_product(shape) for shape in network.param_shapes().values())
    model = {"network": params.network, "config": params.config, "extern_data": known}
    return {"model": Expected(bytes=(MODEL + CHECKPOINTS) * size, model=model)}


@engine_errors()
def searched(
    network: dict[str, Any] | None,
    layer: str,
    inputs: Mapping[str, Expected],
    streams: Mapping[str, Any] | None = None,
) -> Data | None:
    """Return the template of a layer in a search; None where the model is not known.

    network: the dict, None for the model's. streams: besides those of the model. Raises JobError
    where it does not fit the data, or has parameters that the model lacks.
    """
    from returnn_lite.network import Network

    model = inputs["model"].model
    if model is None:
        return None
    extern_data = {**model["extern_data"], **(streams or {})}
    layers, config = network or model["network"], model["config"]
    found = Network(layers, extern_data=extern_data, search=True, outputs=[layer], config=config)
    template = found.template(layer)
    if network is None or "lm" in inputs:  # a language model brings parameters of its own
        return template
    trained = Network(model["network"], extern_data=model["extern_data"], train=True, config=config)
    own = trained.param_shapes()
    for name, shape in found.param_shapes().items():
        if own.get(name) != shape:
            known = f"of shape {own[name]}" if name in own else "not at all"
            raise JobError(
                f"network: found parameter {name!r} of shape {shape}, which the model has {known};"
                " try the network that it is trained with"
            )
    return template


def with_blank(targets: dict[str, Any] | None) -> dict[str, Expected]:
    """Return the labels of an alignment: those of the targets, and the blank."""
    if targets is None:
        return {}
    return {"alignment": Expected(stream={**targets, "dim": targets["dim"] + 1})}


def _product(shape: tuple[int, ...]) -> int:
    """Return how many numbers an array has."""
    result = 1
    for size in shape:
        result *= size
    return result
