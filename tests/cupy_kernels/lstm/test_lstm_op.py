"""LSTM: what a caller sees, then the reference, TensorFlow's, and bad arguments."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest

from cupy_kernels.check import ArgumentError
from cupy_kernels.lstm import LstmSaved, lstm_backward, lstm_forward, reference, stepwise
from cupy_kernels.lstm.source import SOURCE


class Case(NamedTuple):
    """Arguments of the forward pass."""

    z: Any
    w_re: Any
    lengths: Any
    y0: Any
    c0: Any


def _case(lengths: list[int], units: int, scale: float = 1.0) -> Case:
    rng = np.random.default_rng(units)
    time, batch = max(lengths), len(lengths)

    def normal(*shape: int) -> Any:
        return rng.standard_normal(shape, np.float32)

    w = normal(units, 4 * units) / np.float32(units**0.5)
    z = normal(time, batch, 4 * units) * np.float32(scale)
    states = normal(batch, units), normal(batch, units)
    return Case(z, w, np.array(lengths, np.int32), *states)


CASES = {
    "ragged": ([9, 4, 1, 0, 7], 20, 1.0),
    "one frame, one unit": ([1], 1, 1.0),
    "units of a panel": ([3, 5], 16, 1.0),
    "units behind a panel": ([5, 2, 6], 70, 1.0),
    "more rows than a tile": ([4] * 20 + [2] * 3, 33, 1.0),
    "more frames than a block of sums": ([70, 50, 61, 70, 8], 8, 1.0),
    "inputs of 50": ([6, 6], 7, 50.0),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return _case(*CASES[request.param])


def _numpy(x: Any) -> Any:
    return x.get() if hasattr(x, "get") else x


def _cotangents(case: Case) -> tuple[Any, Any]:
    rng = np.random.default_rng(1)
    shape = (*case.z.shape[:2], case.y0.shape[1])
    return rng.standard_normal(shape, np.float32), rng.standard_normal(shape[1:], np.float32)


def _run(case: Case, dy: Any, dc: Any, **options: Any) -> tuple[list[Any], list[Any]]:
    """Results of the forward pass (y, c_final, gates, cells) and of the backward pass."""
    y, c_final, saved = lstm_forward(*case, **options)
    grads = lstm_backward(dy, dc, saved, y, *case[1:], **options)
    return [_numpy(x) for x in (y, c_final, *saved)], [_numpy(x) for x in grads]


def _reference(case: Case, dy: Any, dc: Any, direction: int) -> tuple[list[Any], list[Any]]:
    y, c_final, gates, cells = reference.lstm_forward(*case, direction=direction)
    saved = (gates, cells, y)
    grads = reference.lstm_backward(dy, dc, *saved, *case[1:], direction=direction)
    return [y, c_final, gates, cells], list(grads)


@pytest.mark.parametrize("direction", [1, -1])
def test_equals_the_reference(xp: ModuleType, case: Case, direction: int) -> None:
    dy, dc = _cotangents(case)
    arrays = Case(*(xp.asarray(x) for x in case))
    results, grads = _run(arrays, xp.asarray(dy), xp.asarray(dc), direction=direction)
    results64, grads64 = _reference(case, dy, dc, direction)
    for found, wanted in zip([*results, *grads], [*results64, *grads64], strict=True):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=2e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("direction", [1, -1])
def test_frame_by_frame_form_of_the_gpu_equals_the_reference(case: Case, direction: int) -> None:
    dy, dc = _cotangents(case)
    forward = stepwise.forward(np, SOURCE, *case, direction)
    y, _, *saved = forward
    grads = stepwise.backward(np, SOURCE, dy, dc, *saved, y, *case[1:], direction)
    results64, grads64 = _reference(case, dy, dc, direction)
    for found, wanted in zip([*forward, *grads], [*results64, *grads64], strict=True):
        np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=2e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("direction", [1, -1])
def test_padding_is_zero_and_does_not_matter(xp: ModuleType, direction: int) -> None:
    case = _case(*CASES["ragged"])
    dy, dc = _cotangents(case)
    padding = np.arange(len(case.z))[:, None] >= case.lengths
    spoilt = case.z.copy()
    spoilt[padding] = np.nan
    arrays = Case(*(xp.asarray(x) for x in case._replace(z=spoilt)))
    results, grads = _run(arrays, xp.asarray(dy), xp.asarray(dc), direction=direction)
    clean = _run(case, dy, dc, direction=direction)
    for found, wanted in zip([*results, *grads], [*clean[0], *clean[1]], strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    assert not results[0][padding].any()
    assert not grads[0][padding].any()


def test_sequence_without_frames_keeps_its_state() -> None:
    case = _case([0, 2], 3)
    dy, dc = _cotangents(case)
    results, (_, _, dy0, dc0) = _run(case, dy, dc)
    np.testing.assert_array_equal(results[1][0], case.c0[0])
    np.testing.assert_array_equal(dc0[0], dc[0])
    assert not dy0[0].any()


def test_backward_direction_is_forward_on_reversed_sequences() -> None:
    case = _case([6, 4], 5)
    turned = case.z.copy()
    for b, length in enumerate(case.lengths):
        turned[:length, b] = case.z[:length, b][::-1]
    y, c_final, _ = lstm_forward(*case, direction=-1)
    y2, c_final2, _ = lstm_forward(*case._replace(z=turned), direction=1)
    np.testing.assert_array_equal(c_final, c_final2)
    for b, length in enumerate(case.lengths):
        np.testing.assert_array_equal(y[:length, b], y2[:length, b][::-1])


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_runs_are_equal_bit_for_bit(xp: ModuleType, case: Case, threads: int) -> None:
    dy, dc = map(xp.asarray, _cotangents(case))
    arrays = Case(*(xp.asarray(x) for x in case))
    first, second = (_run(arrays, dy, dc, threads=n) for n in (1, threads))
    for a, b in zip([*first[0], *first[1]], [*second[0], *second[1]], strict=True):
        np.testing.assert_array_equal(a, b)


def test_backward_twice_is_equal_and_leaves_saved_alone() -> None:
    case = _case([5, 3], 9)
    dy, dc = _cotangents(case)
    y, _, saved = lstm_forward(*case)
    before = [x.copy() for x in (*saved, y, dy, dc)]
    first, second = (lstm_backward(dy, dc, saved, y, *case[1:]) for _ in range(2))
    for a, b in zip([*first, *before], [*second, *saved, y, dy, dc], strict=True):
        np.testing.assert_array_equal(a, b)


def test_both_directions_at_once_in_two_threads() -> None:
    case = _case([30, 21, 14], 40)
    dy, dc = _cotangents(case)
    alone = [_run(case, dy, dc, direction=d, threads=1) for d in (1, -1)]
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(_run, case, dy, dc, direction=d, threads=1) for d in (1, -1)]
        together = [job.result() for job in jobs]
    for a, b in zip(alone, together, strict=True):
        for x, y in zip([*a[0], *a[1]], [*b[0], *b[1]], strict=True):
            np.testing.assert_array_equal(x, y)


def test_empty_batch_and_empty_time() -> None:
    for time, batch in ((0, 2), (3, 0)):
        states = np.ones((batch, 4), np.float32)
        z, w = np.zeros((time, batch, 16), np.float32), np.ones((4, 16), np.float32)
        case = Case(z, w, np.zeros(batch, np.int32), states, states)
        dy = np.zeros((time, batch, 4), np.float32)
        results, grads = _run(case, dy, states)
        np.testing.assert_array_equal(results[1], states)
        assert grads[0].shape == z.shape
        assert not grads[1].any()


@pytest.mark.parametrize("direction", [1, -1])
def test_keras_agrees(direction: int) -> None:
    """Keras has the gates in the order input, forget, cell input, output, and adds no forget bias
    when its parameters are given; its input weights are the identity here."""
    tf = pytest.importorskip("tensorflow", reason="TensorFlow is not installed")
    case = _case([7, 5, 7], 10)
    dy, dc = _cotangents(case)
    padding = np.arange(7)[:, None] >= case.lengths
    dy[padding] = 0.0  # Keras repeats the last output there

    def reorder(x: Any) -> Any:
        a, i, f, o = np.split(x, 4, axis=-1)
        return np.concatenate([i, f, a, o], axis=-1)

    z, w, y0, c0 = map(tf.Variable, (reorder(case.z), reorder(case.w_re), case.y0, case.c0))
    layer = tf.keras.layers.LSTM(
        10, return_sequences=True, return_state=True, go_backwards=direction < 0, use_cudnn=False
    )
    layer.build((3, 7, 40))
    layer.set_weights([np.eye(40), w, np.zeros(40)])
    with tf.GradientTape() as tape:
        inputs, mask = tf.transpose(z, [1, 0, 2]), tf.constant(~padding.T)
        y, _, c_final = layer(inputs, mask=mask, initial_state=[y0, c0])
        y = tf.transpose(y, [1, 0, 2])[::direction]
        value = tf.reduce_sum(y * dy) + tf.reduce_sum(c_final * dc)
    sources = [z, layer.cell.recurrent_kernel.value, y0, c0]
    theirs = tape.gradient(value, sources)
    results, grads = _run(case, dy, dc, direction=direction)
    np.testing.assert_allclose(results[0][~padding], y.numpy()[~padding], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(results[1], c_final, rtol=1e-4, atol=1e-5)
    ours = (reorder(grads[0]), reorder(grads[1]), *grads[2:])
    for found, wanted in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("direction", [1, -1])
def test_pytorch_agrees(direction: int) -> None:
    """One half of a bidirectional LSTM, whose gates are in Keras's order and input weights one."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    case = _case([7, 5, 7], 10)
    dy, dc = _cotangents(case)
    half = (slice(0, 10), slice(10, 20))[direction < 0]

    def reorder(x: Any) -> Any:
        a, i, f, o = np.split(x, 4, axis=-1)
        return np.concatenate([i, f, a, o], axis=-1)

    def back(x: Any) -> Any:
        i, f, a, o = np.split(x.detach().numpy(), 4, axis=-1)
        return np.concatenate([a, i, f, o], axis=-1)

    layer = torch.nn.LSTM(40, 10, bias=False, bidirectional=True)
    way = "_reverse" * (direction < 0)
    weight = getattr(layer, f"weight_hh_l0{way}")
    with torch.no_grad():
        weight.copy_(torch.from_numpy(reorder(case.w_re).T))
        getattr(layer, f"weight_ih_l0{way}").copy_(torch.eye(40))
    z = torch.from_numpy(reorder(case.z)).requires_grad_()
    y0, c0 = (torch.from_numpy(np.stack([x, x])).requires_grad_() for x in case[3:])
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        z, torch.from_numpy(case.lengths), enforce_sorted=False
    )
    y, (_, c_final) = layer(packed, (y0, c0))
    y = torch.nn.utils.rnn.pad_packed_sequence(y)[0][:, :, half]
    c_final = c_final[int(direction < 0)]
    value = (y * torch.from_numpy(dy)).sum() + (c_final * torch.from_numpy(dc)).sum()
    value.backward()
    results, grads = _run(case, dy, dc, direction=direction)
    np.testing.assert_allclose(results[0], y.detach(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(results[1], c_final.detach(), rtol=1e-4, atol=1e-5)
    states = [x.grad[int(direction < 0)].numpy() for x in (y0, c0)]
    theirs = (back(z.grad), back(weight.grad.T), *states)
    for found, wanted in zip(grads, theirs, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"z": lambda x: x.astype(np.float64)}, r"\(z\): found float64, needed float32; try z.as"),
        ({"z": lambda x: x[::2]}, r"\(z\): found a non-contiguous view, needed a contiguous arra"),
        ({"z": lambda x: x[0]}, r"\(z\): found shape \(2, 12\), needed \[time=any, batch=any, ga"),
        ({"w_re": lambda x: x.T.copy()}, r"\(w_re\): found shape \(12, 3\), needed \[units=3, ga"),
        ({"z": lambda x: x[:, :, 1:].copy()}, r"\(z\): found 11 gates, needed four times the un"),
        ({"y0": lambda x: x[:, :2].copy()}, r"\(y0\): found shape \(2, 2\), needed \[batch=2, un"),
        ({"c0": lambda x: x[:1]}, r"\(c0\): found shape \(1, 3\), needed \[batch=2, units=3\]"),
        ({"lengths": lambda x: x + 1}, r"\(lengths\[0\]\): found 5, needed 0 to 4 \(the time ax"),
        ({"lengths": lambda x: x.tolist()}, r"\(lengths\): found a list, needed a numpy or cupy"),
    ],
)
def test_wrong_arguments_are_named(changes: Any, message: str) -> None:
    case = _case([4, 2], 3)
    case = case._replace(**{name: change(getattr(case, name)) for name, change in changes.items()})
    with pytest.raises(ArgumentError, match=r"lstm_forward " + message):
        lstm_forward(*case)


def test_wrong_arguments_of_the_backward_pass_are_named() -> None:
    case = _case([4, 2], 3)
    dy, dc = _cotangents(case)
    y, _, saved = lstm_forward(*case)
    with pytest.raises(ArgumentError, match=r"lstm_backward \(dy\): found shape \(3, 2, 3\)"):
        lstm_backward(dy[:3], dc, saved, y, *case[1:])
    wrong = LstmSaved(saved.gates, saved.cells.astype(np.float64))
    with pytest.raises(ArgumentError, match=r"lstm_backward \(cells\): found float64, needed"):
        lstm_backward(dy, dc, wrong, y, *case[1:])
    with pytest.raises(ArgumentError, match=r"lstm_backward \(direction\): found 0, needed 1 or"):
        lstm_backward(dy, dc, saved, y, *case[1:], direction=0)
