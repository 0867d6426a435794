"""Learning rates over a training."""

from __future__ import annotations

import pytest

from returnn_lite.engine.schedule import factor

POINTS = [(0.0, 0.1), (0.2, 1.0), (0.6, 1.0), (1.0, 0.0)]


@pytest.mark.parametrize(
    ("done", "needed"),
    [(0.0, 0.1), (0.1, 0.55), (0.2, 1.0), (0.5, 1.0), (0.8, 0.5), (1.0, 0.0), (1.5, 0.0)],
)
def test_the_factor_changes_linearly_between_points(done: float, needed: float) -> None:
    assert factor(POINTS, done) == pytest.approx(needed)


def test_one_point_is_a_constant() -> None:
    assert [factor([(0.5, 0.3)], x) for x in (0.0, 0.5, 1.0)] == [0.3] * 3
