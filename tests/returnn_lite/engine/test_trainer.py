"""Training: it learns, it is Adam on the objective, and a stopped one goes on to the same end."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from eager import Array, gradients, run

from returnn_lite.engine import trainer as module
from returnn_lite.engine.options import TrainOptions
from returnn_lite.engine.trainer import Trainer
from returnn_lite.errors import NetworkError
from returnn_lite.network import Network

CLASSES, DIM = 4, 4
SOFTMAX = {
    "class": "softmax",
    "from": "data",
    "dropout": 0.2,
    "target": "classes",
    "loss": "ce",
}


class Labels:
    """Frames that show a label each, with noise; the target is the labels, `shift` frames later."""

    def __init__(self, count: int, *, shift: int = 0, seed: int = 0, noise: float = 0.1):
        rng = np.random.default_rng(seed)
        self.tags = [f"s{i}" for i in range(count)]
        self.extern_data = {
            "data": {"dim": DIM},
            "classes": {"dim": CLASSES, "sparse": True, "same_dim_tags_as": {"t": "data"}},
        }
        self.sequences = []
        for _ in range(count):
            labels = rng.integers(0, CLASSES, rng.integers(3, 8)).astype(np.int32)
            frames = np.eye(DIM)[labels] + noise * rng.standard_normal((len(labels), DIM))
            targets = np.concatenate([[0] * shift, labels[: len(labels) - shift]])
            self.sequences.append((frames.astype(np.float32), targets.astype(np.int32)))

    def lengths(self, stream: str) -> Array:
        return np.array([len(x) for x, _ in self.sequences])

    def read(self, index: int) -> dict[str, Array]:
        return dict(zip(("data", "classes"), self.sequences[index], strict=True))


def options(**more: Any) -> TrainOptions:
    defaults = {"epochs": 2, "batch_sequences": 3, "batch_frames": 30, "learning_rate": 0.02}
    return TrainOptions(**{**defaults, **more})


def make(
    folder: Path,
    how: TrainOptions,
    *,
    net: dict[str, Any] | None = None,
    data: Labels | None = None,
    save_every: float = 1e9,
) -> Trainer:
    data = data or Labels(8)
    network = Network(net or {"output": SOFTMAX}, extern_data=data.extern_data, train=True)
    log = logging.getLogger("test")
    return Trainer(network, data, Labels(4, seed=9), how, folder, log, save_every=save_every)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    trainer = make(tmp_path_factory.mktemp("whole"), options())
    trainer.run()
    return trainer


def test_it_learns_to_repeat_the_frame_before(tmp_path: Path) -> None:
    net = {
        "lstm": {"class": "rec", "unit": "lstm", "n_out": 16, "from": "data"},
        "output": {**SOFTMAX, "from": "lstm", "dropout": 0.0},
    }
    how = options(epochs=10, batch_sequences=20, batch_frames=200, learning_rate=0.05)
    trainer = make(tmp_path, how, net=net, data=Labels(200, shift=1))
    trainer.dev_data = Labels(20, shift=1, seed=7)
    scores = trainer.run()
    assert scores[0]["dev_error"] > 0.1
    assert scores[-1]["dev_error"] < 0.02
    assert scores[-1]["train_loss"] < 0.1


def test_a_step_is_adam_on_the_clipped_gradient_of_losses_and_l2(tmp_path: Path) -> None:
    data = Labels(3)
    net = {"output": {**SOFTMAX, "L2": 0.1, "loss_scale": 0.5}}
    how = options(epochs=1, schedule=((0.0, 1.0),), clip=0.1)
    trainer = make(tmp_path, how, net=net, data=data)
    start = trainer.network.get_params()
    batch = {
        k: (np.zeros((3, 7, *s), t), data.lengths(k).tolist())
        for k, s, t in (("data", (DIM,), np.float32), ("classes", (), np.int32))
    }
    for i in range(3):
        for key, value in data.read(i).items():
            batch[key][0][i, : len(value)] = value
    _, found = gradients(trainer.network, batch, train=True, step=0)
    found = {k: g + 2 * 0.1 * start[k] for k, g in found.items()}
    norm = np.sqrt(sum(np.sum(g**2) for g in found.values()))
    assert norm > 0.1
    trainer.run()
    for key, value in trainer.network.get_params().items():
        g = found[key] * 0.1 / norm
        np.testing.assert_allclose(
            start[key] - value, 0.02 * g / (np.abs(g) + 1e-8 / np.sqrt(0.001)), atol=2e-5
        )


def test_scores_are_loss_and_errors_per_label(uninterrupted: Trainer) -> None:
    data, network = Labels(4, seed=9), uninterrupted.network
    loss = errors = count = 0.0
    for i in range(4):
        batch = {k: (x[None], [len(x)]) for k, x in data.read(i).items()}
        found = run(network, batch, train=False).losses["output"]
        loss, count = loss + found.value[0], count + found.weight[0]
        errors += found.error[0]  # type: ignore[index]
    last = uninterrupted.progress.scores[-1]
    assert last["dev_loss"] == pytest.approx(loss / count, rel=1e-5)
    assert last["dev_error"] == pytest.approx(errors / count)
    assert [set(s) for s in uninterrupted.progress.scores] == [
        {"train_loss", "dev_loss", "dev_error"}
    ] * 2


NORMALISED: dict[str, Any] = {
    "norm": {"class": "batch_norm", "momentum": 0.1, "param_version": 2, "from": "data"},
    "output": {**SOFTMAX, "from": "norm"},
}


def test_running_values_are_what_training_has_seen(tmp_path: Path) -> None:
    how = options(epochs=40, batch_sequences=100, batch_frames=1000, learning_rate=1e-6)
    trainer = make(tmp_path, how, net=NORMALISED)
    trainer.run()
    frames = np.concatenate([x for x, _ in trainer.train_data.sequences])  # type: ignore[attr-defined]
    found = {n.rpartition("_")[2]: x for n, x in trainer.network.get_params().items() if "v2" in n}
    # Of the first values, 0.9^40 is left.
    np.testing.assert_allclose(found["mean"], frames.mean(axis=0), rtol=0.02)
    np.testing.assert_allclose(found["variance"], frames.var(axis=0), atol=0.02)


# -- stopped and resumed


class Killed(BaseException):
    """What stands for kill -9: no handler of the engine may run after it."""


@contextmanager
def killed_at(place: Any, name: str, call: int, *, after: bool = False) -> Iterator[None]:
    """Raise Killed at the n-th call of a function (from 1), before it or after it."""
    original = getattr(place, name)
    calls = 0

    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call and not after:
            raise Killed
        result = original(*args, **kwargs)
        if calls == call:
            raise Killed
        return result

    setattr(place, name, counted)
    try:
        with pytest.raises(Killed):
            yield
    finally:
        setattr(place, name, original)


def same_end(trainer: Trainer, whole: Trainer) -> None:
    """Assert that parameters, Adam's state and scores are equal to the bit."""
    for name, value in whole.network.get_params().items():
        np.testing.assert_array_equal(trainer.network.get_params()[name], value, err_msg=name)
    for name, slot in whole.adam.slots.items():
        np.testing.assert_array_equal(trainer.adam.slots[name].numpy(), slot.numpy())
    assert trainer.progress.scores == whole.progress.scores


PLACES: dict[str, Callable[[Trainer], tuple[Any, str]]] = {
    "step": lambda t: (t, "_train_step"),
    "dev": lambda t: (t, "_dev_step"),
    "log": lambda t: (t.log, "info"),
    "rename": lambda t: (Path, "rename"),
    "remove": lambda t: (shutil, "rmtree"),
    "write": lambda t: (module, "save_checkpoint"),
}
STOPS = [
    *[("step", 1, False), ("step", 2, True), ("step", 3, True), ("step", 6, False)],
    *[("dev", 1, False), ("log", 2, False), ("rename", 4, False), ("rename", 4, True)],
    *[("remove", 4, True), ("write", 4, True), ("write", 8, True), ("write", 9, False)],
]


@pytest.mark.parametrize(("place", "call", "after"), STOPS)
def test_a_stopped_training_ends_as_the_uninterrupted_one(
    tmp_path: Path, uninterrupted: Trainer, place: str, call: int, after: bool
) -> None:
    stopped = make(tmp_path, options(), save_every=0.0)
    with killed_at(*PLACES[place](stopped), call, after=after):
        stopped.run()
    resumed = make(tmp_path, options(), save_every=0.0)
    resumed.run()
    same_end(resumed, uninterrupted)


def test_checkpoints_within_an_epoch_change_nothing(tmp_path: Path, uninterrupted: Trainer) -> None:
    trainer = make(tmp_path, options(), save_every=0.0)
    trainer.run()
    same_end(trainer, uninterrupted)
    again = make(tmp_path, options(), save_every=0.0)
    again.run()
    same_end(again, uninterrupted)
    assert json.loads((tmp_path / "latest" / "progress.json").read_text())["epoch"] == 2


def test_another_seed_gives_another_training(tmp_path: Path, uninterrupted: Trainer) -> None:
    trainer = make(tmp_path, options(seed=2))
    trainer.run()
    assert np.any(
        trainer.network.get_params()["output/W"] != uninterrupted.network.get_params()["output/W"]
    )


def test_parameters_are_the_mean_of_the_last_epochs(tmp_path: Path) -> None:
    trainer = make(tmp_path, options(epochs=3, average=2))
    trainer.run()
    kept = [module.load_checkpoint(tmp_path / f"epoch.{e}") for e in (2, 3)]
    for name, value in trainer.network.get_params().items():
        np.testing.assert_allclose(value, (kept[0][name] + kept[1][name]) / 2, rtol=1e-6)
    assert not (tmp_path / "epoch.1.index").exists()


def test_a_step_without_finite_gradients_is_left_out_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = Labels(3)
    data.sequences[1][0][0, 0] = np.nan
    trainer = make(tmp_path, options(epochs=1), data=data)
    before = trainer.network.get_params()
    trainer.run()
    assert "epoch 1: left out 1 of 1 steps, whose gradients are not finite" in caplog.text
    for name, value in trainer.network.get_params().items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize(
    ("net", "count", "how", "text"),
    [
        (
            {"output": {"class": "copy", "from": "data"}},
            3,
            {},
            "found no loss, needed one to train",
        ),
        (None, 0, {}, "train: found no sequence, needed one or more"),
    ],
)
def test_mistakes(tmp_path: Path, net: Any, count: int, how: Any, text: str) -> None:
    with pytest.raises(NetworkError, match=f"^{text}"):
        make(tmp_path, options(**how), net=net, data=Labels(count))


def test_parameters_that_no_loss_needs_stay(tmp_path: Path) -> None:
    aside = {"class": "linear", "n_out": 2, "from": "data", "is_output_layer": True}
    frozen = {"class": "linear", "n_out": 3, "from": "data", "trainable": False}
    net = {"aside": aside, "frozen": frozen, "output": {**SOFTMAX, "from": "frozen"}}
    trainer = make(tmp_path, options(epochs=1), net=net)
    before = trainer.network.get_params()
    trainer.run()
    after = trainer.network.get_params()
    for name, value in before.items():
        assert np.array_equal(value, after[name]) == (not name.startswith("output")), name


def test_running_values_go_on_where_they_stopped(tmp_path: Path) -> None:
    whole = make(tmp_path / "whole", options(), net=NORMALISED)
    whole.run()
    stopped = make(tmp_path / "stopped", options(), net=NORMALISED, save_every=0.0)
    with killed_at(stopped, "_train_step", 3):
        stopped.run()
    again = make(tmp_path / "stopped", options(), net=NORMALISED, save_every=0.0)
    again.run()
    same_end(again, whole)


LSTM = {"class": "rec", "unit": "lstm", "n_out": 4, "from": "data"}
KEPT = {
    "lstm": {**LSTM, "initial_state": "keep_over_epoch"},
    "output": {**SOFTMAX, "from": "lstm"},
}


@pytest.mark.parametrize("call", [2, 3, 4])
def test_kept_states_go_on_where_they_stopped(tmp_path: Path, call: int) -> None:
    whole = make(tmp_path / "whole", options(), net=KEPT)
    whole.run()
    stopped = make(tmp_path / "stopped", options(), net=KEPT, save_every=0.0)
    with killed_at(stopped, "_train_step", call):
        stopped.run()
    again = make(tmp_path / "stopped", options(), net=KEPT, save_every=0.0)
    again.run()
    same_end(again, whole)


def test_states_are_kept_in_an_epoch_and_in_an_evaluation(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = make(tmp_path, options(epochs=1, average=1, batch_sequences=2), net=KEPT)
    assert trainer._batches(trainer.train_data, 0) == [[0, 4], [1, 5], [2, 6], [3, 7]]
    trainer.run()
    loss = count = 0.0
    trainer.network.mode = type(trainer.network.mode)(train=False)
    for row in ([0, 1], [2, 3]):
        trainer.network.reset()
        for i in row:
            read = trainer.dev_data.read(i)
            found = trainer.network.run({k: (x[None], [len(x)]) for k, x in read.items()})
            loss += found.losses["output"].summed
            count += found.losses["output"].weight.sum()
    assert trainer.evaluate()[0] == pytest.approx(loss / count, rel=1e-5)
    assert "left out" not in caplog.text
    make(tmp_path / "other", options(), net=KEPT)
    assert "train: left out the last 2 sequences" in caplog.text


def test_a_step_without_finite_gradients_leaves_no_state(tmp_path: Path) -> None:
    data = Labels(8)
    data.sequences[1][0][0, 0] = np.nan
    trainer = make(tmp_path, options(epochs=1, batch_sequences=2), net=KEPT, data=data)
    trainer.run()
    assert trainer.progress.scores[0]["train_loss"] > 0
    assert all(np.isfinite(x).all() for x in trainer._kept.states.values())


def test_batches_that_go_on_fit(tmp_path: Path) -> None:
    text = "^train: found a batch of .* frames, needed at most batch_frames, 5: .* have 3 sequences"
    with pytest.raises(NetworkError, match=text):
        make(tmp_path, options(batch_frames=5), net=KEPT)
