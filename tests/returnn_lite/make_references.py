"""Run the networks of returnn_cases in RETURNN and write their outputs to tests' references.

Usage, in an environment with RETURNN, its TensorFlow, and dm-tree:
PYTHONPATH=<project>:<project>/tests/returnn_lite python make_references.py <folder>
"""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import returnn.tf.compat as tf_compat
import tensorflow as tf
from returnn.config import Config, global_config_ctx
from returnn.tensor import Dim, batch_dim, single_step_dim
from returnn.tf.network import TFNetwork
from returnn.util.basic import BackendEngine, BehaviorVersion
from returnn_cases import CASES, Array, Case, parameters

import returnn_lite.dim


def reference(case: Case) -> dict[str, Array]:
    """Return parameters, inputs, outputs, losses, gradients and search results of a case."""
    dims: dict[Any, Any] = {}
    streams = _with_returnn_dims(_with_dim_objects(case.streams), dims)
    config = Config({"extern_data": streams, "backend": "tensorflow-net-dict", **case.config})
    # It is one for a process, as RETURNN means it.
    BehaviorVersion._reset((config.int("behavior_version", 0), 0))
    with global_config_ctx(config):
        BackendEngine.select_engine(config=config)
        with tf.Graph().as_default(), tf_compat.v1.Session() as session:
            # No network has dropout; without train_flag, a loop has no gradient.
            network = TFNetwork(
                config=config,
                train_flag=case.trains,
                eval_flag=True,
                search_flag=case.search,
            )
            network.construct_from_dict(_with_returnn_dims(case.net_for_returnn(), dims))
            variables = {p.name.partition(":")[0]: p for p in network.get_params_list()}
            values = parameters({k: tuple(v.shape.as_list()) for k, v in variables.items()})
            for name, variable in variables.items():
                variable.load(values[name], session)
            fetches = {**_outputs(network, case), **_losses(network, case, variables)}
            found = session.run(fetches, _feed(network, case))
    stored = {f"param:{k}": v for k, v in values.items()}
    for key, (array, lengths) in case.batch().items():
        stored |= {f"input:{key}": array, f"lengths:{key}": np.array(lengths, np.int32)}
    return stored | {k: np.asarray(v) for k, v in found.items()}


def _with_dim_objects(streams: dict[str, Any]) -> dict[str, Any]:
    """Return extern_data in which equal time dims are one object, as RETURNN wants it."""
    found = copy.deepcopy(streams)
    for opts in streams.values():
        other = opts.get("same_dim_tags_as", {}).get("t")
        time = Dim(None, name=f"time:{other}", kind=Dim.Types.Spatial)
        for key, same in streams.items():
            if other is not None and other in (key, same.get("same_dim_tags_as", {}).get("t")):
                found[key]["same_dim_tags_as"] = {"t": time}
    return found


_OPERATIONS = {
    "padded": lambda dim, left, right: left + dim + right,
    "times": lambda dim, number: dim * number,
    "total": lambda *dims: sum(dims[1:], dims[0]),
}


def _with_returnn_dims(value: Any, known: dict[Any, Any]) -> Any:
    """Return a dict with RETURNN's dims for this project's, of which copies are the same dim."""
    if isinstance(value, returnn_lite.dim.Dim) and value.kind == "batch":
        return batch_dim
    if isinstance(value, returnn_lite.dim.Dim) and value.name == returnn_lite.dim.SINGLE_STEP.name:
        return single_step_dim
    if isinstance(value, returnn_lite.dim.Dim) and value.operation:
        name, *numbers = value.operation
        return _OPERATIONS[name](*(_with_returnn_dims(p, known) for p in value.parts), *numbers)
    if isinstance(value, returnn_lite.dim.Dim):
        kind = Dim.Types.Feature if value.kind == "feature" else Dim.Types.Spatial
        key = (value.kind, value.name, value.size)
        return known.setdefault(key, Dim(value.size, name=value.name, kind=kind))
    if isinstance(value, dict):
        return {
            _with_returnn_dims(k, known): _with_returnn_dims(v, known) for k, v in value.items()
        }
    if isinstance(value, list | tuple | set):
        return type(value)(_with_returnn_dims(v, known) for v in value)
    return value


def _feed(network: Any, case: Case) -> dict[Any, Any]:
    feed = {}
    for key, (values, lengths) in case.batch().items():
        data = network.extern_data.data[key]
        feed[data.placeholder] = values
        rows = lengths if lengths and isinstance(lengths[0], list) else [lengths]
        for (_, size), row in zip(sorted(data.size_placeholder.items()), rows, strict=False):
            feed[size] = row
    return feed


def _outputs(network: Any, case: Case) -> dict[str, Any]:
    """Return batch-major outputs, their lengths, and the scores of searches."""
    found = {}
    for name in case.outputs:
        layer = network.get_layer(name)
        data = layer.output
        if data.have_batch_axis():
            data = data.copy_as_batch_major()
        if data.time_dim_axis is not None:
            data = data.copy_with_time_dim_axis(1 if data.have_batch_axis() else 0)
        if data.feature_dim_axis is not None:
            data = data.copy_with_feature_last()
        if data.have_batch_axis() and data.time_dim_axis is not None:
            found[f"output_lengths:{name}"] = data.get_sequence_lengths()
        found[f"output:{name}"] = data.placeholder
        if case.search and layer.get_search_choices().beam_scores is not None:
            found[f"scores:{name}"] = layer.get_search_choices().beam_scores
    return found


def _losses(network: Any, case: Case, variables: dict[str, Any]) -> dict[str, Any]:
    """Return each layer's loss, errors and norm; the sum, and its gradients."""
    network.maybe_construct_objective()
    found = {}
    for name, holder in network.losses_dict.items():
        parts = {
            "value": holder.get_loss_value(),
            "errors": holder.get_error_value(),
            "norm": holder.get_norm_factor(),
        }
        found |= {f"{key}:{name}": x for key, x in parts.items() if x is not None}
    if not case.trains or not network.losses_dict:
        return found
    found["loss"] = network.total_loss
    found["objective"] = network.total_objective
    gradients = tf.gradients(
        network.total_loss, list(variables.values()), unconnected_gradients="zero"
    )
    for name, gradient in zip(variables, gradients, strict=True):
        found[f"gradient:{name}"] = tf.convert_to_tensor(gradient)
    return found


def main() -> None:
    """Write one file for each case."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    wanted = sys.argv[2:] or list(CASES)
    for name in wanted:
        np.savez_compressed(folder / f"{name}.npz", **reference(CASES[name]))


if __name__ == "__main__":
    main()
