"""Charts: ticks are round, points are where they belong."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.report.chart import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Series, chart, ticks

values = st.floats(-1e6, 1e6).map(lambda x: round(x, 3))


def test_ticks_are_round() -> None:
    assert ticks(0, 3.4, 5) == [0, 1, 2, 3, 4]
    assert ticks(0, 0.023, 5) == [0, 0.005, 0.01, 0.015, 0.02, 0.025]
    assert ticks(1, 24, 6, whole=True) == [5, 10, 15, 20]
    assert ticks(1, 3, 6, whole=True) == [1, 2, 3]
    assert ticks(0, 0.8, 6, whole=True) == [0, 0.2, 0.4, 0.6, 0.8]
    assert ticks(2, 2, 5, whole=True) == [2]
    assert ticks(0, 0, 5) == [0, 0.2, 0.4, 0.6, 0.8, 1]


@given(values, values)
def test_ticks_reach_from_end_to_end(a: float, b: float) -> None:
    low, high = sorted((a, b))
    found = ticks(low, high, 5)
    assert found[0] <= low + 1e-6 and found[-1] >= high - 1e-6 and 2 <= len(found) <= 8
    within = ticks(low, high, 5, whole=True)
    assert all(low - 1e-6 <= x <= high + 1e-6 for x in within) and len(within) <= 7


def test_points_are_where_they_belong() -> None:
    found = chart("loss", "epoch", [Series("dev", [(1, 4.0), (2, 2.0), (3, 0.0)])])
    assert found
    (line,) = found.lines
    assert [m.y for m in line.marks] == [TOP, (TOP + HEIGHT - BOTTOM) / 2, HEIGHT - BOTTOM]
    first, middle, last = (m.x for m in line.marks)
    assert LEFT < first < middle < last < WIDTH - RIGHT and middle - first == last - middle
    assert line.path == "M" + "L".join(f"{m.x},{m.y}" for m in line.marks)
    assert line.marks[1].text == "dev: 2 at epoch 2"
    assert [t.text for t in found.x_ticks] == ["1", "2", "3"]
    assert [t.x for t in found.x_ticks] == [first, middle, last]
    assert [t.text for t in found.y_ticks] == ["0", "1", "2", "3", "4"]
    assert found.y_ticks[0].y == HEIGHT - BOTTOM and found.y_ticks[-1].y == TOP


def test_what_is_not_finite_is_left_out() -> None:
    series = [Series("a", [(1, math.nan), (2, 1.0), (3, math.inf)]), Series("b", [(1, math.nan)])]
    found = chart("loss", "epoch", series)
    assert found and [(line.name, len(line.marks)) for line in found.lines] == [("a", 1)]
    assert chart("loss", "epoch", series[1:]) is None


@given(st.lists(st.tuples(values, values), min_size=1, max_size=9))
def test_all_points_are_within(points: list[tuple[float, float]]) -> None:
    found = chart("x", "y", [Series("s", points)])
    assert found
    for mark in found.lines[0].marks:
        assert LEFT <= mark.x <= WIDTH - RIGHT
        assert TOP - 0.1 <= mark.y <= HEIGHT - BOTTOM + 0.1


def test_a_point_alone_is_in_the_middle() -> None:
    found = chart("x", "y", [Series("s", [(5, 1.0)])])
    assert found and found.lines[0].marks[0].x == pytest.approx((LEFT + WIDTH - RIGHT) / 2)
