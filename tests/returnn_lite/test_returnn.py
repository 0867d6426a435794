"""RETURNN's numbers: outputs, losses, gradients and n-best of the same dicts and parameters.

The references were written by make_references.py. With RETURNN_PYTHON set to a Python that has
RETURNN, they are made anew and compared, too.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from eager import Array, Batch, frame_of, run
from returnn_cases import CASES, Case, parameters

from returnn_lite import layers, losses
from returnn_lite.cells import UNITS
from returnn_lite.layers import base
from returnn_lite.losses.base import registered
from returnn_lite.network import Network
from returnn_lite.output import LossValue, Output

HERE = Path(__file__).parent
STORED = HERE / "references"


def reference(folder: Path, name: str) -> dict[str, Array]:
    with np.load(folder / f"{name}.npz", allow_pickle=False) as found:
        return dict(found)


def part(stored: dict[str, Array], kind: str) -> dict[str, Array]:
    return {k.removeprefix(f"{kind}:"): v for k, v in stored.items() if k.startswith(f"{kind}:")}


def loaded(case: Case, stored: dict[str, Array]) -> Network:
    """Return the network with the reference's parameters: those that it has, and no others."""
    network = Network(
        case.net,
        extern_data=case.streams,
        search=case.search,
        outputs=list(case.outputs),
        config=case.config,
    )
    params = part(stored, "param")
    assert network.param_shapes() == {k: v.shape for k, v in params.items()}
    network.set_params(params)
    return network


def batch(stored: dict[str, Array]) -> dict[str, tuple[Array, list[int]]]:
    lengths = part(stored, "lengths")
    return {k: (v, lengths[k].tolist() or None) for k, v in part(stored, "input").items()}


def close(found: Array, needed: Array, name: str, least: float = 1e-3) -> None:
    """Assert that values agree to 1e-5 of their size, or of the greatest one among them.

    least: what the greatest one is taken for if it is smaller.
    """
    finite = np.abs(needed[np.isfinite(needed)]) if needed.dtype.kind in "fc" else np.ones(1)
    greatest = max(finite.max(initial=0.0), least)
    np.testing.assert_allclose(found, needed, rtol=1e-5, atol=1e-5 * greatest, err_msg=name)


def compare(name: str, out: Output, values: Array, lengths: Array | None) -> None:
    x = out.canonical()
    assert x.shape == values.shape, name
    if lengths is not None and out.time_dim is not None and out.time_dim.dynamic:
        np.testing.assert_array_equal(out.lengths[out.time_dim.name], lengths, err_msg=name)
    # Of all dims, what lies behind an end may be anything.
    valid = replace(out, values=np.ones(out.values.shape)).canonical().astype(bool)
    close(x, np.where(valid, values, 0), name)


def by_score(stored: dict[str, Array], names: Iterable[str]) -> dict[str, Array]:
    """Return a reference with the hypotheses sorted, where RETURNN does not, and -inf as here."""
    scores = stored["scores:output"]
    order = np.argsort(-scores, axis=1, kind="stable")
    rows = (np.arange(len(scores))[:, None] * scores.shape[1] + order).reshape(-1)
    found = {**stored, "scores:output": np.take_along_axis(scores, order, axis=1)}
    found["scores:output"][found["scores:output"] < -1e29] = -np.inf
    for key in (f"{kind}:{name}" for name in names for kind in ("output", "output_lengths")):
        if key in stored and len(stored[key]) == len(rows):
            found[key] = stored[key][rows]
    return found


def scores_of(case: Case, out: Output) -> Array:
    """Return the scores as RETURNN has them: those of the steps of a beam, divided by lengths."""
    assert out.scores is not None
    if case.normalised is None:
        return out.scores
    assert out.time_dim is not None
    lengths = out.lengths[out.time_dim.name].reshape(out.scores.shape)
    return out.scores / lengths**case.normalised * lengths.max() ** (case.normalised - 1.0)


def check(name: str, folder: Path) -> None:
    """Compare a case with the references in a folder."""
    case, stored = CASES[name], reference(folder, name)
    network = loaded(case, stored)
    out = run(network, batch(stored), case.outputs, train=case.trains)
    if case.search:
        stored = by_score(stored, names=case.outputs)
        close(scores_of(case, out["output"]), stored["scores:output"], "scores")
    lengths = part(stored, "output_lengths")
    for layer, values in part(stored, "output").items():
        compare(layer, out[layer], values, lengths.get(layer))
    compare_losses(out.losses, stored)
    if "loss" not in stored:
        return
    found = sums_and_gradients(network, batch(stored), train=case.trains)
    np.testing.assert_allclose(found.pop("loss"), stored["loss"], rtol=1e-5)
    # The L2 terms are a difference of float32 here.
    penalty = losses.penalty(network.nodes(), network.variables)
    needed = stored["objective"] - stored["loss"]
    np.testing.assert_allclose(penalty, needed, rtol=1e-5, atol=1e-5 * abs(stored["loss"]))
    frozen = {k for k, v in network.variables.items() if not v.trainable}
    gradients = part(stored, "gradient")
    # Some are zero but for rounding, such as that of a bias before a batch_norm.
    least = 0.01 * max(np.abs(g).max() for g in gradients.values())
    for key, needed in gradients.items():
        if key in frozen:  # of which RETURNN has a gradient when it is asked
            continue
        close(found[key], needed, key, least)


def compare_losses(losses: dict[str, LossValue], stored: dict[str, Array]) -> None:
    """Compare the losses that are there, in a search not all, by layer."""
    if "error" in stored:
        (loss,) = losses.values()
        assert loss.error is not None
        np.testing.assert_allclose(loss.error.sum(), stored["error"], rtol=1e-5)
    parts = {k: part(stored, k) for k in ("value", "errors", "norm")}
    for path, loss in losses.items() if parts["norm"] else ():
        # RETURNN has the prefix of an extra network only where there are two of a name.
        name = path if path in parts["value"] else path.rpartition(":")[2]
        value, error = parts["value"].get(name, 0.0), parts["errors"].get(name)
        np.testing.assert_allclose(loss.value.sum(), value, rtol=1e-5, err_msg=name)
        np.testing.assert_allclose(1.0 / loss.weight.sum(), parts["norm"][name], rtol=1e-5)
        assert (loss.error is None) == (error is None), name
        if loss.error is not None:
            np.testing.assert_allclose(loss.error.sum(), error, rtol=1e-5, err_msg=name)


def sums_and_gradients(network: Network, data: Batch, *, train: bool) -> dict[str, Array]:
    """Return the scaled sum of the losses, which RETURNN does not divide, and its gradients."""
    import tensorflow as tf

    with tf.GradientTape() as tape:
        total = losses.summed(network.losses(frame_of(network, data, train=train)))
    gradients = tape.gradient(total, network.variables, unconnected_gradients="zero")
    return {"loss": total.numpy()} | {
        k: tf.convert_to_tensor(g).numpy() for k, g in gradients.items()
    }


# What there is no number of RETURNN's for, and why.
WITHOUT_RETURNN = {
    **dict.fromkeys(["name_axis", "reverse_sequence"], "was in a setup's own RETURNN"),
    **dict.fromkeys(["hmm_factorization", "addonehot"], "was in a setup's own RETURNN"),
    **dict.fromkeys(
        ["sampling", "sampled_logits", "gauss_weighting"], "was in a setup's own RETURNN"
    ),
    **dict.fromkeys(["random", "rand_int", "spec_augment", "vtlp"], "draws other numbers"),
    "dynamic_depthwise_conv": "is not in RETURNN",
    "get_beamed_layer": "was in a setup's own RETURNN",
    "fold": "takes dims that are RETURNN's objects alone",
    "hdf_dump": "writes a file, see test_hdf_dump",
    "kenlm": "needs KenLM's sources to be compiled in RETURNN, see test_kenlm",
    "twod_lstm": "runs on a GPU alone",
}
LOSSES_WITHOUT_RETURNN = {
    "fast_bw": "takes automata of other programs there, see test_hmm_loss",
    "bleu": "has one more of each n-gram here, see test_bleu",
    "transducer": "is not in RETURNN",
}
UNITS_WITHOUT_RETURNN = {"cumsum", "nativelstm2storestates", "cudnnlstm", "lstmblockfused"}


def test_there_is_a_network_for_every_layer_loss_and_unit() -> None:
    layers.load()
    dicts = [d for case in CASES.values() for d in _dicts(case.net)]
    classes = {base._ALIASES.get(d["class"], d["class"]) for d in dicts}
    assert classes | set(WITHOUT_RETURNN) >= set(base.layer_classes())
    assert not classes & set(WITHOUT_RETURNN)
    used = {d["loss"] for d in dicts if d.get("loss")}
    assert used | set(LOSSES_WITHOUT_RETURNN) >= set(registered())
    assert not used & set(LOSSES_WITHOUT_RETURNN)
    units = {d["unit"].lower() for d in dicts if isinstance(d.get("unit"), str)}
    assert units | UNITS_WITHOUT_RETURNN >= set(UNITS)
    assert len(CASES) >= 150


def _dicts(net: Any) -> Iterator[dict[str, Any]]:
    """Yield the dicts of all layers, those in units and subnetworks included."""
    if isinstance(net, dict):
        if isinstance(net.get("class"), str) and not net["class"][0].isupper():
            yield net
        for value in net.values():
            yield from _dicts(value)


@pytest.mark.parametrize("name", CASES)
def test_numbers_are_returnns(name: str) -> None:
    check(name, STORED)


@pytest.mark.parametrize("name", CASES)
def test_references_are_of_the_cases_as_they_are(name: str) -> None:
    stored, case = reference(STORED, name), CASES[name]
    for key, (values, lengths) in case.batch().items():
        np.testing.assert_allclose(stored[f"input:{key}"], values, rtol=1e-6)
        assert stored[f"lengths:{key}"].tolist() == lengths
    params = part(stored, "param")
    for key, value in parameters({k: v.shape for k, v in params.items()}).items():
        np.testing.assert_allclose(params[key], value, rtol=1e-6)


@pytest.mark.skipif("RETURNN_PYTHON" not in os.environ, reason="RETURNN_PYTHON is not set")
def test_numbers_are_those_of_returnn_now(tmp_path: Path) -> None:
    path = os.pathsep.join([str(HERE.parents[1]), str(HERE)])
    command = [os.environ["RETURNN_PYTHON"], str(HERE / "make_references.py"), str(tmp_path)]
    # Without this, RETURNN compiles for a GPU wherever it finds nvcc.
    more = {"PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": ""}
    subprocess.run(command, check=True, env={**os.environ, **more}, cwd=tmp_path)
    for name in CASES:
        check(name, tmp_path)
