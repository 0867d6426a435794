"""The number of threads: the argument, else OMP_NUM_THREADS, else the processors."""

from __future__ import annotations

import os

import pytest

from cupy_kernels.backend.threads import thread_count


@pytest.mark.parametrize(
    ("threads", "setting", "wanted"), [(3, "2", 3), (None, "2", 2), (None, "4,1", 4)]
)
def test_argument_then_environment(
    threads: int | None, setting: str, wanted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", setting)
    assert thread_count(threads) == wanted


@pytest.mark.parametrize("setting", [None, "", "many", "0"])
def test_processors_where_nothing_is_set(
    setting: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if setting is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", setting)
    assert 1 <= thread_count(None) <= (os.cpu_count() or 1)


def test_less_than_one_is_an_error() -> None:
    with pytest.raises(ValueError, match="threads: found 0, needed at least 1; try threads=1"):
        thread_count(0)
