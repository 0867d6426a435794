"""Transducer loss in the topology RNN-T: from log-probabilities, and fused with the joint network.

torchaudio must fit the version of PyTorch; warprnnt-numba needs numba and packaging beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.kernels.contestants import Run, cupy_run, on_gpu, torch_run

Loss = Callable[[Any, Any, Any, Any], Any]  # of logits, labels, frames, label_lengths: a sum


def torch_with(threads: int, device: str) -> Any:
    """PyTorch with so many threads. Raises ImportError where it, or its device, is not there."""
    import torch

    torch.set_num_threads(threads)
    if device == "cuda" and not torch.cuda.is_available():
        raise ImportError("PyTorch finds no GPU")
    return torch


def torchaudio_loss() -> Loss:
    """The softmax is part of it."""
    from torchaudio.functional import rnnt_loss  # type: ignore[import-not-found]

    return lambda *args: rnnt_loss(
        args[0], args[1], args[2], args[3], blank=0, reduction="sum", clamp=-1.0
    )


def warprnnt_loss() -> Loss:
    """It takes logits and normalises them itself."""
    from warprnnt_numba import RNNTLossNumba  # type: ignore[import-not-found]

    return RNNTLossNumba(blank=0, reduction="sum")  # type: ignore[no-any-return]


def pytorch_loss() -> Loss:
    """A log-softmax, and the recursion over anti-diagonals, with PyTorch's own gradient."""
    import torch

    def loss(logits: Any, labels: Any, frames: Any, counts: Any) -> Any:
        """All sequences have full length."""
        log_probs = logits.log_softmax(-1)
        batch, time, rows, _ = logits.shape
        index = labels.long()[:, None, :, None].expand(-1, time, -1, -1)
        label = log_probs[:, :, :-1].gather(3, index)[..., 0]
        impossible = logits.new_full((batch, time, 1), -1e30)
        blank, label = log_probs[..., 0], torch.cat([label, impossible], 2)
        row = torch.arange(rows, device=logits.device)
        skew = torch.arange(time + rows - 1, device=logits.device)[:, None] - row
        outside = (skew < 0) | (skew >= time)
        at = skew.clamp(0, time - 1), row
        blank, label = (x[:, *at].masked_fill(outside, -1e30) for x in (blank, label))
        alpha = logits.new_full((batch, rows), -1e30).index_fill(1, row[:1], 0.0)
        for d in range(time + rows - 1):
            entered = torch.nn.functional.pad((alpha + label[:, d])[:, :-1], (1, 0), value=-1e30)
            alpha = torch.logaddexp(alpha + blank[:, d], entered)
        return -alpha[:, -1].sum()

    return loss


@dataclass(frozen=True)
class Transducer:
    """Loss and gradient from log-probabilities; peers take the same array as their logits."""

    batch: int = 8
    time: int = 200
    labels: int = 40
    vocabulary: int = 500
    joint: int = 512
    bar: float = 5.0

    def arrays(self) -> tuple[Any, Any, Any]:
        """Frames, labels, and lengths of labels, all full."""
        rng = np.random.default_rng(0)
        return (
            np.full(self.batch, self.time, np.int32),
            rng.integers(1, self.vocabulary, (self.batch, self.labels), np.int32),
            np.full(self.batch, self.labels, np.int32),
        )

    def weights(self) -> tuple[Any, Any, Any]:
        """Encoder, predictor, and the weight of the joint network."""
        rng = np.random.default_rng(1)
        encoder = rng.standard_normal((self.batch, self.time, self.joint), np.float32)
        predictor = rng.standard_normal((self.batch, self.labels + 1, self.joint), np.float32)
        weight = rng.standard_normal((self.joint, self.vocabulary), np.float32)
        return encoder, predictor, weight / np.float32(self.joint**0.5)

    def _log_probs(self) -> Any:
        encoder, predictor, weight = self.weights()
        logits = np.tanh(encoder[:, :, None] + predictor[:, None]) @ weight
        logits -= np.log(np.exp(logits).sum(3, keepdims=True))
        return logits

    def _peer(self, threads: int, make: Callable[[], Loss], device: str = "cpu") -> Run:
        torch = torch_with(threads, device)
        loss = make()
        frames, labels, counts = (torch.from_numpy(x).to(device) for x in self.arrays())
        logits = torch.from_numpy(self._log_probs()).to(device).requires_grad_()

        def run() -> None:
            logits.grad = None
            loss(logits, labels, frames, counts).backward()

        return run if device == "cpu" else torch_run(run)

    def ours(self, threads: int) -> Run:
        from cupy_kernels.transducer import transducer_loss

        frames, labels, counts = self.arrays()
        case = (self._log_probs(), frames, labels, counts)
        return lambda: transducer_loss(*case, blank=0, topology="rnnt", threads=threads)

    def gpu_ours(self, threads: int) -> Run:
        from cupy_kernels.transducer import transducer_loss

        case = on_gpu(self._log_probs(), *self.arrays())
        log_probs, frames, labels, counts = case
        return cupy_run(
            lambda: transducer_loss(log_probs, frames, labels, counts, blank=0, topology="rnnt")
        )

    def torchaudio(self, threads: int) -> Run:
        return self._peer(threads, torchaudio_loss)

    def gpu_torchaudio(self, threads: int) -> Run:
        return self._peer(threads, torchaudio_loss, "cuda")

    def warprnnt_numba(self, threads: int) -> Run:
        return self._peer(threads, warprnnt_loss)

    def gpu_warprnnt_numba(self, threads: int) -> Run:
        return self._peer(threads, warprnnt_loss, "cuda")

    def pytorch(self, threads: int) -> Run:
        return self._peer(threads, pytorch_loss)

    def gpu_pytorch(self, threads: int) -> Run:
        return self._peer(threads, pytorch_loss, "cuda")


@dataclass(frozen=True)
class Fused(Transducer):
    """From the encoder and the predictor; peers have the joint network in PyTorch."""

    gpu_bar: float = 2.0

    def _peer(self, threads: int, make: Callable[[], Loss], device: str = "cpu") -> Run:
        torch = torch_with(threads, device)
        loss = make()
        frames, labels, counts = (torch.from_numpy(x).to(device) for x in self.arrays())
        encoder, predictor, weight = (torch.from_numpy(x).to(device) for x in self.weights())
        bias = torch.zeros(self.vocabulary, device=device)
        parameters = [x.requires_grad_() for x in (encoder, predictor, weight, bias)]

        def run() -> None:
            for x in parameters:
                x.grad = None
            hidden = torch.tanh(encoder[:, :, None] + predictor[:, None])
            loss(hidden @ weight + bias, labels, frames, counts).backward()

        return run if device == "cpu" else torch_run(run)

    def ours(self, threads: int) -> Run:
        from cupy_kernels.transducer import transducer_fused_loss

        frames, labels, counts = self.arrays()
        bias = np.zeros(self.vocabulary, np.float32)
        case = (*self.weights(), bias, frames, labels, counts)
        options = {"blank": 0, "topology": "rnnt", "activation": "tanh"}
        return lambda: transducer_fused_loss(*case, **options, threads=threads)

    def gpu_ours(self, threads: int) -> Run:
        from cupy_kernels.transducer import transducer_fused_loss

        bias = np.zeros(self.vocabulary, np.float32)
        case = on_gpu(*self.weights(), bias, *self.arrays())
        options = {"blank": 0, "topology": "rnnt", "activation": "tanh"}
        return cupy_run(lambda: transducer_fused_loss(*case, **options))


TASKS = {"transducer": Transducer(), "transducer fused": Fused()}
