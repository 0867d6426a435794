"""Units whose hidden state is their output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from returnn_lite.cells.base import Cell, Drop, Param, Tensors, check_rate, dropped
from returnn_lite.data import Data
from returnn_lite.errors import NetworkError
from returnn_lite.layers.activations import activation
from returnn_lite.layers.affine import affine
from returnn_lite.lazy import tf


@dataclass(frozen=True, kw_only=True)
class Cumsum(Cell):
    """The sum of the input so far, without parameters: n_out is the size of the input."""

    def params(self, inputs: int, n: int) -> dict[str, Param]:
        """Return none. Raises NetworkError where the output has another size than the input."""
        if inputs != n:
            raise NetworkError(f"found n_out {n} for the unit cumsum, needed {inputs}, its input's")
        return {}

    def check_source(self, x: Data) -> None:
        """Raise NetworkError for sparse input."""
        if x.sparse_dim is not None:
            raise NetworkError(f"found source {x}, needed a feature dim for the unit cumsum")

    def project(self, x: Data, p: Tensors) -> Any:
        """Return the input."""
        return x.last(x.feature).tensor

    def step(
        self, z: Any, state: Tensors, recurrent: Tensors, kept: Tensors
    ) -> tuple[Any, dict[str, Any]]:
        """Return the sum."""
        total = state["state"] + z
        return total, {"state": total}


@dataclass(frozen=True, kw_only=True)
class BasicRnn(Cell):
    """f([x, h] W + b) (Elman, 1990). activation: f, tanh by default."""

    activation: str = "tanh"

    def check(self) -> None:
        """Check the name of the activation."""
        activation(self.activation)

    def params(self, inputs: int, n: int) -> dict[str, Param]:
        """Return kernel and bias."""
        kernel = Param((inputs + n, n), "recurrent")
        return {"basic_rnn_cell/kernel": kernel, "basic_rnn_cell/bias": Param((n,), 0.0)}

    def project(self, x: Data, p: Tensors) -> Any:
        """Return x W + b."""
        bias = p["basic_rnn_cell/bias"]
        return affine(x, p["basic_rnn_cell/kernel"][: -bias.shape[0]], bias)

    def recurrent(self, p: Tensors) -> Tensors:
        """Return the part of the kernel for the output before."""
        return {"re": p["basic_rnn_cell/kernel"][-p["basic_rnn_cell/bias"].shape[0] :]}

    def step(
        self, z: Any, state: Tensors, recurrent: Tensors, kept: Tensors
    ) -> tuple[Any, dict[str, Any]]:
        """Return the output."""
        h = activation(self.activation)(z + tf.matmul(state["state"], recurrent["re"]))
        return h, {"state": h}


@dataclass(frozen=True, kw_only=True)
class Gru(Cell):
    """Gated recurrent unit (Cho et al., 2014), TensorFlow's GRUCell.

    r, u = s([x, h] W + b), h' = u h + (1 - u) f([x, r h] W' + b'), s the logistic function.
    activation: f, tanh by default.
    """

    activation: str = "tanh"

    def check(self) -> None:
        """Check the name of the activation."""
        activation(self.activation)

    def params(self, inputs: int, n: int) -> dict[str, Param]:
        """Return kernel and bias of gates and candidate."""
        return {
            "gru_cell/gates/kernel": Param((inputs + n, 2 * n), "recurrent"),
            "gru_cell/gates/bias": Param((2 * n,), 1.0),
            "gru_cell/candidate/kernel": Param((inputs + n, n), "recurrent"),
            "gru_cell/candidate/bias": Param((n,), 0.0),
        }

    def project(self, x: Data, p: Tensors) -> Any:
        """Return the input's part of gates and candidate."""
        n = p["gru_cell/candidate/bias"].shape[0]
        parts = [
            affine(x, p[f"gru_cell/{part}/kernel"][:-n], p[f"gru_cell/{part}/bias"])
            for part in ("gates", "candidate")
        ]
        return tf.concat(parts, axis=-1)

    def recurrent(self, p: Tensors) -> Tensors:
        """Return the kernels' parts for the output before."""
        n = p["gru_cell/candidate/bias"].shape[0]
        return {part: p[f"gru_cell/{part}/kernel"][-n:] for part in ("gates", "candidate")}

    def step(
        self, z: Any, state: Tensors, recurrent: Tensors, kept: Tensors
    ) -> tuple[Any, dict[str, Any]]:
        """Return the output."""
        h = state["state"]
        n = z.shape[-1] // 3
        r, u = tf.split(tf.sigmoid(z[..., : 2 * n] + tf.matmul(h, recurrent["gates"])), 2, axis=-1)
        new = activation(self.activation)(
            z[..., 2 * n :] + tf.matmul(r * h, recurrent["candidate"])
        )
        h = u * h + (1.0 - u) * new
        return h, {"state": h}


@dataclass(frozen=True, kw_only=True)
class Highway(Cell):
    """Recurrent highway network (Zilly et al., 2017) with coupled gates.

    depth: layers of a step. dropout: share of the state that is dropped where it enters a layer,
    the same in all of them and in all frames; another dropout_seed draws another one.
    transform_bias: first bias of the transform gate.
    """

    depth: int = 5
    dropout: float = 0.0
    dropout_seed: int | None = None
    transform_bias: float | None = None

    def check(self) -> None:
        """Check depth and dropout."""
        if self.depth < 1:
            raise NetworkError(f"found depth {self.depth}, needed at least 1")
        check_rate("dropout", self.dropout)

    def params(self, inputs: int, n: int) -> dict[str, Param]:
        """Return the matrix and bias of the input, and a matrix for each layer."""
        bias = Param((2 * n,), (0.0, self.transform_bias or 0.0))
        layers = range(self.depth)
        return {"W": Param((inputs, 2 * n), "forward"), "b": bias} | {
            f"rhn_cell/depth_{i}/W": Param((n, 2 * n), "recurrent") for i in layers
        }

    def drops(self, n: int) -> dict[str, Drop]:
        """Return the state."""
        return {"state": Drop(self.dropout, "sequence", self.dropout_seed)}

    def project(self, x: Data, p: Tensors) -> Any:
        """Return x W + b."""
        return affine(x, p["W"], p["b"])

    def step(
        self, z: Any, state: Tensors, recurrent: Tensors, kept: Tensors
    ) -> tuple[Any, dict[str, Any]]:
        """Return the output."""
        h = state["state"]
        for i in range(self.depth):
            below = dropped(h, kept, "state", self.dropout)
            y = tf.matmul(below, recurrent[f"rhn_cell/depth_{i}/W"])
            new, transform = tf.split(y + z if i == 0 else y, 2, axis=-1)
            h = h + tf.sigmoid(transform) * (tf.tanh(new) - h)
        return h, {"state": h}
