"""Networks: what is built and run, what a batch may be, and mistakes in either, by text."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from eager import dense, random_parameters, run, sparse
from models import FEATURES, decoder_net, transducer_net, transducer_streams

from returnn_lite import Network, NetworkError

STREAMS = {
    "data": {"dim": 3},
    "classes": {"dim": 4, "sparse": True},
    "delayed": {"dim": 4, "sparse": True, "same_dim_tags_as": {"t": "classes"}},
}
LINEAR = {"class": "linear", "n_out": 2, "from": "data"}
SOFTMAX = {"class": "softmax", "from": "data", "target": "classes", "loss": "ce"}
NET: dict[str, Any] = {
    "hidden": LINEAR,
    "output": {**SOFTMAX, "from": "hidden"},
    "aside": {**LINEAR, "from": "hidden"},
}


def test_what_nothing_needs_is_neither_built_nor_checked() -> None:
    network = Network({**NET, "broken": {"class": "no such"}}, extern_data=STREAMS)
    assert network.unused() == ["aside", "broken"]
    assert "aside/W" not in network.param_shapes()
    assert "Unused layers: aside, broken" in network.describe()


def test_the_table_of_layers() -> None:
    lines = Network(NET, extern_data=STREAMS).describe().splitlines()
    assert lines == [
        "output  softmax  [B,T|'time:var:extern_data:data',F|4]  12",
        "hidden  linear   [B,T|'time:var:extern_data:data',F|2]  8",
        "20 parameters",
        "Unused layers: aside",
    ]


def test_a_layer_may_be_fetched_later() -> None:
    network = Network(NET, extern_data=STREAMS)
    before = random_parameters(network)
    batch = {"data": dense([2], 3)}
    network.run(batch)
    out = network.run(batch, fetch=["aside", "hidden"])
    assert [out[n].values.shape for n in ("aside", "hidden")] == [(1, 2, 2)] * 2
    for name, value in before.items():
        np.testing.assert_array_equal(network.get_params()[name], value)
    assert "aside/W" in network.get_params()


def test_a_layer_of_a_loop_may_be_fetched_later() -> None:
    unit = {
        "output": {"class": "linear", "n_out": 2, "from": ["data:source", "prev:output"]},
        "more": {"class": "linear", "n_out": 2, "from": ["output", "prev:late"]},
        "late": {"class": "copy", "from": "output"},
    }
    network = Network(
        {"output": {"class": "rec", "from": "data", "unit": unit}}, extern_data=STREAMS
    )
    batch = {"data": dense([3, 1], 3)}
    first = network.run(batch)["output"].canonical()
    out = network.run(batch, fetch=["output/more", "output"])
    np.testing.assert_array_equal(out["output"].canonical(), first)
    assert out["output/more"].canonical().shape == (2, 3, 2)


def test_outputs_are_output_losses_and_output_layers() -> None:
    net = {
        **NET,
        "shown": {**LINEAR, "is_output_layer": True},
        "loss2": {**SOFTMAX, "loss_scale": 0.5},
    }
    network = Network(net, extern_data=STREAMS)
    assert [n.path for n in network.outputs] == ["output", "shown", "loss2"]
    assert set(run(network, {"data": dense([2], 3), "classes": sparse([2], 4)}).losses) == {
        *("output", "loss2"),
    }
    search = Network(net, extern_data=STREAMS, search=True)
    assert [n.path for n in search.outputs] == ["output", "shown"]


def test_one_graph_serves_all_sizes() -> None:
    network = Network(NET, extern_data=STREAMS)
    for lengths in ([2], [5, 3], [1, 1, 1]):
        out = network.run({"data": dense(lengths, 3), "classes": sparse(lengths, 4)})
        assert out["output"].values.shape == (len(lengths), max(lengths), 4)
        assert len(out.losses["output"].value) == len(lengths)
    (function,) = network._carried._functions.values()
    assert function.experimental_get_tracing_count() == 1


def test_values_behind_the_lengths_do_not_matter_and_need_not_be_there() -> None:
    network = Network(NET, extern_data=STREAMS)
    random_parameters(network)
    x, labels = dense([3, 2], 3)[0], sparse([3, 2], 4)[0]
    plain = network.run({"data": (x, [3, 2]), "classes": (labels, [3, 2])})
    wide, far = np.full((2, 6, 3), np.nan), np.full((2, 9), -1)
    wide[:, :3], far[:, :3] = x, labels
    wide[1, 2:], far[1, 2:] = np.inf, 99
    other = network.run({"data": (wide, [3, 2]), "classes": (far, [3, 2])})
    np.testing.assert_array_equal(plain["output"].canonical(), other["output"].canonical())
    np.testing.assert_array_equal(plain.losses["output"].value, other.losses["output"].value)


def test_construction_needs_no_tensorflow() -> None:
    code = (
        "import sys\n"
        "from returnn_lite import Network\n"
        f"Network({NET!r}, extern_data={STREAMS!r}).describe()\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)


def test_the_transducer_is_built_and_checked_in_a_fraction_of_a_second() -> None:
    start = time.process_time()
    Network(transducer_net(labels=5), extern_data=transducer_streams(5)).describe()
    assert time.process_time() - start < 0.25


def test_a_chain_of_thousands_of_layers() -> None:
    net: dict[str, Any] = {"l0": {"class": "copy", "from": "data"}}
    for i in range(1, 5000):
        net[f"l{i}"] = {"class": "copy", "from": f"l{i - 1}"}
    net["l4000"] = {"class": "eval", "eval": "source(0) + 1", "from": "l3999"}
    net["output"] = {"class": "copy", "from": "l4999"}
    x, lengths = dense([2], 3)
    out = run(Network(net, extern_data=STREAMS), {"data": (x, lengths)})
    np.testing.assert_allclose(out["output"].values, x + 1, rtol=1e-5)


# -- mistakes in a network


def rec(unit: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"output": {"class": "rec", "from": "data", "unit": unit, **more}}


def loop(**layers: Any) -> dict[str, Any]:
    return {"output": {"class": "copy", "from": "x"}, **layers}


MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({}, "found no layer 'output', no loss and no is_output_layer, needed one"),
    ({"output": {"class": "liner"}}, "output (liner): unknown layer class 'liner'; did you mean"),
    ({"output": {"from": "data"}}, "output: found {'from': 'data'}, needed a dict with 'class'"),
    ({"output": ["linear"]}, "output: found ['linear'], needed a dict with 'class'"),
    (
        {"output": {**LINEAR, "nout": 3}},
        "output (linear): unknown option 'nout'; did you mean 'n_out'?",
    ),
    (
        {"output": {**LINEAR, "n_out": "2"}},
        "output (linear): option 'n_out': found '2', needed a whole number or None",
    ),
    (
        {"output": {**LINEAR, "n_out": 2.5}},
        "output (linear): option 'n_out': found 2.5, needed a whole number or None",
    ),
    (
        {"output": {**LINEAR, "with_bias": "no"}},
        "output (linear): option 'with_bias': found 'no', needed True or False",
    ),
    (
        {"output": {**LINEAR, "dropout": 1.0}},
        "output (linear): found dropout 1.0, needed 0 or more, below 1",
    ),
    (
        {"output": {**LINEAR, "L2": "small"}},
        "output (linear): option 'L2': found 'small', needed a number",
    ),
    (
        {"output": {"class": "pool", "mode": "max", "from": "data"}},
        "output (pool): missing option 'pool_size'",
    ),
    (
        {"output": {**LINEAR, "from": "hiden"}, "hidden": LINEAR},
        "output (linear): no layer 'hiden'; did you mean 'hidden'?",
    ),
    (
        {"output": {**LINEAR, "from": "clases"}},
        "output (linear): no layer 'clases'; did you mean 'data:classes'?",
    ),
    (
        {"output": {**LINEAR, "from": "data:clases"}},
        "output (linear): no data stream 'clases'; did you mean 'classes'?",
    ),
    (
        {"output": {**LINEAR, "from": ["data", 3]}},
        "output (linear): found 3, needed the name of a layer",
    ),
    (
        {"output": {**LINEAR, "from": "prev:output"}},
        "output (linear): found 'prev:output', which only the unit of a rec layer has",
    ),
    (
        {"output": {**LINEAR, "from": "base:data"}},
        "output (linear): found 'base:data' where no layer is around this network",
    ),
    (
        {"output": {**LINEAR, "from": "hidden/x"}, "hidden": LINEAR},
        "output (linear): no layer 'hidden/x'; did you mean 'hidden'?",
    ),
    (
        {
            "output": {"class": "copy", "from": ["data", "e"]},
            "e": {**LINEAR, "from": "data:classes"},
        },
        "output (copy): found sources [B,T|'time:var:extern_data:data',F|3] and [B,T|'time:var:ext",
    ),
    (
        {"output": {**LINEAR, "from": "a"}, "a": {**LINEAR, "from": "output"}},
        "found layers that depend on one another: output -> a -> output; try 'prev:'",
    ),
    (
        {"output": {**LINEAR, "from": "output"}},
        "found layers that depend on one another: output -> output; try 'prev:'",
    ),
    (
        rec(loop(x={**LINEAR, "from": "y"}, y={**LINEAR, "from": ["data", "x"]})),
        "found layers that depend on one another: output/x -> output/y -> output/x; try 'prev:'",
    ),
    (
        rec({"x": LINEAR}),
        "output (rec): no layer 'output'; there are: data:classes, data:data, data:delayed, x",
    ),
    (
        rec({"output": {"class": "liner"}}),
        "output/output (liner): unknown layer class 'liner'; did you mean 'linear'?",
    ),
    (
        {"output": {"class": "rec", "from": "data", "unit": "lstm"}},
        "output (rec): found neither n_out nor a target, needed one of them",
    ),
    (
        {"output": {"class": "rec", "from": "count", "unit": {"output": LINEAR}}}
        | {"count": {"class": "length", "from": "data"}},
        "output (rec): found source [B], int32, needed a time dim",
    ),
    (
        {"output": {"class": "rec", "from": [], "unit": {"output": {**LINEAR, "from": "base:c"}}}}
        | {"c": {"class": "length", "from": "data"}},
        "output (rec): found neither a source nor a choice with a target, needed one of them",
    ),
    (
        rec(loop(x={"class": "copy", "from": "prev:x"})),
        "output (rec): the dims of output/output, output/prev:x, output/x depend on one another "
        "only; try to give one of them n_out",
    ),
    (
        rec(loop(x={"class": "copy", "from": ["prev:x", "data:source"]})),
        "output (rec): the dims of the layers in the loop change in every step",
    ),
    (
        rec(loop(x={**LINEAR, "from": "prev:x", "initial_output": "base:wide"}))
        | {"wide": {"class": "linear", "n_out": 3, "from": "last"}}
        | {"last": {"class": "gather", "from": "data", "position": "count"}}
        | {"count": {"class": "length", "from": "data"}},
        "output/x (linear): initial_output 'wide': found feature dims 3 and 2, needed equal ones",
    ),
    (
        rec(loop(x={**LINEAR, "from": "prev:x", "initial_output": "data:source"})),
        "output/x (linear): found initial_output 'data:source', needed a number or a layer outside",
    ),
    (
        rec(loop(x={"class": "cumsum", "from": "data:source", "initial_output": "apply(0)"})),
        "output/x (cumsum): found initial_output 'apply(0)', needed a layer without a state, whose",
    ),
    (
        rec(loop(x={**LINEAR, "from": "prev:x", "initial_output": "keep_over_epoch"})),
        "output/x (linear): found initial_output 'keep_over_epoch', needed one that is the same in "
        "each batch; try longer sequences, or a Stream to go on with a state",
    ),
    (
        {"output": {"class": "choice", "from": "data", "beam_size": 2, "target": "classes"}},
        "output (choice): found it outside of the unit of a rec layer; move it there",
    ),
    (
        rec({"output": {"class": "choice", "from": "data", "beam_size": 0, "target": "classes"}}),
        "output/output (choice): found beam_size 0, needed at least 1",
    ),
    (
        rec({"output": {"class": "choice", "from": "data", "beam_size": 2, "target": "data"}}),
        "output/output (choice): found target [B,F|3], needed sparse data",
    ),
    (
        {"output": {**LINEAR, "from": "output2/a/b"}}
        | {
            "output2": rec({"output": LINEAR, "a": rec({"output": LINEAR, "b": LINEAR})["output"]})[
                "output"
            ]
        },
        "output (linear): found output2/a/b, which lies in two loops, needed one loop",
    ),
]


@pytest.mark.parametrize(("net", "text"), MISTAKES, ids=[m[1][:60] for m in MISTAKES])
def test_mistakes_are_told_before_any_data(net: dict[str, Any], text: str) -> None:
    with pytest.raises(NetworkError) as error:
        Network(net, extern_data=STREAMS)
    assert str(error.value).startswith(text)
    assert len(str(error.value).splitlines()) == 1


def test_mistakes_of_a_search() -> None:
    net = decoder_net(labels=3, beam_size=2, max_len="max_len_from('base:enc')", end=0, eos=False)
    streams = {"data": {"dim": FEATURES}, "classes": {"dim": 3, "sparse": True}}
    endless = {**net, "output": {**net["output"], "unit": dict(net["output"]["unit"])}}
    del endless["output"]["unit"]["end"]
    with pytest.raises(
        NetworkError, match=r"output \(rec\): no layer 'end'; did you mean 's'|there"
    ):
        Network(endless, extern_data=streams, search=True)
    for text, message in (
        (
            "max_len_from('base:encodr')",
            r"output \(rec\): no layer 'encodr'; did you mean 'encoder",
        ),
        (
            "max_len_of(3)",
            r"output \(rec\): found max_seq_len 'max_len_of\(3\)': name 'max_len_of'",
        ),
    ):
        wrong = {**net, "output": {**net["output"], "max_seq_len": text}}
        with pytest.raises(NetworkError, match=message):
            run(Network(wrong, extern_data=streams, search=True), {"data": dense([2], FEATURES)})


# -- mistakes in a batch


BATCHES: list[tuple[dict[str, Any], str]] = [
    ({}, "batch: found no stream, needed some of: data, classes, delayed"),
    ({"dta": dense([2], 3)}, "batch: no data stream 'dta'; did you mean 'data'?"),
    (
        {"data": dense([2], 4)},
        "batch: found 'data' of shape (1, 2, 4) and lengths of shape (1,), needed [B,T|",
    ),
    ({"data": (np.zeros((2, 3)), [3, 3])}, "batch: found 'data' of shape (2, 3) and lengths of"),
    ({"data": (np.zeros((2, 4, 3)), [4])}, "batch: found 'data' of shape (2, 4, 3) and lengths of"),
    ({"data": (np.zeros((0, 4, 3)), [])}, "batch: found 'data' of shape (0, 4, 3) and lengths of"),
    (
        {"data": (np.zeros((2, 4, 3)), [5, 2])},
        "batch: found lengths 2 to 5 for 'data' of shape (2, 4, 3), needed 0 to 4",
    ),
    (
        {"data": (np.zeros((2, 4, 3)), [-1, 2])},
        "batch: found lengths -1 to 2 for 'data' of shape (2, 4, 3), needed 0 to 4",
    ),
    ({"classes": (np.zeros((1, 2)), [2])}, "batch: found 'classes' of float64, needed int32"),
    ({"data": (np.full((1, 2, 3), "a"), [2])}, "batch: found 'data' of <U1, needed float32"),
    (
        {"classes": (np.array([[1, 4]]), [2])},
        "batch: found label 4 in 'classes', needed 0 to 3",
    ),
    (
        {"classes": (np.array([[1, -1]]), [2])},
        "batch: found label -1 in 'classes', needed 0 to 3",
    ),
    (
        {"data": dense([2, 2], 3), "classes": sparse([2], 4)},
        "batch: found {'data': 2, 'classes': 1} sequences, needed as many in every stream",
    ),
    (
        {"classes": sparse([2, 3], 4), "delayed": sparse([2, 2], 4)},
        "batch: found lengths [2, 2] of 'delayed', needed those of 'classes': [2, 3]",
    ),
    ({"classes": sparse([2], 4)}, "batch: found no stream 'data', needed it for the layers"),
]


@pytest.mark.parametrize(("batch", "text"), BATCHES, ids=[m[1][:60] for m in BATCHES])
def test_mistakes_in_a_batch(batch: dict[str, Any], text: str) -> None:
    network = Network(NET, extern_data=STREAMS)
    with pytest.raises(NetworkError) as error:
        network.run(batch)
    assert str(error.value).startswith(text)


def test_fetching_what_there_is_not() -> None:
    network = Network(NET, extern_data=STREAMS)
    with pytest.raises(NetworkError, match=r"fetch: no layer 'hiden'; did you mean 'hidden'\?"):
        network.run({"data": dense([2], 3)}, fetch=["hiden"])
    with pytest.raises(NetworkError, match=r"outputs: no layer 'x'; there are: aside, data:cl"):
        Network(NET, extern_data=STREAMS, outputs=["x"])
