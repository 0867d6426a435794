"""Checks of option values against the type hints of a layer's fields."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

_NAMES = {
    int: "a whole number",
    float: "a number",
    str: "a string",
    bool: "True or False",
    type(None): "None",
    dict: "a dict",
    tuple: "a list",
}


@cache
def hints(cls: type) -> dict[str, Any]:
    """Return the type of every field."""
    return get_type_hints(cls)


def newest(newer: Mapping[str, tuple[int, Any]], version: int) -> dict[str, Any]:
    """Return the defaults that are other ones in a behaviour version, by option."""
    return {key: default for key, (since, default) in newer.items() if version >= since}


def fits(value: Any, hint: Any) -> bool:
    """Whether a value, such as JSON gives it, is of a type: a list may stand for a tuple."""
    origin = get_origin(hint)
    if hint is Any:
        return True
    if origin is Literal:
        return any(value == a and type(value) is type(a) for a in get_args(hint))
    if origin in (Union, types.UnionType):
        return any(fits(value, h) for h in get_args(hint))
    if origin is set:
        # {} is what a config has for no elements: Python takes it for a dict.
        allowed = isinstance(value, set | frozenset | list | tuple) or value == {}
        return allowed and all(fits(v, get_args(hint)[0]) for v in value)
    if origin is tuple:
        return isinstance(value, list | tuple) and all(fits(v, get_args(hint)[0]) for v in value)
    if origin is Callable:
        return callable(value)
    if origin is dict:
        return isinstance(value, Mapping)
    if hint in (int, float) and isinstance(value, bool):
        return False
    return isinstance(value, (int, float) if hint is float else hint)


def described(hint: Any) -> str:
    """Return what a type needs, in words."""
    origin = get_origin(hint)
    if origin is Literal:
        return " or ".join(repr(a) for a in get_args(hint))
    if origin in (Union, types.UnionType):
        return " or ".join(described(h) for h in get_args(hint))
    if origin is set:
        return f"a set, each {described(get_args(hint)[0])}"
    if origin is tuple:
        return f"a list, each {described(get_args(hint)[0])}"
    if origin is Callable:
        return "a function"
    return _NAMES.get(origin or hint) or f"a {getattr(hint, '__name__', hint)}"
