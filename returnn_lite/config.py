"""What a RETURNN config defines at top level besides the network, as eval strings ask for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from returnn_lite.errors import NetworkError, nearest


@dataclass(frozen=True)
class Config:
    """Values by name."""

    values: Mapping[str, Any]

    def typed_value(self, name: str) -> Any:
        """Return a value. Raises NetworkError for an unknown name."""
        if name not in self.values:
            raise NetworkError(f"config: no value {name!r}{nearest(name, self.values)}")
        return self.values[name]


@dataclass(frozen=True)
class EvalSelf:
    """What `self` is in an eval string: `self.network.get_config()`."""

    config: Config

    @property
    def network(self) -> EvalSelf:
        """The network."""
        return self

    def get_config(self) -> Config:
        """Return the config."""
        return self.config
