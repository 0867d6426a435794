"""LSTMs (Hochreiter and Schmidhuber, 1997; with forget gate) that a kernel can compute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from returnn_lite import native
from returnn_lite.cells.base import Cell, Drop, Param, Tensors, check_rate
from returnn_lite.data import Data
from returnn_lite.errors import NetworkError
from returnn_lite.layers.activations import activation
from returnn_lite.layers.affine import affine
from returnn_lite.lazy import tf


@dataclass(frozen=True, kw_only=True)
class VanillaLstm(Cell):
    """LSTM in NativeLstm2's parameters, without options: W, W_re, b.

    Gates: cell input j, input i, forget f, output o; c' = s(f) c + s(i) tanh(j), h' = s(o) tanh(c')
    with the logistic function s.
    """

    states = ("c", "h")
    output = "h"

    def params(self, inputs: int, n: int) -> dict[str, Param]:
        """Return W, W_re and b, of all gates."""
        return {
            "W": Param((inputs, 4 * n), "forward"),
            "W_re": Param((n, 4 * n), "recurrent"),
            "b": Param((4 * n,), "bias"),
        }

    def bias(self, p: Tensors) -> Any:
        """Return the bias of all gates."""
        return p["b"]

    def project(self, x: Data, p: Tensors) -> Any:
        """Return x W + b."""
        return affine(x, p["W"], self.bias(p))

    def input_weights(self, p: Tensors) -> tuple[Any, Any] | None:
        """Return W and b."""
        return p["W"], self.bias(p)

    def step(
        self, z: Any, state: Tensors, recurrent: Tensors, kept: Tensors
    ) -> tuple[Any, dict[str, Any]]:
        """Return h' and both states."""
        h, c = native.lstm_step(z, recurrent["W_re"], state["h"], state["c"])
        return h, {"c": c, "h": h}

    def native(self, p: Tensors) -> tuple[Any, Any, Any] | None:
        """Return the parameters, which are in this format."""
        return p["W"], self.bias(p), p["W_re"]


@dataclass(frozen=True, kw_only=True)
class NativeLstm(VanillaLstm):
    """The LSTM of RETURNN's NativeLstm2.

    forget_bias: added to the forget gate. rec_weight_dropout: share of the recurrent weights that
    are dropped in training, the same ones in all frames and sequences of a batch (Merity et al.,
    2018, section 2). low_memory: compute the gates again for the gradient, rather than keep them.
    precision: an own addition, what the operands of the products are rounded to; "bfloat16" takes
    about half the time where processors have it, and elsewhere gives the same numbers. Sums,
    cells, parameters and their gradients are float32.
    """

    forget_bias: float = 0.0
    rec_weight_dropout: float = 0.0
    low_memory: bool = False
    precision: native.Precision = "float32"

    def check(self) -> None:
        """Check the share of dropped weights."""
        check_rate("rec_weight_dropout", self.rec_weight_dropout)

    def project(self, x: Data, p: Tensors) -> Any:
        """Return x W + b."""
        w = p["W"]
        if x.sparse_dim is None:  # else there is no product
            x = replace(x, tensor=native.rounded(x.tensor, self.precision))
            w = native.rounded(w, self.precision)
        return affine(x, w, self.bias(p))

    def input_weights(self, p: Tensors) -> tuple[Any, Any] | None:
        """Return W and b, if nothing is rounded."""
        return super().input_weights(p) if self.precision == "float32" else None

    def step(
        self, z: Any, state: Tensors, recurrent: Tensors, kept: Tensors
    ) -> tuple[Any, dict[str, Any]]:
        """Return h' and both states."""
        before = recurrent["W_re"], state["h"], state["c"]
        h, c = native.lstm_step(z, *before, precision=self.precision)
        return h, {"c": c, "h": h}

    def check_source(self, x: Data) -> None:
        """Check that there are features where the kernel needs them."""
        if self.low_memory and x.sparse_dim is not None:
            raise NetworkError(
                f"found low_memory and source {x}, needed features; try an embedding"
            )

    def drops(self, n: int) -> dict[str, Drop]:
        """Return the recurrent weights."""
        return {"W_re": Drop(self.rec_weight_dropout, "param")}

    def bias(self, p: Tensors) -> Any:
        """Return the bias of all gates."""
        if not self.forget_bias:
            return p["b"]
        n = p["b"].shape[0] // 4
        return p["b"] + ([0.0] * (2 * n) + [self.forget_bias] * n + [0.0] * n)


@dataclass(frozen=True, kw_only=True)
class NativeLstm1(NativeLstm):
    """The LSTM of RETURNN's NativeLstm, whose hidden state, for others, is the cell alone."""

    @property
    def shown(self) -> tuple[str, ...]:
        """The cell."""
        return ("c",)


@dataclass(frozen=True, kw_only=True)
class LowMemoryLstm(NativeLstm1):
    """The same with the matrices of input and recurrency in one, W [inputs + n, 4 n]."""

    low_memory: bool = True

    def params(self, inputs: int, n: int) -> dict[str, Param]:
        """Return W and b."""
        return {"W": Param((inputs + n, 4 * n), "recurrent"), "b": Param((4 * n,), 0.0)}

    def drops(self, n: int) -> dict[str, Drop]:
        """Return nothing."""
        return {}

    def check(self) -> None:
        """Check that no option of the other LSTM is given."""
        if self.rec_weight_dropout or not self.low_memory or self.precision != "float32":
            raise NetworkError("found options of NativeLstm2; try the unit 'nativelstm2'")

    def _split(self, p: Tensors) -> tuple[Any, Any]:
        n = p["b"].shape[0] // 4
        return p["W"][:-n], p["W"][-n:]

    def project(self, x: Data, p: Tensors) -> Any:
        """Return x W + b."""
        return affine(x, self._split(p)[0], self.bias(p))

    def input_weights(self, p: Tensors) -> tuple[Any, Any] | None:
        """Return the part of W for the input, and b."""
        return self._split(p)[0], self.bias(p)

    def recurrent(self, p: Tensors) -> Tensors:
        """Return the part for the output before."""
        return {"W_re": self._split(p)[1]}

    def native(self, p: Tensors) -> tuple[Any, Any, Any] | None:
        """Return both parts and the bias."""
        forward, recurrent = self._split(p)
        return forward, self.bias(p), recurrent


@dataclass(frozen=True, kw_only=True)
class BasicLstm(Cell):
    """TensorFlow's BasicLSTMCell: kernel [inputs + n, 4 n] and bias.

    Gates: input i, cell input j, forget f, output o. forget_bias: added to the forget gate.
    activation: of cell input and cell, tanh by default.
    """

    states = ("c", "h")
    output = "h"
    forget_bias: float = 1.0
    activation: str = "tanh"

    def check(self) -> None:
        """Check the name of the activation."""
        activation(self.activation)

    def scope(self) -> str:
        """Return the prefix of the parameters' names."""
        return "basic_lstm_cell"

    def params(self, inputs: int, n: int) -> dict[str, Param]:
        """Return kernel and bias."""
        kernel = Param((inputs + n, 4 * n), "recurrent")
        return {f"{self.scope()}/kernel": kernel, f"{self.scope()}/bias": Param((4 * n,), 0.0)}

    def _kernel(self, p: Tensors) -> tuple[Any, Any, int]:
        bias = p[f"{self.scope()}/bias"]
        return p[f"{self.scope()}/kernel"], bias, bias.shape[0] // 4

    def project(self, x: Data, p: Tensors) -> Any:
        """Return x W + b."""
        kernel, bias, n = self._kernel(p)
        return affine(x, kernel[:-n], bias)

    def input_weights(self, p: Tensors) -> tuple[Any, Any] | None:
        """Return the part of the kernel for the input, and the bias."""
        kernel, bias, n = self._kernel(p)
        return kernel[:-n], bias

    def recurrent(self, p: Tensors) -> Tensors:
        """Return the part of the kernel for the output before, with the other parameters."""
        kernel, _, n = self._kernel(p)
        return {**p, "re": kernel[-n:]}

    def step(
        self, z: Any, state: Tensors, recurrent: Tensors, kept: Tensors
    ) -> tuple[Any, dict[str, Any]]:
        """Return h' and both states."""
        return self._gates(z + tf.matmul(state["h"], recurrent["re"]), state, recurrent, kept)

    def single(
        self, x: Data, state: Tensors, p: Tensors, kept: Tensors
    ) -> tuple[Any, dict[str, Any]]:
        """Return the same with the whole kernel in one product: taking it apart is a copy."""
        if x.sparse_dim is not None:
            return super().single(x, state, p, kept)
        kernel, bias, _ = self._kernel(p)
        both = tf.concat([x.last(x.feature).tensor, state["h"]], axis=-1)
        return self._gates(tf.matmul(both, kernel) + bias, state, p, kept)

    def _gates(
        self, z: Any, state: Tensors, p: Tensors, kept: Tensors
    ) -> tuple[Any, dict[str, Any]]:
        i, j, f, o = tf.split(z, 4, axis=-1)
        c, act = state["c"], activation(self.activation)
        c = tf.sigmoid(f + self.forget_bias) * c + tf.sigmoid(i) * act(j)
        h = tf.sigmoid(o) * act(c)
        return h, {"c": c, "h": h}

    def native(self, p: Tensors) -> tuple[Any, Any, Any] | None:
        """Return the parameters with the gates in the kernel's order."""
        if self.activation != "tanh":
            return None
        kernel, bias, n = self._kernel(p)
        i, j, f, o = tf.split(kernel, 4, axis=-1)
        kernel = tf.concat([j, i, f, o], axis=-1)
        i, j, f, o = tf.split(bias, 4)
        bias = tf.concat([j, i, f + self.forget_bias, o], axis=-1)
        return kernel[:-n], bias, kernel[-n:]


@dataclass(frozen=True, kw_only=True)
class StandardLstm(BasicLstm):
    """TensorFlow's LSTMCell.

    use_peepholes: whether the gates see the cell (Gers and Schmidhuber, 2000), by the vectors
    w_i_diag, w_f_diag and, of the new cell, w_o_diag. cell_clip: the largest absolute cell.
    """

    use_peepholes: bool = False
    cell_clip: float | None = None

    def scope(self) -> str:
        """Return the prefix of the parameters' names."""
        return "lstm_cell"

    def params(self, inputs: int, n: int) -> dict[str, Param]:
        """Return kernel, bias, and the weights of peepholes."""
        peepholes = {f"lstm_cell/w_{gate}_diag": Param((n,), "recurrent") for gate in "ifo"}
        return super().params(inputs, n) | (peepholes if self.use_peepholes else {})

    def _gates(
        self, z: Any, state: Tensors, p: Tensors, kept: Tensors
    ) -> tuple[Any, dict[str, Any]]:
        if not self.use_peepholes and self.cell_clip is None:
            return super()._gates(z, state, p, kept)
        i, j, f, o = tf.split(z, 4, axis=-1)
        c, act = state["c"], activation(self.activation)
        if self.use_peepholes:
            i, f = i + p["lstm_cell/w_i_diag"] * c, f + p["lstm_cell/w_f_diag"] * c
        c = tf.sigmoid(f + self.forget_bias) * c + tf.sigmoid(i) * act(j)
        if self.cell_clip is not None:
            c = tf.clip_by_value(c, -self.cell_clip, self.cell_clip)
        h = tf.sigmoid(o + p["lstm_cell/w_o_diag"] * c if self.use_peepholes else o) * act(c)
        return h, {"c": c, "h": h}

    def native(self, p: Tensors) -> tuple[Any, Any, Any] | None:
        """Return the parameters for the kernel, which has neither peepholes nor clipping."""
        plain = not self.use_peepholes and self.cell_clip is None
        return super().native(p) if plain else None


@dataclass(frozen=True, kw_only=True)
class ZoneoutLstm(BasicLstm):
    """LSTM whose units keep their value at random in training (Krueger et al., 2017).

    zoneout_factor_cell, zoneout_factor_output: the share that is kept; in evaluation the mean of
    old and new. use_zoneout_output: whether the output is the state h, as in the paper, or, as in
    RETURNN before behaviour version 17, that of the LSTM.
    """

    newer: ClassVar[Mapping[str, tuple[int, Any]]] = {"use_zoneout_output": (17, True)}
    zoneout_factor_cell: float = 0.0
    zoneout_factor_output: float = 0.0
    use_zoneout_output: bool = False

    def scope(self) -> str:
        """Return the prefix of the parameters' names."""
        return "lstm_cell"

    def check(self) -> None:
        """Check the shares."""
        for name in ("zoneout_factor_cell", "zoneout_factor_output"):
            if not 0 <= getattr(self, name) <= 1:
                raise NetworkError(f"found {name} {getattr(self, name)}, needed 0 to 1")

    def drops(self, n: int) -> dict[str, Drop]:
        """Return the changes of both states."""
        factors = {"c": self.zoneout_factor_cell, "h": self.zoneout_factor_output}
        return {k: Drop(v, "step") for k, v in factors.items()}

    def _gates(
        self, z: Any, state: Tensors, p: Tensors, kept: Tensors
    ) -> tuple[Any, dict[str, Any]]:
        y, new = super()._gates(z, state, p, kept)
        for key, drop in self.drops(0).items():
            keep = kept[key] if key in kept else 1.0 - drop.rate
            new[key] = state[key] + keep * (new[key] - state[key])
        return (new["h"] if self.use_zoneout_output else y), new

    def native(self, p: Tensors) -> tuple[Any, Any, Any] | None:
        """Return None but without zoneout."""
        plain = not self.zoneout_factor_cell and not self.zoneout_factor_output
        return super().native(p) if plain else None
