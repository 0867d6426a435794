"""FSDD with one speaker left out of training and tested on all of that speaker's recordings."""

from __future__ import annotations

from recipes import fsdd

RECIPE = fsdd.RECIPE.replace("fsdd_left_out", corpus={"held_out_speaker": "theo"})
