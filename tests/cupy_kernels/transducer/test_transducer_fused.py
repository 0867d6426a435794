"""Transducer with its joint network: what a caller sees, the references, slices, bad arguments."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joint_cases import as_numpy, by_slices, joint_case, joint_network

from cupy_kernels.check import ArgumentError
from cupy_kernels.transducer import (
    activations,
    fused,
    fused_reference,
    joint,
    transducer_align,
    transducer_fused_align,
    transducer_fused_backward,
    transducer_fused_forward,
    transducer_fused_loss,
    transducer_loss,
)
from cupy_kernels.transducer.arguments import TOPOLOGIES

each_topology = pytest.mark.parametrize("topology", TOPOLOGIES)
each_emission = pytest.mark.parametrize("separate_emit", [False, True])


def _problem(sequences: Any, **options: Any) -> list[Any]:
    """The case of the table with a joint network; where it has frames of padding, these are NaN."""
    time, batch, vocabulary = sequences.logits.shape
    network = joint_network(batch, time, sequences.labels.shape[1] + 1, vocabulary, **options)
    for b, length in enumerate(sequences.logit_lengths):
        network[0][b, length:] = np.nan
    return [*network, *sequences[1:]]


@pytest.mark.parametrize(
    ("topology", "separate_emit"), [("rnnt", False), ("rna", True), ("ctc", False)]
)
def test_equals_the_reference(
    xp: ModuleType, sequences: Any, topology: str, separate_emit: bool
) -> None:
    problem = _problem(sequences)
    options: dict[str, Any] = {"blank": 0, "topology": topology, "separate_emit": separate_emit}
    arrays = [xp.asarray(x) for x in problem]
    d_loss = np.random.default_rng(9).standard_normal(len(problem[0])).astype(np.float32)
    loss, saved = transducer_fused_forward(*arrays, **options)
    grads = transducer_fused_backward(xp.asarray(d_loss), saved, *arrays, **options)
    loss64, _, slopes = fused_reference.forward(*problem, **options)
    grads64 = fused_reference.backward(d_loss, slopes, *problem, **options)
    np.testing.assert_allclose(as_numpy(loss), loss64, rtol=2e-6, atol=1e-5)
    for found, wanted, argument in zip(map(as_numpy, grads), grads64, problem, strict=False):
        assert (found.dtype, found.shape) == (np.float32, argument.shape)
        np.testing.assert_allclose(
            found, wanted, rtol=1e-4, atol=2e-4 * max(1, abs(wanted).max(initial=0))
        )
    for b, (length, count) in enumerate(zip(*sequences[1::2], strict=True)):
        assert not as_numpy(grads[0])[b, length:].any()
        assert not as_numpy(grads[1])[b, count + 1 :].any()


@each_topology
@pytest.mark.parametrize("activation", activations.ACTIVATIONS)
@each_emission
def test_equals_the_loss_of_all_log_probabilities(
    topology: str, activation: str, separate_emit: bool
) -> None:
    case = joint_case(pieces=2 if activation == "maxout" else 1)
    encoder, predictor, weight, bias, *rest = case
    h, _ = fused_reference.hidden(encoder, predictor, activation)
    full = fused_reference.log_probs(h @ weight + bias, 2, separate_emit).astype(np.float32)
    options: dict[str, Any] = {"blank": 2, "topology": topology}
    joint_options: dict[str, Any] = {"activation": activation, "separate_emit": separate_emit}
    loss, _, _, _, d_bias = transducer_fused_loss(*case, **options, **joint_options)
    loss2, grad = transducer_loss(full, *rest, **options)
    np.testing.assert_allclose(loss, loss2, rtol=2e-6)
    dx = fused_reference.logit_gradient(grad, h @ weight + bias, 2, separate_emit)
    np.testing.assert_allclose(d_bias, dx.sum(axis=(0, 1, 2)), atol=1e-5)
    found = transducer_fused_align(*case, **options, **joint_options)
    alignment, lengths, score = transducer_align(full, *rest, **options)
    np.testing.assert_array_equal(found[0], alignment)
    np.testing.assert_array_equal(found[1], lengths)
    np.testing.assert_allclose(found[2], score, rtol=2e-6)


@each_topology
@pytest.mark.parametrize("activation", activations.ACTIVATIONS)
@each_emission
def test_reference_gradient_equals_differences(
    topology: str, activation: str, separate_emit: bool
) -> None:
    """Of a random combination of losses, in a random direction of all arguments at once."""
    rng = np.random.default_rng(4)
    case = joint_case(pieces=2 if activation == "maxout" else 1)
    inputs, rest = [x.astype(np.float64) for x in case[:4]], case[4:]
    options: dict[str, Any] = {"blank": 0, "topology": topology}
    options |= {"activation": activation, "separate_emit": separate_emit}
    d_loss = rng.standard_normal(2)
    directions = [rng.standard_normal(x.shape) for x in inputs]

    def value(step: float) -> float:
        moved = [x + step * d for x, d in zip(inputs, directions, strict=True)]
        loss, _, _ = fused_reference.forward(*moved, *rest, **options)
        return float(d_loss @ loss)

    _, _, slopes = fused_reference.forward(*inputs, *rest, **options)
    grads = fused_reference.backward(d_loss, slopes, *inputs, *rest, **options)
    found = sum((g * d).sum() for g, d in zip(grads, directions, strict=True))
    np.testing.assert_allclose(found, (value(1e-6) - value(-1e-6)) / 2e-6, rtol=1e-6)


@each_topology
@pytest.mark.parametrize("activation", activations.ACTIVATIONS)
@each_emission
def test_slices_give_the_same(
    topology: str, activation: str, separate_emit: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joint, "SLICE_ELEMENTS", 500)
    case = joint_case(pieces=2 if activation == "maxout" else 1)
    options = fused.Options(0, topology, activation, separate_emit)
    d_loss = np.array([1, -2], np.float32)
    loss, grads = by_slices(case, d_loss, options)
    loss2, saved = transducer_fused_forward(*case, **options._asdict())
    grads2 = transducer_fused_backward(d_loss, saved, *case, **options._asdict())
    np.testing.assert_allclose(loss, loss2, rtol=1e-6)
    for found, wanted in zip(grads, grads2, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


@each_topology
def test_what_is_negligible_may_be_left_out(topology: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long lattice, of which most nodes hardly matter; the gradient is that of all nodes."""
    case = [*joint_network(1, 150, 31, 9), np.array([150], np.int32)]
    case += [np.random.default_rng(1).integers(1, 9, (1, 30), np.int32), np.array([30], np.int32)]
    options: dict[str, Any] = {"blank": 0, "topology": topology}
    found = transducer_fused_loss(*case, **options)
    some = joint._not_negligible
    counts = []

    def all_of_them(targets: Any, d_loss: Any, saved: Any) -> Any:
        counts.append((some(targets, d_loss, saved).sum(), joint._on_paths(targets).sum()))
        return joint._on_paths(targets)

    monkeypatch.setattr(joint, "_not_negligible", all_of_them)
    wanted = transducer_fused_loss(*case, **options)
    assert counts[0][0] < 0.6 * counts[0][1]
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=3e-7 * abs(b).max())


@each_emission
@pytest.mark.parametrize("threads", [2, 3])
def test_runs_are_equal_bit_for_bit(separate_emit: bool, threads: int) -> None:
    case = [*joint_network(3, 40, 13, 130, joint_size=70), np.array([40, 31, 40], np.int32)]
    case += [np.random.default_rng(1).integers(1, 130, (3, 12), np.int32)]
    case += [np.array([12, 5, 9], np.int32)]
    options: dict[str, Any] = {"blank": 0, "topology": "rnnt", "separate_emit": separate_emit}
    first = transducer_fused_loss(*case, **options, threads=1)
    for _ in range(2):
        second = transducer_fused_loss(*case, **options, threads=threads)
        for a, b in zip(first, second, strict=True):
            np.testing.assert_array_equal(a, b)


def test_nothing_is_written_into_saved_and_twice_is_the_same() -> None:
    case = joint_case()
    options: dict[str, Any] = {"blank": 0, "topology": "ctc"}
    _, saved = transducer_fused_forward(*case, **options)
    copies = [x.copy() for x in (*case, *saved)]
    d_loss = np.array([2, -1], np.float32)
    first = transducer_fused_backward(d_loss, saved, *case, **options)
    second = transducer_fused_backward(d_loss, saved, *case, **options)
    for a, b in zip((*first, *case, *saved), (*second, *copies), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_spoilt_sequence_can_be_left_out(xp: ModuleType, value: float) -> None:
    case = joint_case()
    options: dict[str, Any] = {"blank": 0, "topology": "rna", "activation": "linear"}
    clean = transducer_fused_loss(*case, **options)
    case[0][1, 2, 0] = value
    arrays = [xp.asarray(x) for x in case]
    with np.errstate(invalid="ignore"):
        loss, saved = transducer_fused_forward(*arrays, **options)
        assert np.isnan(as_numpy(loss)).tolist() == [False, True]
        ones = xp.ones(2, np.float32)
        d_encoder, *_ = map(as_numpy, transducer_fused_backward(ones, saved, *arrays, **options))
        d_loss = xp.asarray(np.array([1, 0], np.float32))
        kept = [as_numpy(x) for x in transducer_fused_backward(d_loss, saved, *arrays, **options)]
    assert np.isnan(d_encoder[1]).any()
    np.testing.assert_allclose(d_encoder[0], clean[1][0], rtol=1e-4, atol=1e-6)
    assert all(np.isfinite(x).all() for x in kept)
    assert not kept[0][1].any()


@each_topology
def test_empty_axes(topology: str) -> None:
    options: dict[str, Any] = {"blank": 0, "topology": topology}
    for batch, time, width in [(0, 3, 2), (2, 0, 0), (2, 3, 0)]:
        lengths = np.full(batch, time, np.int32), np.zeros((batch, width), np.int32)
        case = [*joint_network(batch, time, width + 1, 5), *lengths, np.zeros(batch, np.int32)]
        loss, *grads = transducer_fused_loss(*case, **options)
        assert np.isfinite(loss).all()
        assert [x.shape for x in grads] == [x.shape for x in case[:4]]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), topology=st.sampled_from(TOPOLOGIES), emit=st.booleans())
def test_any_shape_equals_the_reference(seed: int, topology: str, emit: bool) -> None:
    rng = np.random.default_rng(seed)
    batch, time, width, vocabulary, size = (
        int(x) for x in rng.integers([1, 1, 0, 2, 1], [4, 9, 6, 150, 140])
    )
    activation = activations.ACTIVATIONS[rng.integers(len(activations.ACTIVATIONS))]
    pieces = 2 if activation == "maxout" else 1
    case = [*joint_network(batch, time, width + 1, vocabulary, size, pieces)]
    case[2] /= np.float32(size**0.5)
    case += [
        rng.integers(0, time + 1, batch, dtype=np.int32),
        rng.integers(1, vocabulary, (batch, width), dtype=np.int32),
        rng.integers(0, width + 1, batch, dtype=np.int32),
    ]
    options: dict[str, Any] = {"blank": 0, "topology": topology}
    options |= {"activation": activation, "separate_emit": emit}
    loss, *grads = transducer_fused_loss(*case, **options, threads=1)
    loss64, _, slopes = fused_reference.forward(*case, **options)
    np.testing.assert_allclose(loss, loss64, rtol=1e-5, atol=1e-5)
    grads64 = fused_reference.backward(np.ones(batch), slopes, *case, **options)
    for found, wanted in zip(grads, grads64, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=3e-5)


@pytest.mark.parametrize(
    ("position", "change", "message"),
    [
        (0, lambda x: x.astype(np.float64), r"\(encoder\): found float64, needed float32; try enc"),
        (0, lambda x: x[..., ::-1], r"\(encoder\): found a non-contiguous view, needed a contig"),
        (0, lambda x: x[:1].copy(), r"\(encoder\): found shape \(1, 6, 7\), needed \[batch=2"),
        (1, lambda x: x[:, 1:].copy(), r"\(predictor\): found shape \(2, 3, 7\), needed .*rows=4"),
        (1, lambda x: x.tolist(), r"\(predictor\): found a list, needed a numpy or cupy array"),
        (2, lambda x: x[1:].copy(), r"\(weight\): found shape \(6, 70\), needed \[joint=7, voc"),
        (3, lambda x: x[1:].copy(), r"\(bias\): found shape \(69,\), needed \[vocab=70\]"),
        (4, lambda x: x + 1, r"\(frames\[0\]\): found 7, needed 0 to 6"),
        (5, lambda x: x + 1, r"\(labels\[0, 2\]\): found 70, needed 0 to 69 without the blank 0"),
        (6, lambda x: x + 1, r"\(label_lengths\[0\]\): found 4, needed 0 to 3"),
    ],
)
def test_wrong_arguments_are_named(position: int, change: Any, message: str) -> None:
    case = joint_case()
    case[position] = change(case[position])
    with pytest.raises(ArgumentError, match=r"transducer_fused_forward " + message):
        transducer_fused_forward(*case, blank=0, topology="rna")


def test_wrong_options_are_named() -> None:
    case = joint_case()
    for change, message in [
        ({"blank": 70}, r"\(blank\): found 70, needed 0 to 69 \(the vocabulary\)"),
        ({"activation": "cos"}, r"\(activation\): found 'cos', needed one of tanh, relu, linear"),
        ({"activation": "maxout"}, r"\(encoder\): found 7 inputs, needed an even number for maxo"),
        ({"topology": "hmm"}, r"\(topology\): found 'hmm', needed one of rnnt, rna, ctc"),
    ]:
        with pytest.raises(ArgumentError, match="transducer_fused_loss|fused_forward " + message):
            transducer_fused_loss(*case, **({"blank": 0, "topology": "rna"} | change))
    _, saved = transducer_fused_forward(*case, blank=0, topology="rna")
    message = r"fused_backward \(d_loss\): found shape \(3,\), needed \[batch=2\]"
    with pytest.raises(ArgumentError, match=message):
        ones = np.ones(3, np.float32)
        transducer_fused_backward(ones, saved, *case, blank=0, topology="rna")
    message = r"fused_backward \(label\): found shape \(2, 6, 4\), needed"
    with pytest.raises(ArgumentError, match=message):
        wrong = saved._replace(label=saved.blank)
        transducer_fused_backward(ones[:2], wrong, *case, blank=0, topology="rna")


def test_kernels_count_the_activations_as_the_table_does() -> None:
    """An order of its own on one side would take one function for another."""
    header = Path(activations.__file__).with_name("activation.h").read_text()
    names = [name.lower() for name in re.findall(r"^  A\((\w+),", header, re.MULTILINE)]
    assert (*names, "maxout") == activations.ACTIVATIONS


@pytest.mark.parametrize("activation", activations.ACTIVATIONS)
def test_activations_over_their_whole_range(activation: str) -> None:
    """Value and slope of one input, told by a label's score and the encoder's gradient."""
    inputs = 2 if activation == "maxout" else 1
    z = np.linspace(-12, 12, 601, dtype=np.float32)
    encoder = np.zeros((1, len(z), inputs), np.float32)
    encoder[0, :, 0] = z
    case = [encoder, np.zeros((1, 1, inputs), np.float32), np.array([[1, 0]], np.float32)]
    case += [np.zeros(2, np.float32), np.array([len(z)], np.int32), np.zeros((1, 0), np.int32)]
    case += [np.zeros(1, np.int32)]
    options: dict[str, Any] = {"blank": 0, "topology": "rna", "activation": activation}
    _, saved = transducer_fused_forward(*case, **options)
    d_encoder, *_ = transducer_fused_backward(np.ones(1, np.float32), saved, *case, **options)
    _, norm, slopes = fused_reference.forward(*case, **options)
    wanted, *_ = fused_reference.backward(np.ones(1), slopes, *case, **options)
    np.testing.assert_allclose(saved.log_norm, norm, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(d_encoder, wanted, rtol=2e-5, atol=2e-6)


def test_targets_that_do_not_fit_may_be_skipped() -> None:
    case = joint_case()
    case[4] = np.array([6, 1], np.int32)
    options: dict[str, Any] = {"blank": 0, "topology": "rna"}
    loss, *grads = transducer_fused_loss(*case, **options)
    skipped, *same = transducer_fused_loss(*case, **options, infeasible="skip")
    assert loss[1] == np.inf
    assert skipped.tolist() == [loss[0], 0.0]
    for a, b in zip(same, grads, strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(
        ArgumentError, match=r"fused_forward \(infeasible\): found '', needed 'inf'"
    ):
        transducer_fused_loss(*case, **options, infeasible="")
