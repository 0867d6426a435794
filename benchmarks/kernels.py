"""Times the kernels of cupy_kernels and what a user would pick instead, in turn, in one run.

    python benchmarks/kernels.py [--tasks ctc ...] [--threads 2] [--rounds 15] [--json FILE]

Each contestant lives in a process of its own, so that none disturbs another's threads or memory;
only one works at a time. Packages that are not installed are left out. Printed are the median of
the rounds, the best one, the least processor time (of all threads: what a busy machine spoils
least), and how often our median and our processor time go into a peer's.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

Run = Callable[[], object]


@dataclass(frozen=True)
class Ctc:
    """Loss and gradient from logits, all sequences of full length."""

    time: int = 500
    batch: int = 32
    labels: int = 1000
    target: int = 60
    bar: float = 3.0

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
        tf = _tensorflow(threads)
        logits, lengths, labels, counts = map(tf.constant, self.arrays())

        @tf.function
        def run() -> Any:
            with tf.GradientTape() as tape:
                tape.watch(logits)
                loss = tf.nn.ctc_loss(labels, logits, counts, lengths, blank_index=0)
            return tape.gradient(loss, logits)

        return lambda: run().numpy()


@dataclass(frozen=True)
class Align(Ctc):
    """The best path through the same logits."""

    bar: float = 0.0

    def ours(self, threads: int) -> Run:
        from cupy_kernels.align import ctc_align

        arrays = self.arrays()
        return lambda: ctc_align(*arrays, blank=0, threads=threads)

    pytorch = tensorflow = None  # type: ignore[assignment]  # neither has it


@dataclass(frozen=True)
class Blstm:
    """A bidirectional layer, forward and backward, with the products of its input."""

    units: int
    batch: int = 20
    time: int = 200
    bar: float = 1.5

    def arrays(self) -> tuple[Any, Any]:
        """Input, and the gradient of the output."""
        rng = np.random.default_rng(0)
        shape = (self.time, self.batch, self.units)
        return (
            rng.standard_normal(shape, np.float32),
            rng.standard_normal((*shape[:2], 2 * self.units), np.float32),
        )

    def weights(self) -> tuple[Any, Any]:
        rng = np.random.default_rng(1)
        shape = (self.units, 4 * self.units)
        return tuple(rng.standard_normal(shape, np.float32) / self.units**0.5 for _ in range(2))

    def ours(self, threads: int) -> Run:
        """One thread per direction."""
        from cupy_kernels.lstm import lstm_layer_backward, lstm_layer_forward

        x, dy = self.arrays()
        w, w_re = self.weights()
        bias = np.zeros(4 * self.units, np.float32)
        zeros = np.zeros((self.batch, self.units), np.float32)
        state = (w_re, np.full(self.batch, self.time, np.int32), zeros, zeros)
        gradient = {1: dy[..., : self.units].copy(), -1: dy[..., self.units :].copy()}
        each = max(1, threads // 2)

        def one(direction: int) -> Any:
            options = {"direction": direction, "threads": each}
            y, _, saved = lstm_layer_forward(x, w, bias, *state, **options)
            arrays = (gradient[direction], zeros, saved, y, x, w, *state)
            return lstm_layer_backward(*arrays, **options)

        if threads == 1:
            return lambda: [one(1), one(-1)]
        pool = ThreadPoolExecutor(2)
        return lambda: list(pool.map(one, (1, -1)))

    def ours_and_tensorflow(self, threads: int) -> Run:
        """The input's products by TensorFlow, the recurrence by the kernel."""
        tf = _tensorflow(max(1, threads // 2))
        from cupy_kernels.lstm import lstm_backward, lstm_forward

        x, dy = self.arrays()
        w, w_re = self.weights()
        rows = tf.constant(x.reshape(-1, self.units))
        zeros = np.zeros((self.batch, self.units), np.float32)
        state = (w_re, np.full(self.batch, self.time, np.int32), zeros, zeros)
        gradient = {1: dy[..., : self.units].copy(), -1: dy[..., self.units :].copy()}

        def one(direction: int) -> list[Any]:
            options = {"direction": direction, "threads": max(1, threads // 2)}
            z = tf.matmul(rows, w).numpy().reshape(*x.shape[:2], -1)
            y, _, saved = lstm_forward(z, *state, **options)
            dz, *_ = lstm_backward(gradient[direction], zeros, saved, y, *state, **options)
            dz_rows = tf.constant(dz.reshape(-1, 4 * self.units))
            dx, dw = tf.matmul(dz_rows, w, transpose_b=True), tf.matmul(rows.T, dz_rows)
            return [grad.numpy() for grad in (dx, dw, tf.reduce_sum(dz_rows, 0))]

        if threads == 1:
            return lambda: [one(1), one(-1)]
        pool = ThreadPoolExecutor(2)
        return lambda: list(pool.map(one, (1, -1)))

    def pytorch(self, threads: int) -> Run:
        import torch

        torch.set_num_threads(threads)
        x, dy = map(torch.from_numpy, self.arrays())
        x.requires_grad_()
        layer = torch.nn.LSTM(self.units, self.units, bidirectional=True)

        def run() -> None:
            layer.zero_grad()
            x.grad = None
            layer(x)[0].backward(dy)

        return run

    def keras(self, threads: int) -> Run:
        tf = _tensorflow(threads)
        x, dy = (tf.constant(a.transpose(1, 0, 2)) for a in self.arrays())
        lstm = tf.keras.layers.LSTM(self.units, return_sequences=True, use_cudnn=False)
        layer = tf.keras.layers.Bidirectional(lstm)
        layer.build(x.shape)

        @tf.function
        def run() -> Any:
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = layer(x)
            return tape.gradient(y, [x, *layer.trainable_variables], output_gradients=dy)

        return lambda: [g.numpy() for g in run()]

    def block_lstm(self, threads: int) -> Run:
        tf = _tensorflow(threads)
        x, dy = map(tf.constant, self.arrays())
        w = tf.Variable(np.concatenate(self.weights()))
        bias, zeros = tf.Variable(tf.zeros(4 * self.units)), tf.zeros((self.batch, self.units))
        peephole = tf.zeros(self.units)

        def one(inputs: Any) -> Any:
            return tf.raw_ops.BlockLSTMV2(
                seq_len_max=self.time, x=inputs, cs_prev=zeros, h_prev=zeros, w=w, b=bias,
                wci=peephole, wcf=peephole, wco=peephole, cell_clip=0.0, use_peephole=False,
            ).h  # fmt: skip

        @tf.function
        def run() -> Any:
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = tf.concat([one(x), tf.reverse(one(tf.reverse(x, [0])), [0])], -1)
            return tape.gradient(y, [x, w, bias], output_gradients=dy)

        return lambda: [g.numpy() for g in run()]


TASKS: dict[str, Any] = {
    "ctc": Ctc(),
    "align": Align(),
    "blstm 500": Blstm(500),
    "blstm 500, batch 1": Blstm(500, batch=1),
    "blstm 256": Blstm(256),
    "blstm 128": Blstm(128),
    "blstm 64": Blstm(64),
}
CONTESTANTS = ("ours", "ours_and_tensorflow", "pytorch", "tensorflow", "keras", "block_lstm")


def _tensorflow(threads: int) -> Any:
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(max(2, threads))
    tf.experimental.numpy.experimental_enable_numpy_behavior()
    return tf


def serve(pipe: Connection, task: str, contestant: str, threads: int) -> None:
    """A contestant's process: sets up, warms up, then runs whenever it is told to."""
    try:
        run = getattr(TASKS[task], contestant)(threads)
    except ImportError as error:
        pipe.send(str(error))
        return
    run()
    pipe.send("")
    while pipe.recv():
        start = time.perf_counter(), time.process_time()
        run()
        pipe.send((time.perf_counter() - start[0], time.process_time() - start[1]))


def start(task: str, threads: int) -> dict[str, Connection]:
    """Start the processes of all contestants whose packages are there."""
    context = multiprocessing.get_context("spawn")
    pipes = {}
    for name in CONTESTANTS:
        if getattr(TASKS[task], name, None) is None:
            continue
        pipe, theirs = context.Pipe()
        context.Process(target=serve, args=(theirs, task, name, threads), daemon=True).start()
        if missing := pipe.recv():
            print(f"{task}: {name} left out: {missing}")
        else:
            pipes[name] = pipe
    return pipes


def measure(task: str, threads: int, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Wall and processor seconds of each contestant in each round."""
    pipes = start(task, threads)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in pipes}
    for turn in range(rounds):
        for name, pipe in pipes.items():
            if turn < 3 or min(times[name])[0] < 2.0:  # the slow take three turns
                pipe.send(True)
                times[name].append(pipe.recv())
    for pipe in pipes.values():
        pipe.send(False)
    return times


def report(task: str, times: dict[str, list[tuple[float, float]]]) -> dict[str, Any]:
    """Print a task's table; return its row for the JSON file."""
    walls = {name: [wall for wall, _ in values] for name, values in times.items()}
    median = {name: statistics.median(values) for name, values in walls.items()}
    processor = {name: min(cpu for _, cpu in values) for name, values in times.items()}
    print(f"{task}\n  {'':20} median     best  processor  ratio of medians, of processor times")
    for name, wall in median.items():
        ratios = wall / median["ours"], processor[name] / processor["ours"]
        row = f"{wall:9.4f} {min(walls[name]):8.4f} {processor[name]:10.4f}"
        print(f"  {name:17} {row}  {ratios[0]:6.2f} {ratios[1]:6.2f}")
    ours, peers = median["ours"], {n: wall for n, wall in median.items() if "ours" not in n}
    ratio = min(peers.values()) / ours if peers else None
    return {"name": task, "ours": ours, "peers": peers, "ratio": ratio, "bar": TASKS[task].bar}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = [report(t, measure(t, options.threads, options.rounds)) for t in options.tasks]
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
