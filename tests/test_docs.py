"""What the documentation shows is true: its snippets run, and its pages are up to date."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent
PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]
SNIPPET = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\((?!https?://)([^)#]+)")
SNIPPETS = [
    pytest.param(code, id=f"{page.name}-{number}")
    for page in PAGES
    for number, code in enumerate(SNIPPET.findall(page.read_text("utf-8")))
]


@pytest.mark.parametrize("code", SNIPPETS)
def test_snippets_run(code: str) -> None:
    names: dict[str, object] = {}
    exec(code, names)
    if "RECIPE" in names:
        from workflows.graph import resolve

        assert resolve(names["RECIPE"])  # type: ignore[arg-type]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_to_files(page: Path) -> None:
    for target in LINK.findall(page.read_text("utf-8")):
        assert (page.parent / target).exists(), target
