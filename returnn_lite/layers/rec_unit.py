"""The rec layer with a predefined unit: an LSTM over a sequence, or for one step of a loop."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from returnn_lite import native, options, random
from returnn_lite.data import Data
from returnn_lite.dim import BATCH, Dim
from returnn_lite.errors import nearest
from returnn_lite.layers.base import Layer, register
from returnn_lite.layers.feedforward import affine
from returnn_lite.lazy import tf
from returnn_lite.node import Node
from returnn_lite.site import Site

_UNITS = ("lstm", "nativelstm", "nativelstm2")


@dataclass(frozen=True, kw_only=True)
class LstmOptions:
    """What `unit_opts` may have.

    forget_bias: added to the forget gate. rec_weight_dropout: share of the recurrent weights that
    are dropped in training, the same ones in all frames and sequences of a batch (Merity et al.,
    2018, section 2). low_memory: compute the gates again for the gradient, rather than keep them.
    """

    forget_bias: float = 0.0
    rec_weight_dropout: float = 0.0
    low_memory: bool = False


@register("rec")
@dataclass(frozen=True, kw_only=True)
class RecUnit(Layer):
    """An LSTM (Hochreiter and Schmidhuber, 1997; with forget gate), in NativeLstm2's parameters.

    in: float [..., time, in] or, in a step of a loop, [..., in]; out: float [..., n_out].
    direction: -1 runs from each sequence's own end. unit_opts: see `LstmOptions`.
    Parameters: rec/W [in, 4 n_out], rec/W_re [n_out, 4 n_out], rec/b [4 n_out]; gates: cell input,
    input, forget, output.
    """

    unit: str = "lstm"
    n_out: int
    direction: Literal[1, -1] = 1
    unit_opts: dict[str, Any] = field(default_factory=dict)
    forward_weights_init: Any = "glorot_uniform"
    recurrent_weights_init: Any = "glorot_uniform"

    def open(self, node: Node) -> None:
        """Check the options."""
        if self.unit.lower() not in _UNITS:
            raise Site(node).error(f"unknown unit {self.unit!r}{nearest(self.unit, _UNITS)}")
        known = {f.name: type(f.default) for f in fields(LstmOptions)}
        for key, value in self.unit_opts.items():
            if key not in known:
                raise Site(node).error(f"unknown unit option {key!r}{nearest(key, known)}")
            if not options.fits(value, known[key]):
                needed = options.described(known[key])
                raise Site(node).error(f"unit option {key!r}: found {value!r}, needed {needed}")
        if not 0 <= self.options.rec_weight_dropout < 1:
            found = self.options.rec_weight_dropout
            raise Site(node).error(f"found rec_weight_dropout {found}, needed 0 or more, below 1")

    @property
    def options(self) -> LstmOptions:
        """The unit's options."""
        return LstmOptions(**self.unit_opts)

    def steps(self, node: Node) -> bool:
        """Return whether it runs over the loop, rather than over a dim of its input."""
        return node.resolved.get("over") is None

    def stays(self, node: Node) -> bool:
        """Return whether it runs over a dim of its input."""
        return not self.steps(node)

    def infer(self, site: Site) -> Data:
        """Return the template [time, batch, n_out], or [batch, n_out] in a step."""
        x, n = site.source, self.n_out
        if x.classes is None or x.classes.size is None:
            raise site.error(f"found source {x}, needed a feature dim of fixed size")
        if x.time_dim is None and site.node.loop is None:
            raise site.error(f"found source {x}, needed a time dim")
        if x.time_dim is None and self.direction == -1:
            raise site.error("found direction -1 in a loop, needed 1: later steps are not known")
        if self.options.low_memory and x.sparse_dim is not None:
            raise site.error(f"found low_memory and source {x}, needed features; try an embedding")
        site.node.resolved["over"] = x.time_dim
        site.param("rec/W", (x.classes.size, 4 * n), self.forward_weights_init)
        site.param("rec/W_re", (n, 4 * n), self.recurrent_weights_init)
        site.param("rec/b", (4 * n,), 0.0)
        out = x.with_feature(site.feature(n))
        return out if x.time_dim is None else out.first(x.time_dim, BATCH)

    def initial_state(self, site: Site) -> dict[str, Data]:
        """Return zeros for cell state "c" and output "h", where it runs over the loop."""
        if not self.steps(site.node):
            return {}
        assert site.node.out is not None
        zeros = site.constant("zeros", site.node.out)
        return {"c": zeros, "h": zeros}

    def call(self, site: Site) -> Data:
        """Return the outputs of all steps, or of one."""
        x = site.source
        over = site.node.resolved.get("over")
        if over is None and site.axis is not None:
            over = site.axis
            x = site.over(x, over)
        out = x.with_feature(site.feature(self.n_out))
        bias = site.param("rec/b", (), None) + self._forget_bias()
        if over is None:
            z = affine(x, site.param("rec/W", (), None), bias)
            return self._step(site, replace(out, tensor=z))
        return self._sequence(site, x.first(over, BATCH), bias, out.first(over, BATCH), over)

    def _forget_bias(self) -> Any:
        n = self.n_out
        return [0.0] * (2 * n) + [self.options.forget_bias] * n + [0.0] * n

    def _recurrent(self, site: Site) -> Any:
        """Return the recurrent weights, in training without those that are dropped."""
        weights, rate = site.param("rec/W_re", (), None), self.options.rec_weight_dropout
        if not rate or not site.run.mode.train:
            return weights
        noise = random.uniform(tf.shape(weights), site.run.rng(f"{site.node.path}/rec_weights"))
        return weights * tf.cast(noise >= rate, weights.dtype) / (1.0 - rate)

    def _step(self, site: Site, z: Data) -> Data:
        h, c = (site.state(k).in_beam(z.beam) for k in ("h", "c"))
        y, c_new = native.lstm_step(z.tensor, self._recurrent(site), h.tensor, c.tensor)
        out = replace(z, tensor=y)
        site.set_state("h", out)
        site.set_state("c", replace(z, tensor=c_new))
        return out

    def _sequence(self, site: Site, x: Data, bias: Any, out: Data, over: Dim) -> Data:
        lengths = site.run.lengths_of(over, x.beam)
        weights, recurrent = site.param("rec/W", (), None), self._recurrent(site)
        how: dict[str, Any] = {"direction": self.direction, "alone": self._alone(site.node)}
        if x.sparse_dim is not None:
            y, _ = native.lstm(affine(x, weights, bias), recurrent, lengths, **how)
        else:
            how["low_memory"] = self.options.low_memory
            x = x.last(x.feature)
            y, _ = native.lstm_layer(x.tensor, weights, bias, recurrent, lengths, **how)
        return replace(out, tensor=y)

    def _alone(self, node: Node) -> bool:
        """Whether no other LSTM can run at the same time: one of the other direction, mostly."""
        return not any(
            isinstance(other.layer, RecUnit) and other is not node and other.sources == node.sources
            for other in node.scope.nodes.values()
        )
