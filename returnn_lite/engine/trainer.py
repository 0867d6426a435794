"""One training: batches in, parameters changed, scores per epoch, resumable at any step."""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from returnn_lite import losses
from returnn_lite.carried import Carried
from returnn_lite.datasets.batches import (
    group,
    in_streams,
    prefetched,
    sequence_order,
    shuffled,
)
from returnn_lite.datasets.dataset import Dataset
from returnn_lite.engine import schedule
from returnn_lite.engine.optimizer import Adam
from returnn_lite.engine.options import TrainOptions
from returnn_lite.errors import NetworkError
from returnn_lite.infer import template_of
from returnn_lite.lazy import tf
from returnn_lite.network import Network
from returnn_lite.parameters import load_checkpoint, save_checkpoint

# Before the names of kept states in a checkpoint.
_KEPT = "kept_state/"


@dataclass
class Progress:
    """How far a training is: what is needed to go on, besides parameters and Adam's state.

    step: steps made. epoch: the current epoch, from 0. done: batches of it that are done, of which
    left_out had gradients that are not finite. totals: sums over the others of loss, errors and
    labels. scores: one row per complete epoch.
    """

    step: int = 0
    epoch: int = 0
    done: int = 0
    left_out: int = 0
    totals: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    seconds: float = 0.0
    scores: list[dict[str, float]] = field(default_factory=list)


class Trainer:
    """Trains a network on one dataset and measures it on another.

    folder: where checkpoints are kept; a training that was stopped goes on from the newest.
    save_every: seconds between checkpoints within an epoch. Where layers keep their states from
    batch to batch, each batch has batch_sequences sequences, which go on through as many equal
    parts of the data in its order; what is left at its end is left out.
    """

    def __init__(
        self,
        network: Network,
        train: Dataset,
        dev: Dataset,
        options: TrainOptions,
        folder: Path,
        log: logging.Logger,
        *,
        save_every: float = 60.0,
    ):
        self.network = network
        self.train_data = train
        self.dev_data = dev
        self.options = options
        self.folder = folder
        self.log = log
        self.save_every = save_every
        self._check()
        self.progress = Progress()
        self.adam = Adam(network.variables, options.adam)
        self.stream = next(iter(train.extern_data))
        # The states that layers keep: in training, and in an evaluation.
        self._kept, self._kept_of_dev = Carried(), Carried()
        self._check_streams()
        self._train_step = self._function(self._step, self._kept)
        self._dev_step = self._function(self._measure, self._kept_of_dev)

    def _check(self) -> None:
        """Raise NetworkError where there is nothing to train."""
        if not self.network.loss_nodes:
            raise NetworkError("found no loss, needed one to train")
        for name, data in (("train", self.train_data), ("dev", self.dev_data)):
            if not data.tags:
                raise NetworkError(f"{name}: found no sequence, needed one or more")

    def _check_streams(self) -> None:
        """Raise NetworkError where a batch that goes on from the one before is too large."""
        if not self.network.keeps_states:
            return
        for name, data in (("train", self.train_data), ("dev", self.dev_data)):
            batches, lengths = self._batches(data, 0), data.lengths(self.stream)
            frames = max(len(b) * int(lengths[b].max()) for b in batches)
            if frames > self.options.batch_frames:
                raise NetworkError(
                    f"{name}: found a batch of {frames} frames, needed at most batch_frames, "
                    f"{self.options.batch_frames}: where states are kept (keep_over_epoch), all "
                    f"have {len(batches[0])} sequences; try smaller batch_sequences"
                )
            if left := len(data.tags) - sum(map(len, batches)):
                self.log.warning("%s: left out the last %d sequences", name, left)

    # -- steps

    def _function(self, compute: Any, carried: Carried) -> Any:
        """Return a compiled step: a function of learning rate, step number, and the batch."""
        names = list(self.train_data.extern_data)
        signature = [tf.TensorSpec([], tf.float32), tf.TensorSpec([], tf.int32)]
        for name in names:
            template = template_of(self.network.scope.inputs[name])
            shape = [d.size for d in template.dims]
            signature += [tf.TensorSpec(shape, template.dtype), tf.TensorSpec([None], tf.int32)]

        def step(arguments: Sequence[Any], before: dict[str, Any]) -> Any:
            rate, number, *tensors = arguments
            pairs = zip(tensors[::2], tensors[1::2], strict=True)
            return compute(rate, number, dict(zip(names, pairs, strict=True)), before)

        return lambda *arguments: carried.run("step", step, signature, list(arguments))

    def _step(self, rate: Any, number: Any, batch: Any, before: dict[str, Any]) -> Any:
        variables = self.adam.variables
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(list(variables.values()))
            frame = self.network.frame(batch, train=True, step=number, carried=before)
            found = self.network.losses(frame)
            penalty = losses.penalty(self.network.nodes(), self.network.variables)
            total = losses.objective(found) + penalty
        gradients = tape.gradient(total, variables)
        # A parameter that no loss depends on has no gradient, and stays as it is.
        used = [n for n, g in gradients.items() if g is not None]
        dense = [tf.convert_to_tensor(gradients[n]) for n in used]
        norm = tf.linalg.global_norm(dense)
        # A step whose gradients are not finite is left out, rather than to spoil all parameters.
        finite = tf.math.is_finite(norm)
        if self.options.clip:
            dense, _ = tf.clip_by_global_norm(dense, self.options.clip, use_norm=norm)
        named = dict(zip(used, dense, strict=True))
        tf.cond(finite, lambda: self._apply(named, rate, frame.run.updates), tf.no_op)
        sums = tf.concat([self._sums(found), [tf.cast(finite, tf.float32)]], axis=0)
        # Nor are states kept that may not be finite either.
        after = {
            n: tf.cond(finite, lambda x=x: x, lambda x=x: tf.zeros_like(x))
            for n, x in frame.run.carry.items()
        }
        return sums, after

    def _apply(self, gradients: Any, rate: Any, updates: Any) -> Any:
        """Change the parameters by their gradients, and those that layers update, such as means."""
        for name, value in updates.items():
            self.network.variables[name].assign(value)
        return self.adam.apply(gradients, rate)

    def _measure(self, rate: Any, number: Any, batch: Any, before: dict[str, Any]) -> Any:
        frame = self.network.frame(batch, train=False, step=number, carried=before)
        return self._sums(self.network.losses(frame, errors=True)), frame.run.carry

    def _sums(self, found: dict[str, losses.Loss]) -> Any:
        """Return float32 [3]: loss, errors and labels of a batch, of the first loss."""
        first = next(iter(found.values()))
        error = first.value * float("nan") if first.error is None else first.error
        return tf.stack([tf.reduce_sum(x) for x in (first.value, error, first.weight)])

    # -- epochs

    def run(self) -> list[dict[str, float]]:
        """Train to the end, from the newest checkpoint on; return the scores by epoch."""
        self._resume()
        while self.progress.epoch < self.options.epochs:
            self._epoch()
        self._average()
        return self.progress.scores

    def _batches(self, data: Dataset, epoch: int | None) -> list[list[int]]:
        """Return the batches of an epoch; epoch None: all, sorted by length."""
        lengths, options = data.lengths(self.stream), self.options
        if self.network.keeps_states:
            return in_streams(len(lengths), min(options.batch_sequences, len(lengths)))
        order = "sorted" if epoch is None else "laplace"
        sequence = sequence_order(lengths, order, seed=options.seed, epoch=epoch or 0)  # type: ignore[arg-type]
        batches = group(
            sequence,
            lengths,
            max_frames=options.batch_frames,
            max_sequences=options.batch_sequences,
        )
        return batches if epoch is None else shuffled(batches, seed=options.seed, epoch=epoch)

    def _epoch(self) -> None:
        """Train one epoch, or what is left of it, and measure."""
        progress, options = self.progress, self.options
        batches = self._batches(self.train_data, progress.epoch)
        if not progress.done:
            self._kept.reset()
        saved = time.monotonic()
        start, before = time.monotonic(), progress.seconds
        for batch in prefetched(self.train_data, batches[progress.done :]):
            rate = self._rate(len(batches))
            sums = self._train_step(tf.constant(rate), tf.constant(progress.step), *_flat(batch))
            *found, finite = sums.numpy().tolist()
            if finite:
                progress.totals = [a + b for a, b in zip(progress.totals, found, strict=True)]
            progress.left_out += not finite
            progress.step += 1
            progress.done += 1
            progress.seconds = before + time.monotonic() - start
            if time.monotonic() - saved > self.save_every:
                self.save("latest")
                saved = time.monotonic()
        if progress.left_out:
            text = "epoch %d: left out %d of %d steps, whose gradients are not finite"
            self.log.warning(text, progress.epoch + 1, progress.left_out, len(batches))
        loss, _, labels = progress.totals
        dev_loss, dev_error = self.evaluate()
        progress.scores.append(
            {"train_loss": loss / max(labels, 1.0), "dev_loss": dev_loss, "dev_error": dev_error}
        )
        progress.epoch += 1
        progress.done, progress.left_out, progress.totals = 0, 0, [0.0, 0.0, 0.0]
        self._report(self._rate(len(batches)))
        # Before the checkpoint that says that the epoch is complete.
        if progress.epoch > options.epochs - options.average:
            save_checkpoint(self.folder / f"epoch.{progress.epoch}", self.network.variables)
        self.save("latest")

    def _rate(self, batches: int) -> float:
        """Return the learning rate of the next step, in an epoch of so many batches."""
        done, options = self.progress, self.options
        share = (done.epoch + done.done / batches) / options.epochs
        return options.learning_rate * schedule.factor(options.schedule, share)

    def evaluate(self) -> tuple[float, float]:
        """Return loss and errors per label on the dev set."""
        totals = np.zeros(3)
        self._kept_of_dev.reset()
        for batch in prefetched(self.dev_data, self._batches(self.dev_data, None)):
            totals += self._dev_step(tf.constant(0.0), tf.constant(0), *_flat(batch)).numpy()
        return float(totals[0] / totals[2]), float(totals[1] / totals[2])

    def _report(self, rate: float) -> None:
        progress, epochs = self.progress, self.options.epochs
        row = progress.scores[-1]
        left = progress.seconds / progress.epoch * (epochs - progress.epoch)
        self.log.info(
            "epoch %d of %d: train loss %.4f, dev loss %.4f, dev error %.2f %%, "
            "learning rate %.2g, %.0f s left",
            progress.epoch,
            epochs,
            row["train_loss"],
            row["dev_loss"],
            100 * row["dev_error"],
            rate,
            left,
        )

    # -- checkpoints

    def save(self, name: str) -> None:
        """Write a checkpoint with all that is needed to go on; it is whole or absent."""
        target, tmp = self.folder / name, self.folder / f".{name}.tmp"
        shutil.rmtree(tmp, ignore_errors=True)
        kept = {_KEPT + n: x for n, x in self._kept.states.items()}
        save_checkpoint(tmp / "all", {**self.network.variables, **self.adam.slots, **kept})
        (tmp / "progress.json").write_text(json.dumps(asdict(self.progress)), "utf-8")
        old = self.folder / f".{name}.old"
        shutil.rmtree(old, ignore_errors=True)
        if target.exists():
            target.rename(old)
        tmp.rename(target)
        shutil.rmtree(old, ignore_errors=True)

    def _resume(self) -> None:
        """Go on from the newest checkpoint, if there is one."""
        found = [self.folder / n for n in ("latest", ".latest.old")]
        folder = next((f for f in found if (f / "progress.json").is_file()), None)
        if folder is None:
            return
        self.progress = Progress(**json.loads((folder / "progress.json").read_text("utf-8")))
        values = load_checkpoint(folder / "all")
        for name, variable in {**self.network.variables, **self.adam.slots}.items():
            variable.assign(values[name])
        kept = {n.removeprefix(_KEPT): x for n, x in values.items() if n.startswith(_KEPT)}
        self._kept.states = {n: tf.convert_to_tensor(x) for n, x in kept.items()}
        done = self.progress
        self.log.info("goes on at epoch %d, after %d batches", done.epoch + 1, done.done)

    def _average(self) -> None:
        """Set the parameters to their mean over the last epochs."""
        first = max(1, self.options.epochs - self.options.average + 1)
        epochs = [load_checkpoint(self.folder / f"epoch.{e}") for e in _inclusive(first, self)]
        self.network.set_params(
            {n: np.mean([e[n] for e in epochs], axis=0) for n in self.network.variables}
        )


def _inclusive(first: int, trainer: Trainer) -> Iterable[int]:
    return range(first, trainer.options.epochs + 1)


def _flat(batch: Any) -> list[Any]:
    return [tf.convert_to_tensor(x) for pair in batch.values() for x in pair]
