"""Checkpoints of parameters, in TensorFlow's format with RETURNN's names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from returnn_lite.errors import NetworkError
from returnn_lite.lazy import tf

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
