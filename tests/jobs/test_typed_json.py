"""Parameters from JSON: checked in every key and type, and the same when written back."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.job import JobError, unhashed
from jobs.typed_json import from_json, to_json


@dataclass(frozen=True, kw_only=True)
class Noise:
    """A nested parameter."""

    snr: float
    kinds: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.snr > 100:
            raise ValueError(f"snr: found {self.snr}, needed at most 100")


@dataclass(frozen=True, kw_only=True)
class Params:
    """One field of each type that jobs use."""

    count: int
    rate: float = 1.0
    kind: Literal["bpe", "char"] = "bpe"
    path: Path = Path("a/b")
    noise: Noise | None = None
    more: tuple[Noise, ...] = ()
    pair: tuple[int, float] = (1, 2.0)
    network: dict[str, Any] = field(default_factory=dict)
    scales: dict[str, float] = field(default_factory=dict)
    flag: bool = False
    label: int | str = 0
    threads: int = unhashed(1)


def error(value: Any) -> str:
    """Return the message that a wrong value gives."""
    with pytest.raises(JobError) as caught:
        from_json(Params, value, "stage x")
    return str(caught.value)


def test_defaults_are_filled_in_and_ints_become_floats() -> None:
    params = from_json(Params, {"count": 1, "rate": 2, "noise": {"snr": 3}}, "x")
    assert params == Params(count=1, rate=2.0, noise=Noise(snr=3.0))
    assert isinstance(params.rate, float)


def test_all_mistakes_are_told_at_once() -> None:
    text = error({"cuont": 1, "rate": "fast", "more": [{"snr": 1}, {"snr": "x", "kind": 1}]})
    assert text.splitlines() == [
        "stage x: unknown key 'cuont'; did you mean 'count'?",
        "stage x: missing key 'count'",
        "stage x: rate: found 'fast', needed float",
        "stage x: more[1]: unknown key 'kind'; did you mean 'kinds'?",
        "stage x: more[1].snr: found 'x', needed float",
    ]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("count", True, "count: found True, needed int"),
        ("count", 1.0, "count: found 1.0, needed int"),
        ("kind", "bqe", "kind: found 'bqe', needed 'bpe' or 'char'"),
        ("path", 3, "path: found 3, needed Path"),
        ("more", {"snr": 1}, "more: found {'snr': 1}, needed tuple["),
        ("pair", [1, 2, 3], "pair: found [1, 2, 3], needed tuple[int, float]"),
        ("pair", [1, "x"], "pair[1]: found 'x', needed float"),
        ("noise", {"snr": 1, "kinds": [2]}, "noise.kinds[0]: found 2, needed str"),
        ("noise", 3, "noise: found 3, needed "),
        ("noise", {"snr": 101}, "noise: snr: found 101.0, needed at most 100"),
        ("network", {"out": {"act": max}}, "needed a JSON value"),
        ("network", {1: 2}, "network: found key 1, needed str"),
        ("network", {"a": {1: 2}}, "network['a']: found key 1, needed str"),
        ("network", [], "network: found [], needed dict[str, Any]"),
        ("scales", {"lm": "x"}, "scales['lm']: found 'x', needed float"),
        ("label", None, "label: found None, needed int | str"),
    ],
)
def test_wrong_values(key: str, value: Any, message: str) -> None:
    assert f"stage x: {message}" in error({"count": 1, key: value}) or message in error(
        {"count": 1, key: value}
    )


def test_what_is_no_object_at_all() -> None:
    assert error([]) == "stage x: found [], needed an object with keys and values"


def test_long_values_are_shortened() -> None:
    assert len(error({"count": {f"layer{i}": "x" * 100 for i in range(100)}})) < 400


def test_true_is_not_one_in_a_literal() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Level:
        level: Literal[0, 1]

    with pytest.raises(JobError, match="level: found True, needed 0 or 1"):
        from_json(Level, {"level": True}, "x")


def test_what_cannot_change_the_outputs_is_left_out_of_the_hashed() -> None:
    value = to_json(Params(count=1, threads=8), hashed_only=True)
    assert "threads" not in value and value["count"] == 1 and value["path"] == "a/b"
    assert to_json(Params(count=1, threads=8))["threads"] == 8


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NOISES = st.builds(Noise, snr=st.floats(-10, 100), kinds=st.lists(st.text(), max_size=2).map(tuple))


@given(
    st.builds(
        Params,
        count=st.integers(),
        rate=st.floats(allow_nan=False),
        noise=st.none() | NOISES,
        more=st.lists(NOISES, max_size=2).map(tuple),
        network=st.dictionaries(st.text(), JSON, max_size=3),
        label=st.integers() | st.text(),
    )
)
def test_written_as_json_and_read_back_it_is_the_same(params: Params) -> None:
    assert from_json(Params, json.loads(json.dumps(to_json(params))), "x") == params
