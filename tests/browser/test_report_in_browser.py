"""The report in a browser without a network: a small recipe, and real ones where there are some."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobs.report.pages import write_pages
from tests.jobs.report.small_recipe import make_evidence

if TYPE_CHECKING:
    from conftest import Chromium, Opened

pytestmark = pytest.mark.browser

METADATA = "a => a.readyState > 0 || new Promise(r => a.addEventListener('loadedmetadata', r))"


def small_report(folder: Path) -> list[Path]:
    """Write the report of the small recipe."""
    (folder / "files").mkdir()
    return write_pages([make_evidence(folder / "files")], folder / "report")


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The pages of the small recipe by name."""
    return {path.stem: path for path in small_report(tmp_path_factory.mktemp("report"))}


def check(opened: Opened) -> None:
    """Check that a page says nothing, asks for nothing, and shows and plays all that it has."""
    page = opened.page
    assert opened.said == [] and opened.asked == []
    widths = page.eval_on_selector_all("img", "all => all.map(i => i.complete && i.naturalWidth)")
    assert all(width > 0 for width in widths)
    for audio in page.query_selector_all("audio"):
        audio.evaluate(METADATA)
        assert audio.evaluate("a => a.error === null && a.duration") > 0
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["index", "small"])
def test_a_page_needs_no_network(
    chromium: Chromium, report: dict[str, Path], name: str, scheme: str
) -> None:
    opened = chromium.open(report[name], scheme)  # type: ignore[arg-type]
    check(opened)
    colour = opened.page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(int(x) for x in colour.removeprefix("rgb(").removesuffix(")").split(","))
    assert (brightness > 3 * 200) == (scheme == "light")


@pytest.mark.parametrize("name", ["index", "small"])
def test_a_page_fits_a_telephone(chromium: Chromium, report: dict[str, Path], name: str) -> None:
    check(chromium.open(report[name], width=390))


def test_links_lead_from_page_to_page(chromium: Chromium, report: dict[str, Path]) -> None:
    page = chromium.open(report["index"]).page
    page.click("text=small")
    assert page.url == report["small"].as_uri() and page.title() == "small"
    page.click("text=All recipes")
    assert page.url == report["index"].as_uri()


def test_what_looks_like_html_is_text(chromium: Chromium, report: dict[str, Path]) -> None:
    page = chromium.open(report["small"]).page
    assert page.locator("header p.muted").inner_text() == "Says <nothing> & more."
    assert page.locator("mark", has_text="<b>lime</b>").count() == 2
    assert page.locator("#utterances b").count() == 0


def test_a_recording_plays(chromium: Chromium, report: dict[str, Path]) -> None:
    page = chromium.open(report["small"]).page
    audio = page.locator("#utterances audio").first
    assert audio.evaluate(METADATA) and audio.evaluate("a => a.duration") == pytest.approx(1.0)
    audio.evaluate("a => { a.muted = true; return a.play(); }")
    audio.evaluate("a => new Promise(r => a.addEventListener('ended', r))")


def test_a_cursor_shows_where_a_recording_is(chromium: Chromium, report: dict[str, Path]) -> None:
    page = chromium.open(report["small"]).page
    cursor = page.locator("#alignments .cursor").first
    assert not cursor.is_visible()
    audio = page.locator("#alignments audio").first
    audio.evaluate(METADATA)
    audio.evaluate("a => { a.currentTime = 0.5; }")
    cursor.wait_for(state="visible")
    assert cursor.evaluate("c => c.style.left") == "50%"


def test_utterances_are_found(chromium: Chromium, report: dict[str, Path]) -> None:
    page = chromium.open(report["small"]).page
    shown = page.locator("article:visible")
    assert shown.count() == 4
    page.fill("input[type=search]", "LIME")
    assert shown.count() == 1 and page.locator("output").inner_text() == "1 of 4"
    page.fill("input[type=search]", "")
    page.check("input[type=checkbox]")
    assert shown.count() == 3  # of `stop` both systems say the same


def test_a_stage_of_the_graph_opens(chromium: Chromium, report: dict[str, Path]) -> None:
    page = chromium.open(report["small"]).page
    from playwright.sync_api import expect

    details = page.locator("#stage-search")
    assert not details.evaluate("d => d.open")
    page.locator("svg a.box", has_text="family.search").click()
    expect(details).to_have_attribute("open", "")


def test_a_real_report(chromium: Chromium) -> None:
    """That of the run in the folder of RETURNN_LITE_FINISHED."""
    folder = os.environ.get("RETURNN_LITE_FINISHED")
    if not folder:
        pytest.skip("RETURNN_LITE_FINISHED is not set: no real report to open")
    report = Path(folder).resolve() / "results" / "report"
    index, pages = report / "index.html", sorted(report.glob("recipes/*.html"))
    assert index.is_file() and pages, f"{report}: found no pages; try make report RUN={folder}"
    for path in (index, *pages):
        opened = chromium.open(path)
        check(opened)
        if path in pages:
            found = {s: opened.page.locator(s).count() for s in ("audio", "article", ".plot img")}
            assert min(found.values()) > 0, found
