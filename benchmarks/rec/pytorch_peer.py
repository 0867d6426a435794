"""PyTorch's contestant: each model written by hand, search included, as a careful user would.

Encoder outputs are never repeated for hypotheses, and states are gathered once a step.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.rec import networks
from benchmarks.rec.tasks import INPUTS, RATE, Task, parameters

Tensors = dict[str, Any]


def prepare(task: Task, variant: str, threads: int) -> Any:
    """Return a function that does the task once and gives what it found."""
    torch.set_num_threads(threads)
    net = task.nets[variant]()
    data = {k: (torch.from_numpy(x), torch.from_numpy(n)) for k, (x, n) in task.data().items()}
    make = {
        "attention": _attention,
        "transducer": _transducer,
        "encoder_decoder": _encoder_decoder,
        "transformer": _transformer,
    }
    return make[task.pytorch](task, net, data)


class Parameters(dict[str, Any]):
    """Parameters by RETURNN's names, as tensors."""

    def __init__(self, shapes: dict[str, tuple[int, ...]]):
        super().__init__({k: torch.from_numpy(v) for k, v in parameters(shapes).items()})

    def train(self) -> torch.optim.Optimizer:
        """Return an optimiser of all."""
        for value in self.values():
            value.requires_grad_()
        return torch.optim.SGD(list(self.values()), RATE)

    def linear(self, name: str, x: Any) -> Any:
        """Return x W + b."""
        y = x @ self[f"{name}/W"]
        return y + self[f"{name}/b"] if f"{name}/b" in self else y


def _linear_shapes(name: str, inputs: int, outputs: int, *, bias: bool) -> dict[str, Any]:
    return {f"{name}/W": (inputs, outputs)} | ({f"{name}/b": (outputs,)} if bias else {})


def _lstm_shapes(name: str, inputs: int, n: int) -> dict[str, Any]:
    return {
        f"{name}/rec/W": (inputs, 4 * n),
        f"{name}/rec/W_re": (n, 4 * n),
        f"{name}/rec/b": (4 * n,),
    }


def _reordered(w: Any) -> Any:
    """Return weights [..., 4 n] with the gates as PyTorch has them: i, f, cell input, o."""
    j, i, f, o = w.chunk(4, dim=-1)
    return torch.cat([i, f, j, o], dim=-1)


def _module(kind: Any, inputs: int, n: int, **directions: Parameters) -> Any:
    """Return an LSTM or LSTMCell with its parameters: fw=(parameters, layer), and perhaps bw."""
    module = kind
    for suffix, (p, name) in directions.items():
        suffix = "" if suffix == "fw" else "_reverse"
        layer = "_l0" if isinstance(module, nn.LSTM) else ""
        weights = {
            "weight_ih": _reordered(p[f"{name}/rec/W"]).T,
            "weight_hh": _reordered(p[f"{name}/rec/W_re"]).T,
            "bias_ih": _reordered(p[f"{name}/rec/b"]),
            "bias_hh": torch.zeros(4 * n),
        }
        for key, value in weights.items():
            getattr(module, f"{key}{layer}{suffix}").data.copy_(value)
    return module


def _cell(p: Parameters, name: str) -> nn.LSTMCell:
    inputs, gates = p[f"{name}/rec/W"].shape
    n = gates // 4
    return _module(nn.LSTMCell(inputs, n), inputs, n, fw=(p, name))


class Encoder:
    """Two bidirectional LSTMs with max-pooling in between."""

    def __init__(self, net: networks.Net):
        self.layers: list[Any] = []
        if "lstm0_fw" not in net:
            return
        n = net["lstm0_fw"]["n_out"]
        for i, inputs in enumerate([INPUTS, 2 * n]):
            names = [f"lstm{i}_fw", f"lstm{i}_bw"]
            p = Parameters({k: s for x in names for k, s in _lstm_shapes(x, inputs, n).items()})
            lstm = nn.LSTM(inputs, n, bidirectional=True)
            self.layers.append(_module(lstm, inputs, n, fw=(p, names[0]), bw=(p, names[1])))

    def __call__(self, x: Any, lengths: Any) -> tuple[Any, Any]:
        """Return float [batch, frames, 2 n] and lengths; without LSTMs, the input is that."""
        if not self.layers:
            return x, lengths
        y = self._lstm(0, x.transpose(0, 1), lengths)
        y = F.max_pool1d(y.permute(1, 2, 0), networks.POOL).permute(2, 0, 1)
        lengths = lengths // networks.POOL
        return self._lstm(1, y, lengths).transpose(0, 1).contiguous(), lengths

    def _lstm(self, i: int, x: Any, lengths: Any) -> Any:
        if bool((lengths == x.shape[0]).all()):
            return self.layers[i](x)[0]
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
        y, _ = nn.utils.rnn.pad_packed_sequence(self.layers[i](packed)[0], total_length=x.shape[0])
        return y


class Beam:
    """Hypotheses: scores [batch, beam], and what is needed to trace labels back."""

    def __init__(self, batch: int, size: int):
        self.size = size
        self.scores = torch.full((batch, size), float("-inf"))
        self.scores[:, 0] = 0.0
        self.rows = torch.arange(batch)[:, None] * size
        self.labels: list[Any] = []
        self.sources: list[Any] = []

    def extend(self, log_probs: Any) -> tuple[Any, Any]:
        """Take the best of all extensions; return int [batch * beam] labels, and rows of before."""
        batch, count = self.scores.shape[0], log_probs.shape[-1]
        total = self.scores[..., None] + log_probs.view(batch, self.size, count)
        self.scores, index = total.view(batch, -1).topk(self.size)
        source = torch.div(index, count, rounding_mode="floor")
        self.labels.append(index - source * count)
        self.sources.append(source)
        return self.labels[-1].view(-1), (self.rows + source).view(-1)

    def best(self, lengths: Any) -> dict[str, Any]:
        """Return the labels of the best hypothesis of each sequence, and all scores."""
        entry = torch.zeros(self.scores.shape[0], 1, dtype=torch.int64)
        found = []
        for labels, sources in zip(reversed(self.labels), reversed(self.sources), strict=True):
            found.append(labels.gather(1, entry))
            entry = sources.gather(1, entry)
        rows = torch.cat(found[::-1], dim=1).tolist()
        labels = [row[:n] for row, n in zip(rows, lengths.tolist(), strict=True)]
        return {"labels": labels, "scores": self.scores.tolist()}


def _values(task: Task, net: networks.Net) -> int:
    return 2 * net["lstm0_fw"]["n_out"] if "lstm0_fw" in net else task.inputs


def _attention(task: Task, net: networks.Net, data: Tensors) -> Any:
    unit = net["output"]["unit"]
    steps = net["output"]["max_seq_len"]
    sizes = {k: unit[k]["n_out"] for k in ("embed", "s", "s_transformed", "readout_in")}
    values, keys, s, embed = (
        _values(task, net),
        sizes["s_transformed"],
        *(sizes[k] for k in ("s", "embed")),
    )
    p = Parameters(
        {
            **_linear_shapes("embed", task.classes, embed, bias=False),
            **_linear_shapes("enc_ctx", values, keys, bias=True),
            **_linear_shapes("s_transformed", s, keys, bias=False),
            **_linear_shapes("energy", keys, 1, bias=False),
            **_linear_shapes("readout_in", s + embed + values, sizes["readout_in"], bias=True),
            **_linear_shapes("output_prob", sizes["readout_in"] // 2, task.classes, bias=True),
            **_lstm_shapes("s", embed + values, s),
        }
    )
    encoder, cell = Encoder(net), _cell(p, "s")

    @torch.inference_mode()
    def run() -> dict[str, Any]:
        enc, lengths = encoder(*data["data"])
        batch, time = enc.shape[:2]
        beam, rows = Beam(batch, task.beam), batch * task.beam
        enc_ctx = p.linear("enc_ctx", enc)[:, None]
        outside = (torch.arange(time) >= lengths[:, None])[:, None]
        state = torch.zeros(rows, s), torch.zeros(rows, s)
        att, embedded = torch.zeros(rows, values), torch.zeros(rows, embed)
        for _ in range(steps):
            h, c = cell(torch.cat([embedded, att], -1), state)
            query = p.linear("s_transformed", h).view(batch, task.beam, 1, keys)
            energy = p.linear("energy", torch.tanh(enc_ctx + query)).squeeze(-1)
            weights = energy.masked_fill(outside, float("-inf")).softmax(-1)
            att = torch.bmm(weights, enc).view(rows, values)
            readout = p.linear("readout_in", torch.cat([h, embedded, att], -1))
            readout = readout.view(rows, -1, 2).amax(-1)
            log_probs = p.linear("output_prob", readout).log_softmax(-1)
            labels, source = beam.extend(log_probs)
            state, att = (h[source], c[source]), att[source]
            embedded = p["embed/W"][labels]
        return beam.best(torch.full((batch,), steps))

    return run


def _transducer(task: Task, net: networks.Net, data: Tensors) -> Any:
    unit = net["output"]["unit"]
    labels = task.classes - 1
    slow_unit = unit["slow"]["unit"]["subnetwork"]
    embed, slow = slow_unit["input_embed"]["n_out"], slow_unit["lstm0"]["n_out"]
    fast, readout = unit["fast"]["n_out"], unit["readout_in"]["n_out"]
    values = _values(task, net)
    p = Parameters(
        {
            **_linear_shapes("slow/input_embed", labels, embed, bias=False),
            **_lstm_shapes("slow/lstm0", embed, slow),
            **_lstm_shapes("fast", slow + values, fast),
            **_linear_shapes("readout_in", fast + slow, readout, bias=True),
            **_linear_shapes("emit_prob0", fast, 1, bias=True),
            **_linear_shapes("label_log_prob", readout // 2, labels, bias=True),
        }
    )
    encoder, slow_cell, fast_cell = Encoder(net), _cell(p, "slow/lstm0"), _cell(p, "fast")
    stay = torch.full((1, labels + 1), float("-inf"))
    stay[0, 0] = 0.0

    @torch.inference_mode()
    def run() -> dict[str, Any]:
        enc, lengths = encoder(*data["data"])
        batch, time = enc.shape[:2]
        beam, rows = Beam(batch, task.beam), batch * task.beam
        slow_state = torch.zeros(rows, slow), torch.zeros(rows, slow)
        fast_state = torch.zeros(rows, fast), torch.zeros(rows, fast)
        last, emitted = torch.zeros(rows, dtype=torch.int64), torch.ones(rows, dtype=torch.bool)
        of = torch.arange(batch).repeat_interleave(task.beam)
        for t in range(time):
            moved = emitted.nonzero()[:, 0]  # the others keep their state
            x = p["slow/input_embed/W"][last[moved]]
            new = slow_cell(x, tuple(v[moved] for v in slow_state))
            slow_state = tuple(
                v.index_copy(0, moved, n) for v, n in zip(slow_state, new, strict=True)
            )
            h = slow_state[0]
            fast_state = fast_cell(torch.cat([h, enc[of, t]], -1), fast_state)
            read = p.linear("readout_in", torch.cat([fast_state[0], h], -1))
            read = read.view(rows, -1, 2).amax(-1)
            emit = p.linear("emit_prob0", fast_state[0])
            scores = p.linear("label_log_prob", read).log_softmax(-1) + F.logsigmoid(emit)
            scores = torch.cat([scores, F.logsigmoid(-emit)], -1)
            over = (t >= lengths)[of][:, None]
            last, source = beam.extend(torch.where(over, stay, scores))
            emitted = last != labels
            slow_state = tuple(v[source] for v in slow_state)
            fast_state = tuple(v[source] for v in fast_state)
        return beam.best(lengths)

    return run


def _mean_loss(logits: Any, labels: Any, lengths: Any) -> Any:
    """Return the cross-entropy per label."""
    inside = torch.arange(labels.shape[1]) < lengths[:, None]
    return F.cross_entropy(logits[inside], labels[inside].long())


def _shifted(labels: Any) -> Any:
    return F.pad(labels, (1, 0))[:, :-1]


def _encoder_decoder(task: Task, net: networks.Net, data: Tensors) -> Any:
    n = net["input"]["n_out"]
    p = Parameters(
        {
            **_lstm_shapes("input", INPUTS, n),
            **_linear_shapes("embed", task.classes, 10, bias=True),
            **_lstm_shapes("s", 10, n),
            **_linear_shapes("p", n, task.classes, bias=True),
        }
    )
    encoder = _module(nn.LSTM(INPUTS, n, batch_first=True), INPUTS, n, fw=(p, "input"))
    decoder = _module(nn.LSTM(10, n, batch_first=True), 10, n, fw=(p, "s"))
    trained = [p[k] for k in ("embed/W", "embed/b", "p/W", "p/b")]
    for value in trained:
        value.requires_grad_()
    optimiser = torch.optim.SGD([*trained, *encoder.parameters(), *decoder.parameters()], RATE)
    x, lengths = data["data"]
    labels, counts = data["classes"]

    def run() -> dict[str, Any]:
        optimiser.zero_grad()
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, True, enforce_sorted=False)
        state = encoder(packed)[1]
        embedded = p["embed/W"][labels[:, :-1]] + p["embed/b"]
        before = F.pad(embedded, (0, 0, 1, 0))
        loss = _mean_loss(p.linear("p", decoder(before, state)[0]), labels, counts)
        loss.backward()
        optimiser.step()
        return {"loss": loss.item()}

    return run


def _transformer(task: Task, net: networks.Net, data: Tensors) -> Any:
    unit = net["output"]["unit"]
    dim = unit["decoder0"]["n_out"]
    heads = unit["dec0_att"]["num_heads"]
    blocks = sum(k.endswith("_att") and k.startswith("dec") for k in unit)
    shapes = {**_linear_shapes("encoder0", INPUTS, dim, bias=False)}
    shapes |= _linear_shapes("decoder0", task.classes, dim, bias=False)
    shapes |= _linear_shapes("prob", dim, task.classes, bias=True)
    for i in range(blocks):
        for side, after in (("enc", f"encoder{i + 1}"), ("dec", f"decoder{i + 1}")):
            for norm in (f"{side}{i}_norm", f"{after}_norm"):
                shapes |= {f"{norm}/scale": (dim,), f"{norm}/bias": (dim,)}
            shapes[f"{side}{i}_att/QKV"] = (dim, 3 * dim)
            shapes |= _linear_shapes(f"{after}_ff1", dim, 4 * dim, bias=False)
            shapes |= _linear_shapes(f"{after}_ff2", 4 * dim, dim, bias=False)
        shapes |= _linear_shapes(f"query{i}_in", dim, dim, bias=False)
        shapes |= _linear_shapes(f"key{i}_in", dim, dim, bias=False)
    p = Parameters(shapes)
    optimiser = p.train()
    x, lengths = data["data"]
    labels, counts = data["classes"]

    def norm(name: str, x: Any) -> Any:
        return F.layer_norm(x, [dim], p[f"{name}/scale"], p[f"{name}/bias"], 1e-6)

    def split(x: Any) -> Any:
        return x.unflatten(-1, (heads, -1)).transpose(1, 2)

    def self_attention(name: str, source: Any, mask: Any) -> Any:
        qkv = norm(f"{name}_norm", source) @ p[f"{name}_att/QKV"]
        q, k, v = split(qkv).chunk(3, dim=-1)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return source + y.transpose(1, 2).flatten(2)

    def feed_forward(name: str, source: Any) -> Any:
        y = F.relu(p.linear(f"{name}_ff1", norm(f"{name}_norm", source)))
        return source + p.linear(f"{name}_ff2", y)

    def run() -> dict[str, Any]:
        optimiser.zero_grad()
        inside = (torch.arange(x.shape[1]) < lengths[:, None])[:, None, None]
        y = p.linear("encoder0", x)
        for i in range(blocks):
            y = feed_forward(f"encoder{i + 1}", self_attention(f"enc{i}", y, inside))
        z = p["decoder0/W"][_shifted(labels)]
        steps = labels.shape[1]
        earlier = torch.ones(steps, steps, dtype=torch.bool).tril()[None, None]
        for i in range(blocks):
            z = self_attention(f"dec{i}", z, earlier)
            query, key = split(p.linear(f"query{i}_in", z)), split(p.linear(f"key{i}_in", y))
            att = F.scaled_dot_product_attention(query, key, key, attn_mask=inside, scale=1.0)
            z = feed_forward(f"decoder{i + 1}", z + att.transpose(1, 2).flatten(2))
        loss = _mean_loss(p.linear("prob", z), labels, counts)
        loss.backward()
        optimiser.step()
        return {"loss": loss.item()}

    return run
