"""What a network dict says of its layers before they are built."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from returnn_lite import losses
from returnn_lite.errors import NetworkError
from returnn_lite.node import Mode


def extra_prefix(name: str) -> str | None:
    """Return which extra network a layer is of, by its name; None for the network itself."""
    found = re.match(r"(extra(\.[\w.()]+)?):", name)
    return found[1] if found else None


def mode_of(name: str, mode: Mode) -> Mode:
    """Return the mode of a layer, by its name, in a network of a mode."""
    prefix = extra_prefix(name)
    return mode if prefix is None else replace(mode, search=".search" in prefix)


def is_output(opts: Any, mode: Mode, *, in_loop: bool) -> bool:
    """Whether the dict of a layer says that it is computed in a mode even if no other needs it."""
    if not isinstance(opts, dict) or left_out(opts, mode):
        return False
    return bool(opts.get("is_output_layer")) or losses.wanted(opts, mode, in_loop=in_loop)


def left_out(opts: Mapping[str, Any], mode: Mode) -> bool:
    """Whether a layer is no output in a mode."""
    return bool(opts.get("only_on_search")) and not mode.search


def registered_layers(layers: dict[str, Any], mode: Mode) -> dict[str, str]:
    """Return the names of layers by the streams whose place they take."""
    found: dict[str, str] = {}
    for name, opts in layers.items():
        key = opts.get("register_as_extern_data") if isinstance(opts, dict) else None
        if key is None or left_out(opts, mode):
            continue
        if not isinstance(key, str):
            raise NetworkError(
                f"{name}: option 'register_as_extern_data': found {key!r}, needed a string"
            )
        if key in found:
            raise NetworkError(
                f"{name}: found register_as_extern_data {key!r}, which {found[key]} has, too"
            )
        found[key] = name
    return found


def default_outputs(layers: dict[str, Any], mode: Mode) -> list[str]:
    """Return the layers that a network is for: `output`, losses, and those with is_output_layer.

    Those of extra networks are among them. Raises NetworkError where there is none.
    """
    names = [
        name
        for name, opts in layers.items()
        if not (isinstance(opts, dict) and left_out(opts, mode))
        and (
            name == "output"
            or name.endswith(":output")
            or is_output(opts, mode_of(name, mode), in_loop=False)
        )
    ]
    if not names:
        raise NetworkError("found no layer 'output', no loss and no is_output_layer, needed one")
    return names
