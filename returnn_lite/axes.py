"""What the axis words of the config dialect mean."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from returnn_lite.data import Data
from returnn_lite.dim import BATCH, Dim
from returnn_lite.errors import NetworkError

Word = "str | int | list[Any] | tuple[Any, ...] | Dim"


def resolve(word: Any, x: Data, where: str) -> list[Dim]:
    """Return the dims of x that an axis word, a position, a Dim, or a list or set of them means.

    Words, with the short forms in brackets: "batch" (B), "time" (T), "feature" (F), letters of
    these such as "bt", "spatial" (s), "dynamic" (dyn, d), "static", "except_batch", "except_time"
    and "spatial_except_time" (neither has the batch), "except_feature", "all" (*). With ":<n>", one
    of a group, from 0 or, below 0, from its end. "dim:<size>": the one of that size.
    "stag:<name>": the one spatial dim whose name contains this; where no name does, whose name in
    RETURNN does, such as "sliced-time:<layer>", or the name of a layer that made it of others.
    "stag-single:<n>:<name>": one of several such; "tag:<name>": of all dims.
    "<word>+<n>": the n-th dim behind that of a word other than these, since a name may end so.
    "<word>|<word>": the first of several words that means a dim. None and the empty word mean
    nothing, a word with "?" may. A position counts the dims with the batch in front. Raises
    NetworkError where x has no such axis.
    """
    if word is None or word == "":
        return []
    if isinstance(word, set | frozenset):
        found = [d for w in word for d in resolve(w, x, where)]
        return [d for d in x.dims if d in found]
    if isinstance(word, list | tuple):
        return list(dict.fromkeys(d for w in word for d in resolve(w, x, where)))
    optional = isinstance(word, str) and word.endswith("?")
    found = _find(word.rstrip("?") if optional else word, x)
    if not found and not optional:
        raise NetworkError(f"{where}: found no axis {word!r} in {x}; try one of {_words(x)}")
    if len(found) > 1 and isinstance(word, str) and word.partition(":")[0] in _UNIQUE:
        raise NetworkError(f"{where}: found {found} for axis {word!r} in {x}, needed one")
    return found


def is_time(word: Any) -> bool:
    """Whether an axis word means time; in a loop, that of the loop where the data have none."""
    return isinstance(word, str) and word.lower() in ("t", "time")


def _find(word: Any, x: Data) -> list[Dim]:
    if isinstance(word, Dim):
        found = [d for d in x.dims if word.means(d)]
        if not found and word is BATCH:
            return _GROUPS["batch"](x)
        best = max((d.match_priority for d in found), default=0)
        return [d for d in found if d.match_priority == best]
    if isinstance(word, int) and not isinstance(word, bool):
        return _entry(batch_major(x), str(word))
    if not isinstance(word, str):
        return []
    if "|" in word:
        return next((found for w in word.split("|") if (found := _find(w, x))), [])
    if behind := re.fullmatch(r"([^:]+(?::-?\d+)?)\+(\d+)", word):
        return _behind(_find(behind[1], x), int(behind[2]), x)
    name, _, rest = word.lower().partition(":")
    if name in _GROUPS:
        dims = _GROUPS[name](x)
        return _entry(dims, rest) if rest else dims
    if name == "stag-single":
        index, _, tag = rest.partition(":")
        return _entry(_tagged(x, tag, spatial=True), index)
    if name in ("stag", "tag"):
        return _tagged(x, rest, spatial=name == "stag")
    if name == "dim":
        return [d for d in x.dims if str(d.size) == rest]
    if name and set(name) <= set("btf") and not rest:
        return [d for letter in dict.fromkeys(name) for d in _GROUPS[letter](x)]
    return []


def _behind(found: list[Dim], count: int, x: Data) -> list[Dim]:
    """Return the dim that is so many places behind another one, the batch in front."""
    dims = batch_major(x)
    places = [dims.index(d) + count for d in found]
    return [dims[i] for i in places if i < len(dims)]


def batch_major(x: Data) -> list[Dim]:
    """Return the dims with the batch in front, as positions count them."""
    return sorted(x.dims, key=lambda d: d is not BATCH)


def _entry(dims: list[Dim], index: str) -> list[Dim]:
    if not re.fullmatch(r"-?\d+", index) or not -len(dims) <= int(index) < len(dims):
        return []
    return [dims[int(index)]]


def _words(x: Data) -> str:
    return ", ".join(sorted(w for w in _GROUPS if w not in _SHORT and _find(w, x)))


def _spatial(x: Data) -> list[Dim]:
    return [d for d in x.dims if d.kind != "batch" and d is not x.feature_dim]


def _tagged(x: Data, name: str, *, spatial: bool) -> list[Dim]:
    allowed = {*_spatial(x), *(d for d in x.dims if d.kind == "spatial")} if spatial else x.dims
    dims = [d for d in x.dims if name and d in allowed]
    found = [d for d in dims if name in d.name.lower()]
    return found or [d for d in dims if any(name in maker.lower() for maker in d.makers)]


_UNIQUE = ("dim", "stag", "tag")
_GROUPS: dict[str, Callable[[Data], list[Dim]]] = {
    "batch": lambda x: [d for d in x.dims if d.kind == "batch"],
    "time": lambda x: [x.time_dim] if x.time_dim is not None else [],
    "feature": lambda x: [x.feature_dim] if x.feature_dim is not None else [],
    "spatial": _spatial,
    "spatial_except_time": lambda x: [d for d in _spatial(x) if d is not x.time_dim],
    "dynamic": lambda x: [d for d in x.dims if d.dynamic],
    "static": lambda x: [d for d in x.dims if d.size is not None],
    "except_batch": lambda x: [d for d in x.dims if d.kind != "batch"],
    "except_time": lambda x: [d for d in x.dims if d.kind != "batch" and d is not x.time_dim],
    "except_feature": lambda x: [d for d in x.dims if d is not x.feature_dim],
    "all": lambda x: list(x.dims),
}
_SHORT = {
    "b": "batch",
    "t": "time",
    "f": "feature",
    "s": "spatial",
    "d": "dynamic",
    "dyn": "dynamic",
    "*": "all",
}
_GROUPS |= {short: _GROUPS[word] for short, word in _SHORT.items()}
