"""A CTC model on an encoder (Graves et al., 2006)."""

from __future__ import annotations

from recipes.networks.dropout import dropped
from recipes.networks.encoder import Net


def ctc(encoder: Net, *, dropout: float) -> Net:
    """Return the encoder with a softmax `output` over labels and blank, the last."""
    return {
        **encoder,
        "output": {
            "class": "softmax",
            "from": "encoder",
            **dropped(dropout),
            "target": "classes",
            "loss": "ctc",
        },
    }
