"""What the pages say, and that they need nothing else."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from jobs.report import pages, systems
from jobs.report.evidence import Evidence, Grid, Stage
from jobs.report.pages import index_content, write_pages
from jobs.report.systems import Reader
from tests.jobs.report.small_recipe import score_system, write_corpus

VOID = {"meta", "link", "img", "input", "br", "hr", "source"}


class Page(HTMLParser):
    """A page: its elements, text by section, and what is wrong with it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.sections: dict[str, list[str]] = {"": []}
        self._section = ""
        self._open: list[str] = []
        self.feed(path.read_text("utf-8"))
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.elements.append((tag, found))
        if tag == "section":
            self._section = found.get("id") or ""
            self.sections[self._section] = []
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag
        if tag == "section":
            self._section = ""

    def handle_data(self, data: str) -> None:
        if self._open[-1:] not in (["style"], ["script"]):
            self.sections[self._section].append(data)

    def text(self, section: str) -> str:
        """Return the text of a section, its white space as single blanks."""
        return " ".join(" ".join(self.sections[section]).split())

    def all(self, tag: str, **attributes: str) -> list[dict[str, Any]]:
        """Return the attributes of all elements of a tag that have some."""
        return [a for t, a in self.elements if t == tag and attributes.items() <= a.items()]


@pytest.fixture(scope="session")
def made(small: Evidence, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Page]:
    """The index, and the page of the recipe."""
    folder = tmp_path_factory.mktemp("report")
    paths = write_pages([small], folder)
    assert paths == [folder / "index.html", folder / "recipes" / "small.html"]
    return {path.stem: Page(path) for path in paths}


def test_the_index_lists_recipes(made: dict[str, Page]) -> None:
    index = made["index"]
    assert {"href": "recipes/small.html"} in index.all("a")
    assert index.text("recipes") == (
        "recipe about best WER % stages small Says <nothing> & more. test 27.27 5 of 5 finished"
    )
    assert "small CTC <greedy> test 27.27" in index.text("scores")
    assert "1 small: CTC <greedy> 27.27 0.00" in index.text("comparisons")


def test_scores_with_intervals_and_comparisons(made: dict[str, Page], small: Evidence) -> None:
    text = made["small"].text("scores")
    assert re.search(r"CTC <greedy> test 27\.27 [\d.]+.[\d.]+ 1 1 1 ", text)
    assert re.search(r"transducer test 27\.27 [\d.]+.[\d.]+ 1 2 0 ", text)
    row = r"test transducer CTC <greedy> 0\.00 .[\d.]+ to \+[\d.]+ too few 4 cannot be told"
    assert re.search(row, text)


def test_learning_curves_and_tuning(made: dict[str, Page]) -> None:
    page = made["small"]
    assert "more (has not ended: 2 epochs so far)" in page.text("curves")
    names = [svg.get("aria-label") for svg in page.all("svg", role="img")]
    assert names.count("loss per label") == 2 and names.count("tune: WER, %") == 1
    assert "dev: 1 at epoch 3" in page.text("curves")


def test_errors_and_utterances(made: dict[str, Page]) -> None:
    page = made["small"]
    assert "reference recognised CTC <greedy> transducer <b>time</b> <b>lime</b> 1 1" in page.text(
        "errors"
    )
    marks = Counter(m["class"] for m in page.all("mark") if "title" in m)
    assert marks == {"sub": 2, "del": 3, "ins": 1}
    assert {"class": "del", "title": "deleted: is"} in page.all("mark")
    assert "reference turn the light on CTC <greedy> (2) turn ∅ light on now" in page.text(
        "utterances"
    )
    assert len(page.all("article")) == 4 and len(page.all("audio")) == 4 + 2


def test_alignments_attention_and_stages(made: dict[str, Page]) -> None:
    page = made["small"]
    assert "times turn the light on units" in page.text("alignments")
    assert any(span.get("title") == "light: 0.36 to 0.56 s" for span in page.all("span"))
    assert "look, head 1, 3 frames x <y>" in page.text("attention")
    assert {s["id"] for s in page.all("details")} == {
        f"stage-{s}" for s in ("score", "corpus", "check", "train", "search")
    }
    assert len(page.all("path", **{"class": "edge"})) == 4
    assert "score family.score finished score/0; reads search , check" in page.text("stages")


@pytest.mark.parametrize("name", ["index", "small"])
def test_pages_need_nothing_else(made: dict[str, Page], name: str) -> None:
    page = made[name]
    for tag, attributes in page.elements:
        for key in ("src", "href", "srcset", "data", "poster", "action"):
            value = attributes.get(key) or ""
            local = value.startswith(("#", "data:", "recipes/", "../index.html"))
            assert not value or local, (tag, key, value)
    (policy,) = page.all("meta", **{"http-equiv": "Content-Security-Policy"})
    assert "default-src 'none'" in policy["content"]


@pytest.mark.parametrize("name", ["index", "small"])
def test_links_within_a_page_lead_somewhere(made: dict[str, Page], name: str) -> None:
    page = made[name]
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(set(ids)) == len(ids)
    links = [a["href"][1:] for a in page.all("a") if a["href"].startswith("#")]
    assert set(links) <= set(ids) and (links or name == "index")


def test_what_is_not_there_has_no_section(tmp_path: Path) -> None:
    stages = (
        Stage(name="a", job="x.y", folder="x.y/0", state="failed", error="corpus: <no>\ntry it"),
        Stage(name="b", job="x.y", folder="x.y/1", state="new", reads=("a",)),
    )
    evidence = Evidence(name="n", about="", page="recipes/n.html", stages=stages)
    index, page = map(Page, write_pages([evidence], tmp_path))
    assert [*page.sections] == ["", "stages"] and [*index.sections] == ["", "recipes"]
    assert "corpus: <no> try it" in page.text("stages")
    assert "0 of 2 finished, 1 failed" in index.text("recipes")
    assert [a["href"] for a in page.all("a")][:2] == ["../index.html", "#stages"]


def test_a_score_that_is_not_there_yet(small: Evidence, tmp_path: Path) -> None:
    waiting = dataclasses.replace(small.systems[0], score=tmp_path / "none", name="later")
    changed = dataclasses.replace(small, systems=(waiting, small.systems[1]))
    index, page = map(Page, write_pages([changed], tmp_path))
    assert "later test not scored yet" in page.text("scores")
    assert "small later test not scored yet" in index.text("scores")


def test_the_best_systems_of_a_set_are_compared(
    small: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "COMPARED", 2)
    third = dataclasses.replace(small.systems[1], recipe="other", name="third")
    other = dataclasses.replace(small, name="other", page="recipes/other.html", systems=(third,))
    (matrix,) = index_content([small, other], Reader())["matrices"]
    assert len(matrix["set"].systems) == 2 and matrix["left_out"] == 1
    one, two = matrix["cells"][0, 1], matrix["cells"][1, 0]
    assert one.turned == two


def test_of_many_systems_the_best_are_shown(
    small: Evidence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "COMPARED", 2)
    corpus = small.systems[0].corpus
    assert corpus
    bad = score_system("small", "bad", tmp_path / "bad", corpus, dict.fromkeys("abcd", "x"))
    changed = dataclasses.replace(small, systems=(bad, *small.systems))
    _, page = map(Page, write_pages([changed], tmp_path / "report"))
    assert "bad" in page.text("scores")
    for section in ("scores", "errors"):
        assert "test: the 2 best systems; 1 others are left out." in page.text(section)
    assert "bad" not in page.text("errors") and "bad" not in page.text("utterances")


def test_the_comparison_of_a_grid(small: Evidence, tmp_path: Path) -> None:
    grid = Grid(table=tmp_path / "comparison.txt", plot=tmp_path / "comparison.svg")
    changed = dataclasses.replace(small, comparison=grid)
    _, page = map(Page, write_pages([changed], tmp_path / "report"))
    assert "comparison" not in page.sections
    grid.table.write_text("system  WER%\n<a>      1.00\n")
    _, page = map(Page, write_pages([changed], tmp_path / "report"))
    assert page.text("comparison") == "Comparison system WER% <a> 1.00"
    assert grid.plot
    grid.plot.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    _, page = map(Page, write_pages([changed], tmp_path / "report"))
    (picture,) = page.all("img", alt="plot of the comparison")
    assert picture["src"].startswith("data:image/svg+xml;base64,")


def test_pages_of_other_recipes_are_removed_and_files_of_others_stay(
    small: Evidence, tmp_path: Path
) -> None:
    other = dataclasses.replace(small, name="other", page="recipes/other.html", systems=())
    *_, left = write_pages([small, other], tmp_path)
    mine = tmp_path / "recipes" / "mine.html"
    mine.write_text("<p>notes</p>")
    index, page = write_pages([small], tmp_path)
    assert index.exists() and page.exists() and mine.exists() and not left.exists()


def test_each_file_of_systems_is_read_once(
    small: Evidence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: Counter[Path] = Counter()
    for name in ("read_score", "read_manifest", "read_hypotheses"):
        original = getattr(systems, name)

        def counted(path: Path, original: Any = original) -> Any:
            read[path] += 1
            return original(path)

        monkeypatch.setattr(systems, name, counted)
    write_pages([small], tmp_path)
    assert len(read) == 2 + 1 + 2 and set(read.values()) == {1}


def test_a_difference_that_is_significant(small: Evidence, tmp_path: Path) -> None:
    """Many sentences, in which the second system is right where the first is wrong."""
    rows = {f"u{i}": "a b c" for i in range(30)}
    better = {utt: "a b c" if i % 5 else "a x c" for i, utt in enumerate(rows)}
    corpus = write_corpus(tmp_path, rows)
    scored = tuple(
        score_system("small", name, tmp_path / name, corpus, hypotheses)
        for name, hypotheses in (("bad", dict.fromkeys(rows, "x b c")), ("good", better))
    )
    changed = dataclasses.replace(small, systems=scored)
    _, page = map(Page, write_pages([changed], tmp_path))
    assert re.search(r"test good bad .26\.67 .* < 0\.001 30 better", page.text("scores"))
    assert page.all("span", **{"class": "better strong"})
