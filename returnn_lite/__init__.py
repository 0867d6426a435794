"""A compact TensorFlow engine in which a network is a dict of layers; importing this is cheap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from returnn_lite.errors import NetworkError
    from returnn_lite.network import Network

__all__ = ["Network", "NetworkError"]


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for."""
    if name == "Network":
        from returnn_lite.network import Network

        return Network
    if name == "NetworkError":
        from returnn_lite.errors import NetworkError

        return NetworkError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
