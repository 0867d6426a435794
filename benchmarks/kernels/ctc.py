"""CTC loss, and the best path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.kernels.contestants import Run, cupy_run, on_gpu, torch_run
from benchmarks.kernels.contestants import tensorflow as load_tensorflow


@dataclass(frozen=True)
class Ctc:
    """Loss and gradient from logits, all sequences of full length."""

    time: int = 500
    batch: int = 32
    labels: int = 1000
    target: int = 60
    bar: float = 3.0
    gpu_bar: float = 2.0

    def arrays(self) -> tuple[Any, Any, Any, Any]:
        rng = np.random.default_rng(0)
        return (
            rng.standard_normal((self.time, self.batch, self.labels), np.float32),
            np.full(self.batch, self.time, np.int32),
            rng.integers(1, self.labels, (self.batch, self.target), np.int32),
            np.full(self.batch, self.target, np.int32),
        )

    def ours(self, threads: int) -> Run:
        from cupy_kernels.ctc import ctc_loss

        arrays = self.arrays()
        return lambda: ctc_loss(*arrays, blank=0, threads=threads)

    def pytorch(self, threads: int) -> Run:
        import torch

        torch.set_num_threads(threads)
        logits, lengths, labels, counts = map(torch.from_numpy, self.arrays())
        logits.requires_grad_()

        def run() -> None:
            logits.grad = None
            log_probs = logits.log_softmax(-1)
            options = {"blank": 0, "reduction": "sum"}
            torch.nn.functional.ctc_loss(log_probs, labels, lengths, counts, **options).backward()

        return run

    def tensorflow(self, threads: int) -> Run:
        tf = load_tensorflow(threads)
        logits, lengths, labels, counts = map(tf.constant, self.arrays())

        @tf.function
        def run() -> Any:
            with tf.GradientTape() as tape:
                tape.watch(logits)
                loss = tf.nn.ctc_loss(labels, logits, counts, lengths, blank_index=0)
            return tape.gradient(loss, logits)

        return lambda: run().numpy()

    def gpu_ours(self, threads: int) -> Run:
        arrays = on_gpu(*self.arrays())
        from cupy_kernels.ctc import ctc_loss

        return cupy_run(lambda: ctc_loss(*arrays, blank=0))

    def gpu_pytorch(self, threads: int, cudnn: bool = False) -> Run:
        """PyTorch's own kernel; cuDNN's takes lengths and labels on the host."""
        import torch

        logits, lengths, labels, counts = map(torch.from_numpy, self.arrays())
        if not cudnn:
            lengths, labels, counts = (x.long() for x in (lengths, labels, counts))
        else:
            labels = labels.reshape(-1)

        def run() -> None:
            logits.grad = None
            log_probs = logits.log_softmax(-1)
            options = {"blank": 0, "reduction": "sum"}
            torch.nn.functional.ctc_loss(log_probs, labels, lengths, counts, **options).backward()

        synchronised = torch_run(run)
        logits = logits.cuda().requires_grad_()
        labels = labels if cudnn else labels.cuda()
        return synchronised

    def gpu_pytorch_cudnn(self, threads: int) -> Run:
        return self.gpu_pytorch(threads, cudnn=True)


@dataclass(frozen=True)
class Align(Ctc):
    """The best path through the same logits."""

    bar: float = 0.0

    def ours(self, threads: int) -> Run:
        from cupy_kernels.align import ctc_align

        arrays = self.arrays()
        return lambda: ctc_align(*arrays, blank=0, threads=threads)

    def gpu_ours(self, threads: int) -> Run:
        arrays = on_gpu(*self.arrays())
        from cupy_kernels.align import ctc_align

        return cupy_run(lambda: ctc_align(*arrays, blank=0))

    # None of them has it.
    pytorch = tensorflow = gpu_pytorch = gpu_pytorch_cudnn = None  # type: ignore[assignment]


TASKS = {"ctc": Ctc(), "align": Align()}
