"""A dim and the batch as one, and back; images from pixels in a row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eager import Array, dense, random_parameters, run
from reference import check

from returnn_lite.errors import NetworkError
from returnn_lite.network import Network

STREAMS: dict[str, Any] = {"data": {"dim": 3}, "other": {"dim": 2}}
LENGTHS = [5, 2, 4]
FLAT = {"class": "flatten_batch", "from": "data"}


@pytest.mark.parametrize("batch_major", [True, False])
def test_packed_frames_have_no_padding(batch_major: bool) -> None:
    net = {"output": {**FLAT, "batch_major": batch_major}}
    data = dense(LENGTHS, 3)
    out = run(Network(net, extern_data=STREAMS), {"data": data})["output"].values
    order = [(b, t) for b, n in enumerate(LENGTHS) for t in range(n)]
    order = order if batch_major else sorted(order, key=lambda place: (place[1], place[0]))
    np.testing.assert_array_equal(out, [data[0][place] for place in order])


@pytest.mark.parametrize(
    ("pack", "unpack"),
    [
        (FLAT, {"class": "unflatten_batch"}),
        ({**FLAT, "batch_major": False}, {"class": "unflatten_batch"}),
        ({"class": "merge_dims", "axes": "BT", "from": "data"}, {"class": "split_batch_time"}),
    ],
)
def test_frames_come_back_to_their_sequences(pack: Any, unpack: Any) -> None:
    net = {
        "packed": pack,
        "deep": {"class": "linear", "n_out": 2, "activation": "tanh", "from": "packed"},
        "output": {**unpack, "from": "deep"},
    }
    network = Network(net, extern_data=STREAMS)

    def formula(p: Any, data: Array) -> list[Array]:
        x = np.tanh(data @ p["deep/W"] + p["deep/b"])
        return [x[b, :n] for b, n in enumerate(LENGTHS)]

    check(network, {"data": dense(LENGTHS, 3)}, formula)


def test_a_fixed_dim_is_packed_too() -> None:
    net = {
        "heads": {"class": "expand_dims", "axis": "spatial", "dim": 2, "from": "mean"},
        "mean": {"class": "reduce", "mode": "mean", "axis": "T", "from": "data"},
        "output": {**FLAT, "axis": "spatial", "from": "heads"},
        "back": {"class": "unflatten_batch", "from": "output"},
    }
    network = Network(net, extern_data=STREAMS, outputs=["output", "back", "mean"])
    out = run(network, {"data": dense(LENGTHS, 3)})
    mean = out["mean"].canonical()
    np.testing.assert_array_equal(out["output"].values, np.repeat(mean, 2, axis=0))
    np.testing.assert_array_equal(out["back"].canonical()[:, 1], mean)


def test_the_number_of_sizes_may_be_that_of_the_data() -> None:
    sizes = {"data": {"dim": 3}, "sizes": {"dim": None, "shape": [None], "dtype": "int32"}}
    layer = {"class": "unflatten_nd", "sizes": "data:sizes", "num_axes": 2, "from": "data"}
    network = Network({"output": layer}, extern_data=sizes)
    batch = {"data": dense([6], 3), "sizes": (np.array([[2, 3]], np.int32), [2])}
    assert run(network, batch)["output"].values.shape == (1, 2, 3, 3)
    batch["sizes"] = (np.array([[1, 2, 3]], np.int32), [3])
    with pytest.raises(NetworkError, match=r"output .*: found sizes of another number of dims"):
        network.run(batch)


def test_pixels_become_images() -> None:
    sizes = {"data": {"dim": 3}, "sizes": {"dim": 2, "shape": [2], "dtype": "int32"}}
    net = {
        "whole": {"class": "unflatten_nd", "sizes": "data:sizes", "num_axes": 2, "from": "data"},
        "wide": {
            **{"class": "unflatten_nd", "sizes": "data:sizes", "num_axes": 2, "from": "data"},
            "declare_same_sizes_as": {1: "data:other"},
        },
    }
    network = Network(net, extern_data={**STREAMS, **sizes}, outputs=["whole", "wide"])
    shapes = np.array([[2, 3], [2, 1], [1, 4]], np.int32)
    data = dense([6, 2, 4], 3)
    batch = {"data": data, "sizes": (shapes, [2, 2, 2]), "other": dense([3, 1, 4], 2)}
    out = run(network, batch)
    assert out["whole"].values.shape == (3, 2, 4, 3)
    for image, wide, pixels, (w, h) in zip(
        out["whole"].canonical(), out["wide"].values, data[0], shapes, strict=True
    ):
        needed = pixels[: w * h].reshape(w, h, 3)
        np.testing.assert_array_equal(image[:w, :h], needed)
        np.testing.assert_array_equal(wide[:w, :h], needed)
        assert not image[w:].any()
        assert not image[:, h:].any()


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        ({**FLAT, "axis": "B"}, "found axis 'B' of .*, needed one beside the batch"),
        (
            {"class": "unflatten_batch", "from": "data"},
            "found source .*, needed the output of a flatten_batch",
        ),
        (
            {"class": "split_batch_time", "base": "data:other", "from": "flat"},
            "found source .*, needed the frames of",
        ),
        (
            {"class": "unflatten_nd", "sizes": "data", "num_axes": 2, "from": "data"},
            r"found sizes .*, needed whole numbers \[batch, 2\]",
        ),
        (
            {
                **{"class": "unflatten_nd", "sizes": "data", "num_axes": 2, "from": "data"},
                "declare_same_sizes_as": {2: "data"},
            },
            "found declare_same_sizes_as 2, needed one of the axes",
        ),
    ],
)
def test_mistakes(layer: Any, text: str) -> None:
    with pytest.raises(NetworkError, match=rf"output \({layer['class']}\): {text}"):
        Network({"flat": FLAT, "output": layer}, extern_data=STREAMS)


def test_gradients_pass_in_both_directions() -> None:
    net = {"flat": FLAT, "output": {"class": "unflatten_batch", "from": "flat"}}
    network = Network(net, extern_data=STREAMS)
    random_parameters(network)
    check(
        network,
        {"data": dense(LENGTHS, 3)},
        lambda p, data: [data[b, :n] for b, n in enumerate(LENGTHS)],
    )
