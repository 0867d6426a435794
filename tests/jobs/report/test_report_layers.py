"""The drawing of stages."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from jobs.report.layers import BOX, GAP, HIGH, Drawing, draw
from tests.jobs.report.small_recipe import SOURCES

graphs = st.integers(0, 12).flatmap(
    lambda n: st.tuples(
        *(st.sets(st.integers(0, i - 1)) if i else st.just(set()) for i in range(n))
    )
)


def lines(drawing: Drawing) -> set[tuple[str, str]]:
    return {(a, b) for a, b, _ in drawing.lines}


def test_a_line_that_follows_from_others_is_left_out() -> None:
    assert lines(draw(SOURCES)) == {
        ("corpus", "check"),
        ("check", "train"),
        ("train", "search"),
        ("search", "score"),
    }


def test_a_line_from_box_to_box() -> None:
    drawing = draw({"a": [], "b": ["a"]})
    (a, b), ((_, _, path),) = drawing.boxes, drawing.lines
    half = (a.y + HIGH + b.y) / 2
    assert path == f"M{a.x},{a.y + HIGH}C{a.x},{half} {b.x},{half} {b.x},{b.y}"
    assert (drawing.width, drawing.height) == (BOX, b.y + HIGH)


def test_a_long_line_passes_between_boxes() -> None:
    sources = {"a": [], "other": [], "b": ["a"], "c": ["b"], "end": ["c", "other"]}
    drawing = draw(sources)
    boxes = {box.name: box for box in drawing.boxes}
    assert boxes["other"].y == boxes["c"].y  # near to what reads it
    assert lines(drawing) == {("a", "b"), ("b", "c"), ("c", "end"), ("other", "end")}
    wide = draw({"a": [], "b": ["a"], "c": ["b"], "x": ["a"], "end": ["c", "x"], "y": ["x", "b"]})
    passing = next(path for a, b, path in wide.lines if (a, b) == ("x", "end"))
    assert passing.count("C") == len([1 for c in passing if c == "V"]) + 1


@given(graphs)
def test_boxes_lie_below_what_they_read_and_do_not_overlap(reads: tuple[set[int], ...]) -> None:
    sources = {str(i): [str(j) for j in sorted(r)] for i, r in enumerate(reads)}
    drawing = draw(sources)
    boxes = {box.name: box for box in drawing.boxes}
    assert set(boxes) == set(sources)
    for name, read in sources.items():
        assert all(boxes[source].y + HIGH < boxes[name].y for source in read)
    for a, b in combinations(boxes.values(), 2):
        assert a.y != b.y or abs(a.x - b.x) >= BOX + GAP - 0.2
    for box in boxes.values():
        assert box.x - BOX / 2 >= -0.1 and box.x + BOX / 2 <= drawing.width + 1
        assert box.y + HIGH <= drawing.height
    # What follows from the lines is what was read, directly or not.
    assert closure(lines(drawing)) == closure({(s, n) for n, read in sources.items() for s in read})


def closure(pairs: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return all pairs that follow from pairs."""
    found = set(pairs)
    while more := {(a, d) for a, b in found for c, d in found if b == c} - found:
        found |= more
    return found


def test_no_stages() -> None:
    assert draw({}).boxes == [] and draw({}).lines == []
