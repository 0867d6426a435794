"""Chunks of sequences, and sequences of chunks, against a loop over the frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eager import dense, run
from shapes import LENGTHS, STREAMS, batch, fails, same, sequences

from returnn_lite.errors import NetworkError
from returnn_lite.network import Network

CHUNKS: dict[str, Any] = {"class": "time_chunking", "chunk_size": 3, "chunk_step": 2}


def network(**layers: Any) -> Network:
    net = {"chunks": {**CHUNKS, "from": "data"}, **layers}
    return Network(net, extern_data=STREAMS, outputs=["chunks", *layers])


def test_chunks() -> None:
    out = run(network(), batch())["chunks"]
    x = sequences()
    needed = [part for seq in x for part in (seq[:3], seq[2:5])]
    lengths = out.lengths[out.dims[0].name]
    assert lengths.tolist() == [3, 2, 1, 0, 3, 1]
    same([out.values[:n, i] for i, n in enumerate(lengths)], needed)
    assert not out.values[1:, 2].any()


def test_the_mean_of_the_chunks_is_the_sequence() -> None:
    back = {"class": "time_unchunking", "chunking_layer": "chunks", "from": "double"}
    double = {"class": "eval", "eval": "2.0 * source(0)", "from": "chunks"}
    out = run(network(double=double, back=back), batch())["back"]
    same(
        [x[:n] for x, n in zip(out.canonical(), LENGTHS, strict=True)], [2 * x for x in sequences()]
    )


@pytest.mark.parametrize("direction", [1, -1])
def test_an_lstm_begins_anew_in_every_chunk(direction: int) -> None:
    lstm = {"class": "rec", "unit": "nativelstm2", "n_out": 2, "direction": direction}
    net = network(lstm={**lstm, "from": "chunks"})
    out = run(net, batch())["lstm"]
    alone = Network({"lstm": {**lstm, "from": "data"}}, extern_data=STREAMS, outputs=["lstm"])
    alone.set_params(net.get_params())
    data = dense(LENGTHS, 4)[0]
    part = {"data": (data[:1, 2:4], [2])}
    needed = run(alone, part)["lstm"].canonical()[0]
    np.testing.assert_allclose(out.values[:2, 1], needed, rtol=1e-5, atol=1e-6)


CONV = {"class": "conv", "filter_size": (3,), "padding": "same", "n_out": 2, "activation": None}
ALIKE = [
    {"class": "reduce", "mode": "mean", "axis": "T"},
    {"class": "reduce", "mode": "max", "axis": "T"},
    {"class": "length"},
    {"class": "length", "add_time_axis": True},
    {"class": "batch_norm", "masked_time": True, "update_sample_only_in_training": False},
    {"class": "reverse_sequence"},
    {"class": "softmax_over_spatial"},
    {"class": "resize", "axis": "T", "factor": 2, "kind": "linear"},
    {"class": "linear", "activation": None, "n_out": 2},
    CONV,
    {"class": "gather", "position": "count"},
    {"class": "concat"},
]


@pytest.mark.parametrize("layer", ALIKE, ids=lambda x: "_".join(map(str, x.values()))[:20])
def test_a_layer_sees_chunks_as_it_sees_sequences(layer: dict[str, Any]) -> None:
    shift = {"class": "eval", "eval": "source(0) - 5.0", "from": "chunks"}
    count = {"class": "length", "from": "shift"}
    loss = {"loss": "as_is"} if layer["class"] == "linear" else {}
    source = [("shift", "T")] * 2 if layer["class"] == "concat" else "shift"
    layer = {**layer, **loss, "from": source}
    net = network(shift=shift, count=count, layer=layer)
    out = run(net, batch(), with_losses=bool(loss))
    chunks = out["shift"].values
    shift = {"class": "eval", "eval": "source(0) - 0.0", "from": "data"}
    alone = Network(
        {"shift": shift, "count": count, "layer": layer},
        extern_data=STREAMS,
        outputs=["shift", "layer"],
    )
    alone.set_params(net.get_params())
    data = {"data": (np.moveaxis(chunks, 0, 1), [3, 2, 1, 0, 3, 1])}
    needed = run(alone, data, with_losses=bool(loss))
    # One is without any frame, so that layers of one output may give anything.
    one, other = (np.delete(x["layer"].canonical(), 3, axis=0) for x in (out, needed))
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    if loss:
        a, b = out.losses["layer"], needed.losses["layer"]
        assert a.summed == pytest.approx(b.summed, rel=1e-5)
        assert np.sum(a.weight) == pytest.approx(np.sum(b.weight))


def test_mistakes() -> None:
    fails(
        {**CHUNKS, "chunk_step": 0, "from": "data"}, "found chunks of 3 every 0, needed 1 or more"
    )
    fails({**CHUNKS, "from": "data:classes"}, "found axis 'T' in .*, needed a dim of a batch")
    fails(
        {"class": "time_unchunking", "chunking_layer": "heads", "from": "data"},
        "found chunking_layer heads .*, needed a time_chunking",
    )
    net = network(mask={"class": "seq_len_mask", "mask_value": 0.0, "from": "chunks"})
    with pytest.raises(NetworkError, match=r"found lengths .* by chunk, .*; try time_unchunking"):
        run(net, batch())
