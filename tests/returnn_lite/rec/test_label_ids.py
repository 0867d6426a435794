"""Hypotheses have equal ids where their labels are equal, and else not."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf
from eager import frame_of
from searched import frames_net

from returnn_lite.rec.label_ids import LabelIds, Topology
from returnn_lite.site import Site


def text(path: tuple[int, ...], topology: str, blank: int) -> tuple[int, ...]:
    kept = [x for i, x in enumerate(path) if topology == "rna" or not i or x != path[i - 1]]
    return (*(x for x in kept if x != blank), *(path[-1:] if topology == "ctc" else ()))


@pytest.mark.parametrize("blank", [0, 2])
@pytest.mark.parametrize("topology", ["rna", "ctc"])
def test_ids_are_those_of_labels(topology: Topology, blank: int) -> None:
    network = frames_net(3, beam_size=1)
    frame = frame_of(network, {"data": (np.zeros((1, 1, 3), np.float32), [1])})
    ids = LabelIds(Site(network.scope.get("output/output"), frame), topology, blank)
    start = ids.first()
    found: dict[int, tuple[int, ...]] = {}
    for path in (p for n in range(1, 7) for p in itertools.product(range(3), repeat=n)):
        value, last = start["ids"].tensor, start["last"].tensor
        for label in path:
            labels = tf.constant([label])
            value = ids._after(value, last, labels, tf.constant([False]), 3)
            last = labels
        key = (int(value[0]), path[-1] if topology == "ctc" else -1)
        assert found.setdefault(hash(key), text(path, topology, blank)) == text(
            path, topology, blank
        )
    assert len(set(found.values())) == len(found)
