"""The page of jobs in the docs is made from the jobs as they are."""

from __future__ import annotations

from pathlib import Path

from jobs.job import job_names
from workflows.jobs_page import page


def test_the_page_in_docs_is_up_to_date() -> None:
    found = Path(__file__).parents[2] / "docs" / "jobs.md"
    assert found.read_text("utf-8") == page(), "run `make docs`"


def test_every_job_has_a_section_with_its_parameters() -> None:
    text = page()
    for name in job_names():
        assert f"\n## {name}\n" in text
    assert "| `network` | `dict[str, Any]` |  |" in text
    assert "| *`threads`* |" in text
