"""First values of parameters, in the forms in which RETURNN writes initialisers.

A number; a name such as "glorot_uniform"; a call such as
"variance_scaling_initializer(mode='fan_in', scale=2.0)" or "RandomUniform(-0.1, 0.1)"; a dict such
as {"class": "VarianceScaling", "scale": 0.5}; an array, or a string that computes it with numpy,
such as "numpy.hanning(400).reshape((400, 1, 1, 1))".
"""

from __future__ import annotations

import ast
import inspect
import math
import operator
import re
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from returnn_lite.errors import NetworkError, nearest
from returnn_lite.node import Node, ParamSpec

Array = np.ndarray[Any, np.dtype[Any]]
Rng = np.random.Generator
Shape = tuple[int, ...]

# That of a normal distribution of deviation 1, cut off at two deviations.
_TRUNCATED_STD = 0.87962566103423978
_NUMERIC: dict[type, Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}


def initial_value(path: str, spec: ParamSpec, seed: int) -> Array:
    """Return a parameter's first value: of its shape and dtype, from seed and name alone.

    A tuple has a number for each of the equal parts of a vector. Raises NetworkError for an unknown
    initialiser, or one for another shape.
    """
    if isinstance(spec.init, int | float):
        return np.full(spec.shape, spec.init, dtype=spec.dtype)
    if isinstance(spec.init, tuple):
        if len(spec.shape) != 1 or not spec.init or spec.shape[0] % len(spec.init):
            raise NetworkError(
                f"{path}: found {len(spec.init)} values {spec.init} for shape {spec.shape}, "
                "needed a number for each of the equal parts of a vector"
            )
        return np.repeat(np.array(spec.init, spec.dtype), spec.shape[0] // len(spec.init))
    array = spec.init if isinstance(spec.init, np.ndarray) else _computed(spec.init, path)
    if array is not None:
        if array.shape != spec.shape:
            raise NetworkError(
                f"{path}: found an initial value of shape {array.shape}, needed {spec.shape}"
            )
        return array.astype(spec.dtype)
    name, opts = parse(spec.init, path)
    own = opts.pop("seed", None)
    key = seed if own is None else int(own)
    rng = np.random.default_rng([key, zlib.crc32(path.encode("utf-8"))])
    try:
        return _INITIALISERS[name](rng, spec.shape, **opts).astype(spec.dtype)
    except ValueError as error:
        raise NetworkError(f"{path}: initialiser {spec.init!r}: {error}") from None


def check_initialiser(path: str, init: Any) -> None:
    """Raise NetworkError for an initialiser that there is not; a layer may be one."""
    known = isinstance(init, int | float | tuple | np.ndarray | Node)
    if not known and _computed(init, path) is None:
        parse(init, path)


def _computed(init: Any, path: str) -> Array | None:
    """Return the array that a string computes with numpy; None for another initialiser."""
    if not isinstance(init, str) or not re.match(r"[(\s]*numpy\.", init):
        return None
    try:
        found = eval(init, {"numpy": np, "__builtins__": {}})  # noqa: S307 - networks are code
    except Exception as error:  # an expression may raise anything
        raise NetworkError(f"{path}: initialiser {init!r}: {error}") from None
    return np.asarray(found)


def parse(init: Any, path: str) -> tuple[str, dict[str, Any]]:
    """Return the name and the arguments of an initialiser."""
    if isinstance(init, Mapping):
        opts = dict(init)
        name = _known(str(opts.pop("class", None)), path)
        return name, _named(name, [], opts, f"{path}: initialiser {init!r}")
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
    name = _known(node.id if isinstance(node, ast.Name) else str(init), path)
    where = f"{path}: initialiser {init!r}"
    return name, _named(name, args, {str(k.arg): k.value for k in keywords}, where)


def _known(name: str, path: str) -> str:
    """Return the name as it stands in the table."""
    short = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower().removesuffix("_initializer")
    if short not in _INITIALISERS:
        raise NetworkError(f"{path}: unknown initialiser {short!r}{nearest(short, _INITIALISERS)}")
    return short


def _named(name: str, args: list[Any], keywords: dict[str, Any], where: str) -> dict[str, Any]:
    """Return the arguments of an initialiser by name."""
    defaults = list(inspect.signature(_INITIALISERS[name]).parameters.values())[2:]
    known = [p.name for p in defaults]
    if len(args) > len(known):
        raise NetworkError(f"{where}: found {len(args)} arguments, needed at most {len(known)}")
    kinds: dict[str, Any] = {p.name: p.default for p in defaults} | {"seed": 0, "dtype": "float32"}
    values = {}
    for key, node in [*zip(known, args, strict=False), *keywords.items()]:
        if key not in kinds:
            raise NetworkError(f"{where}: unknown argument {key!r}{nearest(key, known)}")
        value = _value(node, key, where)
        text = isinstance(kinds[key], str)
        if value is not None and isinstance(value, str) != text:
            needed = "a name" if text else "a number"
            raise NetworkError(f"{where}: found {key} {_shown(node)}, needed {needed}")
        values[key] = value
    if values.pop("dtype", "float32") != "float32":
        raise NetworkError(f"{where}: found a dtype, needed float32")
    return values


def _shown(node: Any) -> str:
    return ast.unparse(node) if isinstance(node, ast.AST) else repr(node)


def _value(node: Any, key: str, where: str) -> Any:
    """Return the number or string of an argument, which may be calculated: "1.0 / sqrt(512)"."""
    if not isinstance(node, ast.AST):
        return node
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.UnaryOp | ast.BinOp) and type(node.op) in _NUMERIC:
        sides = [node.operand] if isinstance(node, ast.UnaryOp) else [node.left, node.right]
        return _NUMERIC[type(node.op)](*(_value(n, key, where) for n in sides))
    if isinstance(node, ast.Call):
        name = ast.unparse(node.func).removeprefix("math.").removeprefix("numpy.")
        if name in ("sqrt", "log", "exp"):
            return getattr(math, name)(*(_value(n, key, where) for n in node.args))
    raise NetworkError(f"{where}: found {key} {_shown(node)}, needed a number")


def _fans(shape: Shape) -> tuple[float, float]:
    if len(shape) < 2:
        return float(shape[0] if shape else 1), float(shape[0] if shape else 1)
    field = math.prod(shape[:-2])
    return float(field * shape[-2]), float(field * shape[-1])


def _truncated_normal(rng: Rng, shape: Shape, mean: float = 0.0, stddev: float = 1.0) -> Array:
    """Normal, cut off at two deviations."""
    x = rng.standard_normal(shape)
    while np.any(far := np.abs(x) > 2.0):
        x[far] = rng.standard_normal(int(far.sum()))
    return mean + stddev * x


def _variance_scaling(
    rng: Rng,
    shape: Shape,
    scale: float = 1.0,
    mode: str = "fan_in",
    distribution: str = "truncated_normal",
) -> Array:
    """He et al. (2015); with fan_avg, Glorot and Bengio (2010), equation 16."""
    fan_in, fan_out = _fans(shape)
    fans = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2.0}
    if mode not in fans:
        raise ValueError(f"found mode {mode!r}, needed one of {', '.join(fans)}")
    variance = scale / max(1.0, fans[mode])
    if distribution == "uniform":
        limit = math.sqrt(3.0 * variance)
        return rng.uniform(-limit, limit, shape)
    if distribution in ("normal", "truncated_normal"):
        return _truncated_normal(rng, shape, 0.0, math.sqrt(variance) / _TRUNCATED_STD)
    if distribution == "untruncated_normal":
        return rng.normal(0.0, math.sqrt(variance), shape)
    raise ValueError(f"found distribution {distribution!r}, needed uniform or truncated_normal")


def _xavier(rng: Rng, shape: Shape, uniform: bool = True) -> Array:
    return _variance_scaling(rng, shape, 1.0, "fan_avg", "uniform" if uniform else "normal")


def _orthogonal(rng: Rng, shape: Shape, gain: float = 1.0) -> Array:
    """Saxe et al. (2014): orthonormal rows or columns, whichever there are fewer of."""
    if len(shape) < 2:
        raise ValueError(f"found shape {shape}, needed two axes or more")
    rows, columns = math.prod(shape[:-1]), shape[-1]
    q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
    q *= np.sign(np.diag(r))
    return gain * (q.T if rows < columns else q).reshape(shape)


def _identity(rng: Rng, shape: Shape, gain: float = 1.0) -> Array:
    if len(shape) != 2:
        raise ValueError(f"found shape {shape}, needed two axes")
    return gain * np.eye(*shape)


def _random_uniform(
    rng: Rng, shape: Shape, minval: float = 0.0, maxval: float | None = None
) -> Array:
    return rng.uniform(minval, 1.0 if maxval is None else maxval, shape)


def _random_normal(rng: Rng, shape: Shape, mean: float = 0.0, stddev: float = 1.0) -> Array:
    return rng.normal(mean, stddev, shape)


def _constant(rng: Rng, shape: Shape, value: float = 0.0) -> Array:
    return np.full(shape, value)


def _unit_scaling(rng: Rng, shape: Shape, factor: float = 1.0) -> Array:
    limit = factor * math.sqrt(3.0 / max(1.0, math.prod(shape[:-1])))
    return rng.uniform(-limit, limit, shape)


def _gammatone(
    rng: Rng,
    shape: Shape,
    num_channels: int = 0,
    length: float = 0.0,
    sample_rate: int = 16000,
    freq_max: float = 7500.0,
    freq_min: float = 100.0,
    normalization: bool = True,
) -> Array:
    """Impulse responses of gammatone filters, as Schlueter et al. (2007) have them.

    length: in seconds. freq_min, freq_max: of the first and the last filter, in Hz, between which
    they are equally far from one another on the cochlea (Greenwood, 1990); bandwidths are those of
    Glasberg and Moore (1990). normalization: whether each has a greatest gain of 1.
    """
    samples = math.floor(sample_rate * length)
    if not shape or (shape[0], math.prod(shape[1:])) != (samples, num_channels):
        raise ValueError(f"found shape {shape}, needed ({samples}, ..., {num_channels})")
    first, last = (math.log10(f / 165.4 + 0.88) / 2.1 for f in (freq_min, freq_max))
    place = np.linspace(first, last, num_channels)
    frequency = 165.4 * (10.0 ** (2.1 * place) - 0.88)
    bandwidth = 24.7 + frequency / 9.264491981582191
    t = np.linspace(1.0 / sample_rate, length, samples)[:, None]
    decay = t**3 * np.exp(-2.0 * np.pi * bandwidth * t)
    filters: Array = decay * np.cos(2.0 * np.pi * frequency * t)
    if normalization:
        angles = np.outer(np.arange(512) * np.pi / 512, np.arange(samples))
        filters /= np.abs(np.exp(-1j * angles) @ filters).max(axis=0)
    return filters.reshape(shape)


_INITIALISERS: dict[str, Callable[..., Array]] = {
    "constant": _constant,
    "gammatone_filterbank": _gammatone,
    "glorot_normal": lambda rng, shape: _xavier(rng, shape, False),
    "glorot_uniform": lambda rng, shape: _xavier(rng, shape),
    "identity": _identity,
    "ones": lambda rng, shape: np.ones(shape),
    "orthogonal": _orthogonal,
    "random_normal": _random_normal,
    "random_uniform": _random_uniform,
    "truncated_normal": _truncated_normal,
    "uniform_unit_scaling": _unit_scaling,
    "variance_scaling": _variance_scaling,
    "xavier": _xavier,
    "zeros": lambda rng, shape: np.zeros(shape),
}
