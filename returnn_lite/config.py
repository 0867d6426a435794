"""What a RETURNN config defines at top level besides the network, as eval strings ask for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
    """What `self` is in an eval string: `self.network.get_config()` and the like.

    train_flag: whether the network is trained. global_train_step: int32, the training step.
    """

    config: Config
    train_flag: bool
    global_train_step: Any

    @property
    def network(self) -> EvalSelf:
        """The network."""
        return self

    def get_config(self) -> Config:
        """Return the config."""
        return self.config

    def cond_on_train(self, fn_train: Callable[[], Any], fn_eval: Callable[[], Any]) -> Any:
        """Return what the first function gives in training, else the second."""
        return fn_train() if self.train_flag else fn_eval()
