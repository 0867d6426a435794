"""Noise on parameters in training: what a layer sees of them is not what they are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from returnn_lite import random
from returnn_lite.errors import NetworkError
from returnn_lite.lazy import tf

if TYPE_CHECKING:
    from returnn_lite.site import Site

_NEEDED: dict[str, tuple[Any, str]] = {
    "param_variational_noise": (int | float, "a number from 0 on"),
    "param_dropout": (int | float, "a number from 0 on, below 1"),
    "param_dropout_min_ndim": (int, "a whole number from 0 on"),
}


def noisy(site: Site, name: str, value: Any) -> Any:
    """Return a parameter as a layer sees it; outside of training, and no floats, as it is.

    param_variational_noise: the standard deviation of the noise that is added. param_dropout: the
    share of the entries that is 0, each with a draw of its own; scale what stays.
    param_dropout_min_ndim: parameters with fewer axes have no dropout. Those of the layer go before
    those of the config. In a loop the noise is that of all steps, as in RETURNN.
    """
    if not site.run.mode.train or not value.dtype.is_floating:
        return value
    path = f"{site.node.path}/{name}"
    if deviation := _option(site, "param_variational_noise"):
        draws = random.uniform(value.shape, site.run.rng(f"{path}/variational_noise"))
        normal = tf.math.ndtri(draws + 2.0**-25)  # in the middle of the intervals, never 0
        value = value + tf.cast(deviation * normal, value.dtype)
    share = _option(site, "param_dropout")
    if share and len(value.shape) >= _option(site, "param_dropout_min_ndim"):
        draws = random.uniform(value.shape, site.run.rng(f"{path}/dropout"))
        value = value * tf.cast(draws >= share, value.dtype) / (1.0 - share)
    return value


def check_noise(options: Mapping[str, Any], where: str) -> None:
    """Raise NetworkError for values of the options that cannot be."""
    for option, (kind, needed) in _NEEDED.items():
        found = options.get(option)
        end = 1.0 if option == "param_dropout" else math.inf
        if found is not None and not (isinstance(found, kind) and 0 <= found < end):
            raise NetworkError(f"{where}: found {option} {found!r}, needed {needed}")


def _option(site: Site, option: str) -> Any:
    own = getattr(site.node.common, option)
    return (site.run.config.typed_value(option, None) or 0) if own is None else own
