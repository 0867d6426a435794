"""Checkpoints of parameters, in TensorFlow's format with RETURNN's names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from returnn_lite.errors import NetworkError, nearest
from returnn_lite.lazy import tf

if TYPE_CHECKING:
    from returnn_lite.node import ParamSpec

Array = np.ndarray[Any, np.dtype[Any]]

# RETURNN has it in every checkpoint, and reads none without it. It is no parameter.
STEP_COUNTER = "global_step"


def save_checkpoint(path: str | Path, tensors: Mapping[str, Any]) -> None:
    """Write tensors under their names; `path` is the prefix of the files, as TensorFlow has it."""
    names = sorted(tensors)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    tf.raw_ops.SaveV2(
        prefix=str(path),
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=[tf.convert_to_tensor(tensors[n]) for n in names],
    )


def load_checkpoint(path: str | Path) -> dict[str, Array]:
    """Return the parameters of a checkpoint by name. Raises NetworkError where there is none."""
    if not Path(f"{path}.index").is_file():
        raise NetworkError(f"{path}: found no checkpoint, needed the file {path}.index")
    reader = tf.train.load_checkpoint(str(path))
    names = [n for n in sorted(reader.get_variable_to_shape_map()) if n != STEP_COUNTER]
    return {name: reader.get_tensor(name) for name in names}


def fitting(values: Mapping[str, Any], specs: Mapping[str, ParamSpec]) -> dict[str, Array]:
    """Return values as arrays. Raises NetworkError for an unknown name or another shape."""
    arrays = {}
    for name, value in values.items():
        if name not in specs:
            raise NetworkError(f"no parameter {name!r}{nearest(name, specs)}")
        found, spec = tuple(np.shape(value)), specs[name]
        if found != spec.shape:
            raise NetworkError(f"parameter {name}: found shape {found}, needed {spec.shape}")
        arrays[name] = np.asarray(value, dtype=spec.dtype)
    return arrays


def check_missing(path: str | Path, found: Mapping[str, Array], needed: Sequence[str]) -> None:
    """Raise NetworkError where a checkpoint lacks a parameter."""
    missing = [n for n in needed if n not in found]
    if missing:
        raise NetworkError(
            f"{path}: found no parameter {missing[0]!r}{_others(missing)} of the network"
            f"{nearest(missing[0], found)}"
        )


def check_more(path: str | Path, more: Sequence[str]) -> None:
    """Raise NetworkError where a checkpoint has parameters that no layer has."""
    if more:
        raise NetworkError(
            f"{path}: found the parameter {more[0]!r}{_others(more)}, needed those of the "
            "network; try load(..., subset=True)"
        )


def _others(names: Sequence[str]) -> str:
    return f" and {len(names) - 1} others" if len(names) > 1 else ""
