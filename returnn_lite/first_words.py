"""The words that initial_state and initial_output may have in place of a number or a layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from returnn_lite.errors import NetworkError

FILLED = ("zeros", "ones")
# In RETURNN the second one is never reset by the engine; here both are reset by the same means.
KEPT = ("keep_over_epoch", "keep_over_epoch_no_init")
OF_STATE = (*FILLED, "var", *KEPT)
OF_OUTPUT = (*FILLED, "var", "apply(0)")


def check_word(value: Any, words: Sequence[str], option: str, where: str) -> None:
    """Raise NetworkError for a word of RETURNN for another batch, or from outside, not in words."""
    if isinstance(value, str) and value in (*KEPT, "placeholder") and value not in words:
        raise NetworkError(
            f"{where}: found {option} {value!r}, needed one that is the same in each batch; "
            "try longer sequences, or a Stream to go on with a state"
        )
