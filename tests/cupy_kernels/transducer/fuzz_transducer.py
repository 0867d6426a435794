"""Transducers: losses and best paths, from log-probabilities and with a joint network."""

from __future__ import annotations

from typing import Any

import numpy as np

from cupy_kernels.transducer import (
    Dropout,
    transducer_align,
    transducer_fused_align,
    transducer_fused_loss,
    transducer_loss,
)
from cupy_kernels.transducer.activations import ACTIVATIONS
from cupy_kernels.transducer.arguments import TOPOLOGIES


def results(rng: np.random.Generator) -> list[Any]:
    """Those of one random problem in all topologies."""
    batch, time, width = (int(x) for x in rng.integers(0, [5, 13, 9]))
    vocabulary = int(rng.integers(2, 20))
    case = (
        rng.standard_normal((batch, time, width + 1, vocabulary), np.float32) * 20,
        rng.integers(0, time + 1, batch, dtype=np.int32),
        rng.integers(1, vocabulary, (batch, width), dtype=np.int32),
        rng.integers(0, width + 1, batch, dtype=np.int32),
    )
    joint, activation = int(rng.integers(1, 90)), ACTIVATIONS[rng.integers(len(ACTIVATIONS))]
    inputs = 2 * joint if activation == "maxout" else joint
    network = (
        rng.standard_normal((batch, time, inputs), np.float32),
        rng.standard_normal((batch, width + 1, inputs), np.float32),
        rng.standard_normal((joint, vocabulary), np.float32),
        rng.standard_normal(vocabulary, np.float32),
    )
    found: list[Any] = []
    for topology in TOPOLOGIES:
        options: dict[str, Any] = {"blank": 0, "topology": topology, "threads": 2}
        found += [*transducer_loss(*case, **options), *transducer_align(*case, **options)]
        options |= {"activation": activation, "separate_emit": topology == "rna"}
        if topology == "ctc":
            strides = tuple(int(x) for x in rng.integers(0, [200, 60, 90]))
            options["dropout"] = Dropout(0.5, 1, int(rng.integers(2**63)) * 3, strides)
        found += transducer_fused_loss(*network, *case[1:], **options)
        found += transducer_fused_align(*network, *case[1:], **options)
    return found
