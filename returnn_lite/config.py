"""What a RETURNN config defines at top level besides the network, as eval strings ask for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from returnn_lite.errors import NetworkError, nearest

_REQUIRED = object()


@dataclass(frozen=True)
class Config:
    """Values by name; `task` is what the network is for."""

    values: Mapping[str, Any]
    task: str = "forward"

    def typed_value(self, name: str, default: Any = _REQUIRED) -> Any:
        """Return a value. Raises NetworkError for an unknown name without a default."""
        if name in self.values:
            return self.values[name]
        if name == "task":
            return self.task
        if default is _REQUIRED:
            raise NetworkError(f"config: no value {name!r}{nearest(name, self.values)}")
        return default

    @property
    def behavior_version(self) -> int:
        """The version of the defaults. Raises NetworkError for what is none."""
        found = self.typed_value("behavior_version", 0)
        if not isinstance(found, int) or isinstance(found, bool) or found < 0:
            raise NetworkError(f"config: found behavior_version {found!r}, needed 0 or more")
        return found

    @property
    def typed_dict(self) -> Mapping[str, Any]:
        """All values by name."""
        return self.values

    # As RETURNN's configs have them; what they convert is of its type here already.
    value = bool = int = float = typed_value


@dataclass(frozen=True)
class EvalSelf:
    """What `self` is in an eval string: `self.network.get_config()` and the like.

    train_flag: whether the network is trained. global_train_step: int32, the training step.
    sources: a `view.LayerView` of each layer in `from`.
    """

    config: Config
    train_flag: bool
    global_train_step: Any
    sources: Sequence[Any] = ()

    @property
    def network(self) -> EvalSelf:
        """The network."""
        return self

    def get_config(self) -> Config:
        """Return the config."""
        return self.config

    @property
    def _config(self) -> Config:
        """The config, as some eval strings ask for it."""
        return self.config

    def cond_on_train(self, fn_train: Callable[[], Any], fn_eval: Callable[[], Any]) -> Any:
        """Return what the first function gives in training, else the second."""
        return fn_train() if self.train_flag else fn_eval()
