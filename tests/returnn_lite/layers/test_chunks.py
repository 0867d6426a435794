"""Chunks of sequences, and sequences of chunks, against a loop over the frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eager import dense, run
from shapes import LENGTHS, STREAMS, batch, fails, same, sequences

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


def test_mistakes() -> None:
    fails(
        {**CHUNKS, "chunk_step": 0, "from": "data"}, "found chunks of 3 every 0, needed 1 or more"
    )
    fails({**CHUNKS, "from": "data:classes"}, "found axis 'T' in .*, needed a dim of a batch")
    fails(
        {"class": "time_unchunking", "chunking_layer": "heads", "from": "data"},
        "found chunking_layer heads .*, needed a time_chunking",
    )
