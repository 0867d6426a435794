"""What a recurrent unit is: its state, its parameters, and a step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

from returnn_lite.data import Data
from returnn_lite.errors import NetworkError

Tensors = Mapping[str, Any]


class Param(NamedTuple):
    """A parameter of a cell: its shape, and "forward", "recurrent" or "bias", or its first value.

    The layer's options say how the first three are initialised.
    """

    shape: tuple[int, ...]
    init: Any


class Drop(NamedTuple):
    """What is dropped in training: a share of a parameter, of a state, or of a step's change.

    rate: the share. of: "param", the same in all frames and sequences of a batch; "sequence", the
    same in all frames; "step". seed: what is drawn differs with it, too.
    """

    rate: float
    of: Literal["param", "sequence", "step"]
    seed: int | None = None


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Base of all units; the fields of a subclass are what `unit_opts` may have.

    states: the parts of the hidden state, each [..., n]; output: which of them is the output.
    newer: options that have another default from a behaviour version on, with that version.
    shown: the parts that `initial_state` and get_last_hidden_state speak of, in their order.
    """

    states: ClassVar[tuple[str, ...]] = ("state",)
    output: ClassVar[str] = "state"
    newer: ClassVar[Mapping[str, tuple[int, Any]]] = {}

    @property
    def shown(self) -> tuple[str, ...]:
        """The parts of the state that other layers see."""
        return self.states

    def check(self) -> None:
        """Raise NetworkError for options that do not fit."""

    def check_source(self, x: Data) -> None:
        """Raise NetworkError for input that the cell cannot take."""

    def params(self, inputs: int, n: int) -> dict[str, Param]:
        """Return the parameters for a number of inputs and of units, by RETURNN's names."""
        raise NotImplementedError

    def drops(self, n: int) -> dict[str, Drop]:
        """Return what is dropped in training: parameters by name, other things by any name."""
        return {}

    def project(self, x: Data, p: Tensors) -> Any:
        """Return what of the input enters a step: float32 [..., m], with the dims of x."""
        raise NotImplementedError

    def input_weights(self, p: Tensors) -> tuple[Any, Any] | None:
        """Return W and b, where `project` is x W + b for float x; else None."""
        return None

    def recurrent(self, p: Tensors) -> Tensors:
        """Return what every step needs of the parameters, made once for a sequence."""
        return p

    def step(
        self, z: Any, state: Tensors, recurrent: Tensors, kept: Tensors
    ) -> tuple[Any, dict[str, Any]]:
        """Return output and state after one step, float32 [..., n] each.

        z: from `project`. kept: 1 for what is kept and 0 for what is dropped, by the names of
        `drops`; empty but in training.
        """
        raise NotImplementedError

    def single(
        self, x: Data, state: Tensors, p: Tensors, kept: Tensors
    ) -> tuple[Any, dict[str, Any]]:
        """Return output and state of a step that is made alone."""
        return self.step(self.project(x, p), state, self.recurrent(p), kept)

    def native(self, p: Tensors) -> tuple[Any, Any, Any] | None:
        """Return weights, bias and recurrent weights in the format of `native.lstm_layer`.

        None where the cell is no such LSTM. Gates: cell input, input, forget, output.
        """
        return None


def check_rate(name: str, rate: float) -> None:
    """Raise NetworkError for a share of what is dropped that is no share."""
    if not 0 <= rate < 1:
        raise NetworkError(f"found {name} {rate}, needed 0 or more, below 1")


def dropped(x: Any, kept: Tensors, name: str, rate: float) -> Any:
    """Return x without what is dropped, the rest scaled up."""
    return x * (kept[name] / (1.0 - rate)) if name in kept else x
