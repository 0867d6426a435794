"""Recurrent units: one step of each, the same for a whole sequence and for a loop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from returnn_lite import options
from returnn_lite.cells.base import Cell, Drop, Param
from returnn_lite.cells.layer_norm import LayerNormLstm
from returnn_lite.cells.lstm import (
    BasicLstm,
    LowMemoryLstm,
    NativeLstm,
    NativeLstm1,
    StandardLstm,
    VanillaLstm,
    ZoneoutLstm,
)
from returnn_lite.cells.simple import BasicRnn, Cumsum, Gru, Highway
from returnn_lite.errors import NetworkError, nearest

# RETURNN has no LSTMP and, with TensorFlow 2, no LSTMBlock: these names mean others there, too.
UNITS: dict[str, type[Cell]] = {
    "lstm": NativeLstm,
    "lstmp": NativeLstm,
    "nativelstm": NativeLstm1,
    "nativelstm2": NativeLstm,
    "nativelstm2storestates": NativeLstm,
    "nativelstmlowmem": LowMemoryLstm,
    "lstmblock": NativeLstm,
    "lstmblockfused": NativeLstm,
    "cudnnlstm": NativeLstm,
    "standardlstm": StandardLstm,
    "basiclstm": BasicLstm,
    "vanillalstm": VanillaLstm,
    "zoneoutlstm": ZoneoutLstm,
    "layernormvariantslstm": LayerNormLstm,
    "basicrnn": BasicRnn,
    "gru": Gru,
    "cumsum": Cumsum,
    "rhn": Highway,
}
UNITS_OF_A_STEP = UNITS | dict.fromkeys(["lstmblock", "lstmblockfused", "cudnnlstm"], StandardLstm)


def find(
    unit: str,
    opts: Mapping[str, Any],
    units: Mapping[str, type[Cell]] = UNITS,
    version: int = 0,
) -> Cell:
    """Return the cell of a unit's name, in any case, and options, in a behaviour version.

    Raises NetworkError for an unknown one.
    """
    if unit.lower() not in units:
        raise NetworkError(f"unknown unit {unit!r}{nearest(unit, units)}")
    cls = units[unit.lower()]
    known = {f.name for f in fields(cls)}
    # mypy takes a dataclass's own hash for that of the class.
    hints = options.hints(cls)  # type: ignore[arg-type]
    for key, value in opts.items():
        if key not in known:
            raise NetworkError(f"unknown option {key!r} of unit {unit!r}{nearest(key, known)}")
        if not options.fits(value, hints[key]):
            needed = options.described(hints[key])
            raise NetworkError(f"option {key!r} of unit {unit!r}: found {value!r}, needed {needed}")
    cell = cls(**{**options.newest(cls.newer, version), **opts})
    cell.check()
    return cell


__all__ = ["UNITS", "UNITS_OF_A_STEP", "Cell", "Drop", "Param", "find"]
