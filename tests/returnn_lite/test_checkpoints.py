"""Checkpoints go both ways between RETURNN and this project, with the same outputs.

The stored one is RETURNN's, written by make_checkpoint.py. With RETURNN_PYTHON set to a Python that
has RETURNN, it is made anew, and one of ours is read there.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from eager import run
from returnn_cases import CASES, parameters
from test_returnn import compare, part, reference

from returnn_lite import Network, NetworkError

HERE = Path(__file__).parent
NAME = "blstm"
CASE = CASES[NAME]
STORED = HERE / "references" / "checkpoint" / "model"


def network() -> Network:
    return Network(CASE.net, extern_data=CASE.streams, outputs=list(CASE.outputs))


def returnn(prefix: Path, mode: str) -> None:
    """Let RETURNN write or read a checkpoint."""
    command = [os.environ["RETURNN_PYTHON"], str(HERE / "make_checkpoint.py"), NAME, str(prefix)]
    path = os.pathsep.join([str(HERE.parents[1]), str(HERE)])
    more = {"PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": ""}
    subprocess.run([*command, mode], check=True, env={**os.environ, **more}, cwd=prefix.parent)


def check(net: Network, prefix: Path) -> None:
    """Compare outputs with those that RETURNN has for the same checkpoint."""
    stored = reference(prefix.parent, prefix.name)
    out = run(net, CASE.batch(), CASE.outputs, with_losses=False)
    for layer, values in part(stored, "output").items():
        compare(layer, out[layer], values, part(stored, "output_lengths").get(layer))


def test_a_checkpoint_of_returnn() -> None:
    net = network()
    net.load(STORED)
    needed = parameters(net.param_shapes())
    found = net.get_params()
    assert found.keys() == needed.keys()
    for name, value in needed.items():
        np.testing.assert_array_equal(found[name], value)
    check(net, STORED)


def test_what_returnn_asks_for_is_in_ours(tmp_path: Path) -> None:
    import tensorflow as tf

    net = network()
    net.load(STORED)
    net.save(tmp_path / "model")
    ours, theirs = (tf.train.list_variables(str(p)) for p in (tmp_path / "model", STORED))
    assert ours == theirs
    # It may have parameters of layers that a network does not need, but no others.
    pool = Network(CASE.net, extern_data=CASE.streams, outputs=["pool"])
    pool.load(tmp_path / "model")
    dropped = {n: opts for n, opts in CASE.net.items() if not n.startswith(("lstm1", "output"))}
    other = Network(dropped, extern_data=CASE.streams, outputs=["pool"])
    with pytest.raises(NetworkError, match=r"found the parameter 'lstm1_bw/rec/W' and 7 others, n"):
        other.load(tmp_path / "model")
    other.load(tmp_path / "model", subset=True)
    for name, value in other.get_params().items():
        np.testing.assert_array_equal(value, net.get_params()[name])


@pytest.mark.skipif("RETURNN_PYTHON" not in os.environ, reason="RETURNN_PYTHON is not set")
def test_checkpoints_go_both_ways_now(tmp_path: Path) -> None:
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    returnn(theirs, "write")
    net = network()
    net.load(theirs)
    check(net, theirs)
    rng = np.random.default_rng(3)
    values = {n: rng.standard_normal(s) for n, s in net.param_shapes().items()}
    net.set_params(values)
    net.save(ours)
    returnn(ours, "read")
    check(net, ours)
