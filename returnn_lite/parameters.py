"""Parameters: their first values, and checkpoints in TensorFlow's format with RETURNN's names."""

from __future__ import annotations

import ast
import inspect
import math
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from returnn_lite.errors import NetworkError, nearest
from returnn_lite.lazy import tf
from returnn_lite.node import ParamSpec

Array = np.ndarray[Any, np.dtype[Any]]

# RETURNN has it in every checkpoint, and reads none without it. It is no parameter.
STEP_COUNTER = "global_step"


def initial_value(path: str, spec: ParamSpec, seed: int) -> Array:
    """Return a parameter's first value: float32 of its shape, from seed and name alone.

    Raises NetworkError for an unknown initialiser.
    """
    if isinstance(spec.init, int | float):
        return np.full(spec.shape, spec.init, dtype=np.float32)
    rng = np.random.default_rng([seed, zlib.crc32(path.encode("utf-8"))])
    name, opts = _parse(spec.init, path)
    return _INITIALISERS[name](rng, spec.shape, **opts).astype(np.float32)


def _parse(init: Any, path: str) -> tuple[str, dict[str, Any]]:
    """Return name and arguments of `name` or `name(key=value)`."""
    try:
        node = ast.parse(str(init), mode="eval").body
    except SyntaxError:
        raise NetworkError(
            f"{path}: found initialiser {init!r}, needed a number or a name"
        ) from None
    args: list[ast.expr] = []
    keywords: list[ast.keyword] = []
    if isinstance(node, ast.Call):
        args, keywords = node.args, node.keywords
        node = node.func
    name = node.id if isinstance(node, ast.Name) else str(init)
    name = name.removesuffix("_initializer")
    if name not in _INITIALISERS:
        raise NetworkError(f"{path}: unknown initialiser {name!r}{nearest(name, _INITIALISERS)}")
    return name, _arguments(name, args, keywords, f"{path}: initialiser {init!r}")


def _arguments(
    name: str, args: list[ast.expr], keywords: list[ast.keyword], where: str
) -> dict[str, Any]:
    """Return the arguments of an initialiser by name."""
    known = list(inspect.signature(_INITIALISERS[name]).parameters)[2:]
    if len(args) > len(known):
        raise NetworkError(f"{where}: found {len(args)} arguments, needed at most {len(known)}")
    found = dict(zip(known, args, strict=False)) | {str(k.arg): k.value for k in keywords}
    values = {}
    for key, node in found.items():
        if key not in known:
            raise NetworkError(f"{where}: unknown argument {key!r}{nearest(key, known)}")
        try:
            values[key] = float(ast.literal_eval(node))
        except (ValueError, TypeError):
            raise NetworkError(
                f"{where}: found {key} {ast.unparse(node)}, needed a number"
            ) from None
    return values


def check_initialiser(path: str, init: Any) -> None:
    """Raise NetworkError for an initialiser that there is not."""
    if not isinstance(init, int | float):
        _parse(init, path)


def _fans(shape: tuple[int, ...]) -> tuple[float, float]:
    if len(shape) < 2:
        return float(shape[0] if shape else 1), float(shape[0] if shape else 1)
    field = math.prod(shape[:-2])
    return float(field * shape[-2]), float(field * shape[-1])


def _glorot_uniform(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Glorot and Bengio (2010), equation 16."""
    limit = math.sqrt(6.0 / sum(_fans(shape)))
    return rng.uniform(-limit, limit, shape)


def _random_normal(
    rng: np.random.Generator, shape: tuple[int, ...], mean: float = 0.0, stddev: float = 0.05
) -> Array:
    return rng.normal(mean, stddev, shape)


def _random_uniform(
    rng: np.random.Generator, shape: tuple[int, ...], minval: float = -0.05, maxval: float = 0.05
) -> Array:
    return rng.uniform(minval, maxval, shape)


_INITIALISERS: dict[str, Callable[..., Array]] = {
    "glorot_uniform": _glorot_uniform,
    "random_normal": _random_normal,
    "random_uniform": _random_uniform,
    "zeros": lambda rng, shape: np.zeros(shape),
    "ones": lambda rng, shape: np.ones(shape),
}


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
    names = [name for name in reader.get_variable_to_shape_map() if name != STEP_COUNTER]
    return {name: reader.get_tensor(name) for name in names}
