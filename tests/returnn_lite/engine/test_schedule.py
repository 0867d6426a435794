"""Learning rates over a training."""

from __future__ import annotations

import pytest

from returnn_lite.engine.schedule import check, factor

POINTS = [(0.0, 0.1), (0.2, 1.0), (0.6, 1.0), (1.0, 0.0)]


@pytest.mark.parametrize(
    ("done", "needed"),
    [(0.0, 0.1), (0.1, 0.55), (0.2, 1.0), (0.5, 1.0), (0.8, 0.5), (1.0, 0.0), (1.5, 0.0)],
)
def test_the_factor_changes_linearly_between_points(done: float, needed: float) -> None:
    assert factor(POINTS, done) == pytest.approx(needed)


def test_one_point_is_a_constant() -> None:
    assert [factor([(0.5, 0.3)], x) for x in (0.0, 0.5, 1.0)] == [0.3] * 3


@pytest.mark.parametrize(
    ("points", "text"),
    [
        ([], r"schedule: found shares \[\], needed rising ones within 0 and 1"),
        ([(0.5, 1.0), (0.5, 0.0)], r"found shares \[0.5, 0.5\], needed rising"),
        ([(-0.1, 1.0)], r"found shares \[-0.1\], needed rising"),
        ([(0.0, 1.0), (1.1, 0.0)], r"found shares \[0.0, 1.1\], needed rising"),
        ([(0.0, -1.0)], r"schedule: found factors \[-1.0\], needed none below 0"),
    ],
)
def test_mistakes(points: list[tuple[float, float]], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        check(points)
    check(POINTS)
