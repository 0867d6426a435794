"""A compact TensorFlow engine in which a network is a dict of layers; importing this is cheap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from returnn_lite.dim import BATCH as batch_dim
    from returnn_lite.dim import SINGLE_STEP as single_step_dim
    from returnn_lite.dim import Dim, FeatureDim, SpatialDim
    from returnn_lite.errors import NetworkError
    from returnn_lite.network import Network

__all__ = [
    "Dim",
    "FeatureDim",
    "Network",
    "NetworkError",
    "SpatialDim",
    "batch_dim",
    "single_step_dim",
]
_DIMS = {"batch_dim": "BATCH", "single_step_dim": "SINGLE_STEP"}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for."""
    if name == "Network":
        from returnn_lite.network import Network

        return Network
    if name in ("Dim", "FeatureDim", "SpatialDim", *_DIMS):
        from returnn_lite import dim

        return getattr(dim, _DIMS.get(name, name))
    if name == "NetworkError":
        from returnn_lite.errors import NetworkError

        return NetworkError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
