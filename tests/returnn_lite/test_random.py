"""Random numbers: from seed, step and place alone, and the same for one step as for all."""

from __future__ import annotations

import numpy as np
import pytest

from returnn_lite.random import seed_for, uniform, uniform_steps


@pytest.mark.parametrize("shape", [[], [3], [2, 5], [4, 3, 2]])
def test_one_step_draws_what_all_steps_draw(shape: list[int]) -> None:
    seed = seed_for(1, 2, "output/x")
    together = uniform_steps(shape, seed, 0, 6).numpy()
    assert together.shape == (6, *shape)
    for t in range(6):
        np.testing.assert_array_equal(uniform_steps(shape, seed, t, 1).numpy()[0], together[t])
    assert len(np.unique(together)) == together.size


def test_numbers_are_uniform() -> None:
    for x in (
        uniform([100, 50], seed_for(1, 0, "a")).numpy(),
        uniform_steps([49], seed_for(1, 0, "a"), 0, 100).numpy(),
    ):
        assert 0 <= x.min() < 0.01 and 0.99 < x.max() < 1
        assert (x.mean(), x.var()) == pytest.approx((0.5, 1 / 12), abs=0.02)
        assert abs(np.corrcoef(x[:-1].ravel(), x[1:].ravel())[0, 1]) < 0.05


def test_seed_step_and_place_make_a_difference() -> None:
    seeds = [seed_for(*args) for args in ((1, 0, "a"), (2, 0, "a"), (1, 1, "a"), (1, 0, "b"))]
    drawn = [uniform([20], s).numpy() for s in seeds]
    assert len(np.unique(drawn)) == 80
    np.testing.assert_array_equal(uniform([20], seed_for(1, 0, "a")).numpy(), drawn[0])
