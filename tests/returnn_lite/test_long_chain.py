"""Which of a long chain are asked for first."""

from __future__ import annotations

from returnn_lite.long_chain import far_ends


def test_the_far_ends_of_a_long_chain_come_first() -> None:
    found = far_ends(1700, lambda n: n - 1 if n else None)
    assert found == [0, 500, 1000, 1500]
    assert far_ends(300, lambda n: n - 1 if n else None) == []


def test_a_chain_that_is_a_circle_ends() -> None:
    assert far_ends(0, lambda n: (n + 1) % 600) == [599, 99]
