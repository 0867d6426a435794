"""What the axis words of the config dialect mean."""

from __future__ import annotations

from typing import Any

from returnn_lite.data import Data
from returnn_lite.dim import Dim
from returnn_lite.errors import NetworkError

Word = "str | int | list[Any] | tuple[Any, ...] | Dim"


def resolve(word: Any, x: Data, where: str) -> list[Dim]:
    """Return the dims of x that an axis word, a position, or a list of them means.

    Words: "B", "T", "F" (or "batch", "time", "feature"), "spatial", "dynamic", "static" (the last
    three with ":<n>" for one of them), "except_batch", "except_time", "except_feature", "all",
    "dim:<size>", and "stag:<part of a spatial dim's name>". None and the empty word mean no axis.
    Raises NetworkError where x has no such axis, except for a word that ends with "?".
    """
    if word is None or word == "":
        return []
    if isinstance(word, list | tuple):
        return list(dict.fromkeys(d for w in word for d in resolve(w, x, where)))
    optional = isinstance(word, str) and word.endswith("?")
    found = _find(word[:-1] if optional else word, x)
    if not found and not optional:
        raise NetworkError(f"{where}: found no axis {word!r} in {x}; try one of {_words(x)}")
    return found


def _find(word: Any, x: Data) -> list[Dim]:
    if isinstance(word, Dim):
        return [word] if word in x.dims else []
    if isinstance(word, int) and not isinstance(word, bool):
        return [x.dims[word]] if -len(x.dims) <= word < len(x.dims) else []
    if not isinstance(word, str):
        return []
    name, _, index = word.lower().partition(":")
    if name == "dim" and index:
        return [d for d in x.dims if str(d.size) == index]
    if name == "stag" and index:
        return [d for d in x.dims if d.kind == "spatial" and index in d.name.lower()]
    dims = _GROUPS[name](x) if name in _GROUPS else []
    if not index:
        return dims
    try:
        return [dims[int(index)]]
    except (IndexError, ValueError):
        return []


def _words(x: Data) -> str:
    return ", ".join(sorted(w for w in _GROUPS if len(w) > 1 and _find(w, x)))


def _spatial(x: Data) -> list[Dim]:
    return [d for d in x.dims if d.kind != "batch" and d is not x.feature_dim]


_GROUPS: dict[str, Any] = {
    "b": lambda x: [d for d in x.dims if d.kind == "batch"],
    "t": lambda x: [x.time_dim] if x.time_dim is not None else [],
    "f": lambda x: [x.feature_dim] if x.feature_dim is not None else [],
    "s": _spatial,
    "spatial": _spatial,
    "dynamic": lambda x: [d for d in x.dims if d.dynamic],
    "d": lambda x: [d for d in x.dims if d.dynamic],
    "static": lambda x: [d for d in x.dims if d.size is not None],
    "except_batch": lambda x: [d for d in x.dims if d.kind != "batch"],
    "except_time": lambda x: [d for d in x.dims if d.kind != "batch" and d is not x.time_dim],
    "except_feature": lambda x: [d for d in x.dims if d is not x.feature_dim],
    "all": lambda x: list(x.dims),
}
_GROUPS |= {"batch": _GROUPS["b"], "time": _GROUPS["t"], "feature": _GROUPS["f"]}
