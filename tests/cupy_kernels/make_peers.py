"""Compute what PyTorch and warprnnt-numba make of small cases, and write it to peers.npz.

Usage, in an environment with numpy, PyTorch, warprnnt-numba, numba and packaging:
python make_peers.py

Arrays are named `<case>:<name>`; what a library gave begins with `loss` or `d_`, or is an output.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

FRAMES, COUNTS = np.array([7, 5, 6], np.int32), np.array([3, 1, 3], np.int32)
LABELS = np.array([[1, 4, 4], [2, 0, 0], [3, 1, 2]], np.int32)
TORCH = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "silu": torch.nn.functional.silu,
    "gelu": torch.nn.functional.gelu,
    "gelu_tanh": lambda z: torch.nn.functional.gelu(z, approximate="tanh"),
    "elu": torch.nn.functional.elu,
    "selu": torch.selu,
    "leaky_relu": lambda z: torch.nn.functional.leaky_relu(z, 0.2),
    "relu6": torch.nn.functional.relu6,
    "softplus": torch.nn.functional.softplus,
    "softsign": torch.nn.functional.softsign,
    "log_sigmoid": torch.nn.functional.logsigmoid,
    "linear": lambda z: z,
    "maxout": lambda z: z.unflatten(-1, (-1, 2)).amax(-1),
}


def numbers(*shape: int, seed: int) -> Any:
    """Random float32 that have a gradient."""
    values = np.random.default_rng(seed).standard_normal(shape, np.float32)
    return torch.from_numpy(values).requires_grad_()


def stored(inputs: dict[str, Any], **others: Any) -> dict[str, Any]:
    """The inputs, their gradients, and more."""
    found = {name: x.detach() for name, x in inputs.items()}
    found |= {f"d_{name}": x.grad for name, x in inputs.items()}
    found |= {name: x.detach() if hasattr(x, "detach") else x for name, x in others.items()}
    return {name: np.asarray(x) for name, x in found.items()}


def ctc() -> dict[str, Any]:
    """PyTorch's CTC, from logits."""
    logits = numbers(7, 3, 6, seed=0)
    lengths = {"frames": FRAMES, "labels": LABELS, "counts": COUNTS}
    frames, labels, counts = (torch.from_numpy(x).long() for x in lengths.values())
    log_probs = logits.log_softmax(2)
    loss = torch.nn.functional.ctc_loss(
        log_probs, labels, frames, counts, blank=5, reduction="none"
    )
    loss.sum().backward()
    return stored({"logits": logits}, loss=loss, **lengths)


def rnnt(logits: Any) -> Any:
    """The loss of warprnnt-numba, from logits, blank 0; its gradient is that of the library."""
    from warprnnt_numba import RNNTLossNumba

    arrays = (torch.from_numpy(x) for x in (LABELS, FRAMES, COUNTS))
    return RNNTLossNumba(blank=0, reduction="none")(logits, *arrays)


def transducer() -> dict[str, Any]:
    """warprnnt-numba alone."""
    logits = numbers(3, 7, 4, 6, seed=1)
    loss = rnnt(logits)
    loss.sum().backward()
    return stored({"logits": logits}, loss=loss, frames=FRAMES, labels=LABELS, counts=COUNTS)


def fused(activation: str) -> dict[str, Any]:
    """warprnnt-numba behind a joint network in PyTorch."""
    width = 10 if activation == "maxout" else 5
    names = ("encoder", "predictor", "weight", "bias")
    shapes = ((3, 7, width), (3, 4, width), (5, 6), (6,))
    inputs = {n: numbers(*s, seed=i) for i, (n, s) in enumerate(zip(names, shapes, strict=True))}
    encoder, predictor, weight, bias = inputs.values()
    hidden = TORCH[activation](encoder[:, :, None] + predictor[:, None])
    loss = rnnt(hidden @ weight + bias)
    loss.sum().backward()
    return stored(inputs, loss=loss, frames=FRAMES, labels=LABELS, counts=COUNTS)


def lstm() -> dict[str, Any]:
    """PyTorch's LSTM; gates are stored in the kernels' order: cell input, input, forget, output."""
    units, inputs = 4, {"z": numbers(5, 3, 16, seed=0), "w_re": numbers(4, 16, seed=1)}
    inputs |= {"y0": numbers(3, 4, seed=2), "c0": numbers(3, 4, seed=3)}
    order = torch.arange(4 * units).reshape(4, units)[[1, 2, 0, 3]].flatten()
    layer = torch.nn.LSTM(4 * units, units, bias=False)
    parameters = {"weight_ih_l0": torch.eye(4 * units), "weight_hh_l0": inputs["w_re"].T[order]}
    arguments = (inputs["z"][..., order], (inputs["y0"][None], inputs["c0"][None]))
    y, (_, cell) = torch.func.functional_call(layer, parameters, arguments)
    cotangent = torch.cos(torch.arange(60.0)).reshape(y.shape)
    (y * cotangent).sum().backward()
    return stored(inputs, y=y, cell=cell[0], cotangent=cotangent)


def main() -> None:
    """Write the file."""
    cases = {"ctc": ctc(), "transducer": transducer(), "lstm": lstm()}
    cases |= {f"fused {name}": fused(name) for name in TORCH}
    arrays = {f"{case}:{name}": x for case, found in cases.items() for name, x in found.items()}
    np.savez_compressed(Path(__file__).with_name("peers.npz"), **arrays)


if __name__ == "__main__":
    main()
