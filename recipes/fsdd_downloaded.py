"""The recipe `fsdd` where the recordings are not at hand: they are fetched from the network."""

from __future__ import annotations

import dataclasses

from recipes import fsdd
from recipes.recipe import Recipe, Stage

RECIPE = Recipe(
    name="fsdd_downloaded",
    stages={
        **fsdd.RECIPE.stages,
        "download": Stage(job="corpus.fsdd_download"),
        "corpus": dataclasses.replace(
            fsdd.RECIPE.stages["corpus"], inputs={"downloaded": "download.dataset"}
        ),
    },
    scores=fsdd.RECIPE.scores,
)
