"""LSTMs with layer normalisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from returnn_lite.cells.base import Cell, Drop, Param, Tensors, check_rate, dropped
from returnn_lite.data import Data
from returnn_lite.errors import NetworkError
from returnn_lite.layers.affine import affine
from returnn_lite.lazy import tf

_GATES = ("i_gate", "j_gate", "f_gate", "o_gate")


@dataclass(frozen=True, kw_only=True)
class LayerNormLstm(Cell):
    """LSTM with layer normalisation (Ba et al., 2016) in one of several places.

    Gates: input i, cell input j, forget f, output o. global_norm: of the products of input and of
    recurrency, each; global_norm_joined: of their sum; per_gate_norm: of each gate (Chen et al.,
    2018); at most one of them. cell_norm, hidden_norm: of the new cell, of the new output.
    cell_norm_in_output: whether the output is made of the normalised cell. with_concat: one matrix
    W_ff_re for input and recurrency. norm_gain, norm_shift, forget_bias: first values. dropout: of
    the cell input, dropout_h: of the output before, each the same in all frames (Semeniuta et al.,
    2016); another dropout_seed draws other ones. variance_epsilon: added to the variance.
    """

    states = ("c", "h")
    output = "h"
    norm_gain: float = 1.0
    norm_shift: float = 0.0
    forget_bias: float = 0.0
    dropout: float = 0.0
    dropout_h: float = 0.0
    dropout_seed: int | None = None
    with_concat: bool = False
    global_norm: bool = True
    global_norm_joined: bool = False
    per_gate_norm: bool = False
    cell_norm: bool = True
    cell_norm_in_output: bool = True
    hidden_norm: bool = False
    variance_epsilon: float = 1e-12

    def check(self) -> None:
        """Check which norms are used together."""
        names = ("global_norm", "global_norm_joined", "per_gate_norm")
        used = [n for n in names if getattr(self, n)]
        if len(used) > 1:
            raise NetworkError(f"found {' and '.join(used)}, needed one; global_norm is a default")
        if self.with_concat and self.global_norm:
            raise NetworkError("found with_concat and global_norm, needed one of them")
        check_rate("dropout", self.dropout)
        check_rate("dropout_h", self.dropout_h)

    def check_source(self, x: Data) -> None:
        """Check that there are features where they are joined with the output before."""
        if self.with_concat and x.sparse_dim is not None:
            raise NetworkError(f"found with_concat and source {x}, needed features")

    @property
    def _matrix(self) -> str:
        return "ff_re" if self.with_concat else "ff"

    @property
    def _with_bias(self) -> bool:
        return not (self.global_norm or self.global_norm_joined or self.per_gate_norm)

    def params(self, inputs: int, n: int) -> dict[str, Param]:
        """Return the matrices, their bias, and gain and shift of each norm."""
        if self.with_concat:
            found = {"W_ff_re": Param((inputs + n, 4 * n), "recurrent")}
        else:
            found = {
                "W_ff": Param((inputs, 4 * n), "forward"),
                "W_re": Param((n, 4 * n), "recurrent"),
            }
        if self._with_bias:
            first = (0.0, 0.0, max(self.forget_bias, 0.0), 0.0)
            found[f"bias_{self._matrix}"] = Param((4 * n,), first)
        for name, gates in self._norms().items():
            found[f"gamma_{name}"] = Param((gates * n,), self.norm_gain)
            if name == "state_below":
                continue
            # As in RETURNN, all four gates together begin with the bias of the forget gate.
            forget = name in ("f_gate", "input_below", "lstm_in")
            shift = self.norm_shift + (max(self.forget_bias, 0.0) if forget else 0.0)
            found[f"beta_{name}"] = Param((gates * n,), shift)
        return found

    def _norms(self) -> dict[str, int]:
        """Return the norms by name, and over how many gates each is."""
        found: dict[str, int] = {}
        if self.global_norm:
            found |= {"input_below": 4, "state_below": 4}
        if self.global_norm_joined:
            found["lstm_in"] = 4
        if self.per_gate_norm:
            found |= dict.fromkeys(_GATES, 1)
        if self.cell_norm:
            found["new_c"] = 1
        return found | ({"new_h": 1} if self.hidden_norm else {})

    def drops(self, n: int) -> dict[str, Drop]:
        """Return cell input and output."""
        rates = {"j": self.dropout, "h": self.dropout_h}
        return {k: Drop(rate, "sequence", self.dropout_seed) for k, rate in rates.items()}

    def _norm(self, x: Any, name: str, p: Tensors) -> Any:
        mean, variance = tf.nn.moments(x, axes=[-1], keepdims=True)
        y = (x - mean) * tf.math.rsqrt(variance + self.variance_epsilon) * p[f"gamma_{name}"]
        shift = p.get(f"beta_{name}")
        return y if shift is None else y + shift

    def project(self, x: Data, p: Tensors) -> Any:
        """Return x W, normalised or with bias; x itself where it is joined with the output."""
        if self.with_concat:
            return x.last(x.feature).tensor
        z = affine(x, p["W_ff"], p.get("bias_ff"))
        return self._norm(z, "input_below", p) if self.global_norm else z

    def step(
        self, z: Any, state: Tensors, recurrent: Tensors, kept: Tensors
    ) -> tuple[Any, dict[str, Any]]:
        """Return h' and both states."""
        p, c = recurrent, state["c"]
        h = dropped(state["h"], kept, "h", self.dropout_h)
        if self.with_concat:
            z = tf.matmul(tf.concat([z, h], axis=-1), p["W_ff_re"])
            z = z + p["bias_ff_re"] if self._with_bias else z
        else:
            below = tf.matmul(h, p["W_re"])
            z = z + (self._norm(below, "state_below", p) if self.global_norm else below)
        if self.global_norm_joined:
            z = self._norm(z, "lstm_in", p)
        gates = tf.split(z, 4, axis=-1)
        if self.per_gate_norm:
            gates = [self._norm(g, n, p) for g, n in zip(gates, _GATES, strict=True)]
        i, j, f, o = gates
        c = tf.sigmoid(f) * c + tf.sigmoid(i) * dropped(tf.tanh(j), kept, "j", self.dropout)
        seen = c
        if self.cell_norm:
            c = self._norm(c, "new_c", p)
            seen = c if self.cell_norm_in_output else seen
        h = tf.sigmoid(o) * tf.tanh(seen)
        if self.hidden_norm:
            h = self._norm(h, "new_h", p)
        return h, {"c": c, "h": h}
