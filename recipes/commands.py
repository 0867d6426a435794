"""Requests to a voice assistant, synthesised with espeak-ng: the embedded recipe.

Corpus: made by the recipe, so free of any licence on recordings (espeak-ng itself is GPL-3).
"""

from __future__ import annotations

from recipes.pipelines.transducer import SCORES, Sizes, Training, stages
from recipes.recipe import Recipe, Stage

RECIPE = Recipe(
    name="commands",
    stages=stages(
        corpus=Stage(
            job="corpus.commands",
            params={"seed": 1, "train": {"utterances": 2400, "speakers": 600}},
        ),
        sizes=Sizes(labels=120),
        training=Training(
            ctc={"epochs": 18, "batch_frames": 4000, "learning_rate": 3e-3},
            transducer={"epochs": 8, "batch_frames": 4000, "learning_rate": 1e-3},
            lm={"epochs": 4, "batch_frames": 2000, "learning_rate": 2e-3},
        ),
    ),
    scores=SCORES,
)
