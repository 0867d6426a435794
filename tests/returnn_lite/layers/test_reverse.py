"""Sequences backwards."""

from __future__ import annotations

from shapes import fails, rows, same, sequences

LAYER = {"class": "reverse_sequence", "from": "data"}


def test_each_from_its_own_end() -> None:
    same(rows(LAYER), [x[::-1] for x in sequences()])


def test_features() -> None:
    found = [x[:n] for x, n in zip(rows({**LAYER, "axis": "F"}), [4, 1, 3], strict=True)]
    same(found, [x[:, ::-1] for x in sequences()])


def test_mistakes() -> None:
    fails({**LAYER, "axis": "B"}, "found axis 'B' of .*, needed one of the sequences")
