"""Computations that are traced once, and whose states go on from one run to the next."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

from returnn_lite.errors import NetworkError
from returnn_lite.lazy import tf

# (arguments, states before) -> (what it gives, states after)
Computation = Callable[[Sequence[Any], dict[str, Any]], tuple[Any, dict[str, Any]]]


class Carried:
    """The states at the end of the last run, by name, each [batch, ...]; none at the beginning."""

    def __init__(self) -> None:
        self.states: dict[str, Any] = {}
        self._functions: dict[Hashable, Any] = {}

    def reset(self) -> None:
        """Forget the states: the next run is the first one of other sequences."""
        self.states = {}

    def check(self, sequences: int) -> None:
        """Raise NetworkError where the states are those of another number of sequences."""
        for state in self.states.values():
            if (needed := state.shape[0]) != sequences:
                raise NetworkError(
                    f"batch: found {sequences} sequences, needed {needed} as in the batch before, "
                    "whose states go on (keep_over_epoch); try reset, or batches of equal size"
                )

    def run(
        self, key: Hashable, compute: Computation, signature: Sequence[Any], arguments: list[Any]
    ) -> Any:
        """Return what a computation gives, and take its states.

        key: of the computation. signature: tf.TensorSpec of the arguments. States that it does not
        set stay as they are.
        """
        # One graph for the first run, which has no states, and one for all others.
        key = (key, *sorted(self.states))
        if key not in self._functions:
            states = {
                n: tf.TensorSpec([None] * x.shape.rank, x.dtype) for n, x in self.states.items()
            }
            self._functions[key] = tf.function(
                compute, input_signature=[list(signature), states], autograph=False
            )
        found, after = self._functions[key](arguments, self.states)
        self.states = {**self.states, **after}
        return found
