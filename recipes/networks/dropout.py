"""Dropout of single entries, for the input of a layer."""

from __future__ import annotations

from typing import Any


def dropped(rate: float) -> dict[str, Any]:
    """Return the options for dropout of each entry on its own, not of a feature in all frames."""
    return {"dropout": rate, "dropout_noise_shape": {"*": None}}
