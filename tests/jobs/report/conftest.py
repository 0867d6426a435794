"""The recipe that the tests of the report share."""

from __future__ import annotations

import pytest

from jobs.report.evidence import Evidence
from tests.jobs.report.small_recipe import make_evidence


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """A recipe with all that a report shows."""
    return make_evidence(tmp_path_factory.mktemp("small"))
