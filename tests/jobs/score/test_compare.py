"""Comparisons of grids: means and deviations over seeds."""

from __future__ import annotations

import json
import logging
import statistics
from pathlib import Path
from xml.etree import ElementTree

import pytest

from jobs.job import JobError
from jobs.score import compare
from jobs.score.compare import Inputs, Outputs, Params, Row
from jobs.score.comparison_plot import plot

RATES = {("0.1", "1"): 10.0, ("0.1", "2"): 12.0, ("0.2", "1"): 9.0, ("0.2", "2"): 9.5}
ROWS = [
    *(
        Row(system="transducer", set="test", values={"rate": r, "seed": s})
        for r, s in RATES
    ),
    Row(system="CTC <greedy>", set="dev", values={}),
]  # fmt: skip
WERS = [*RATES.values(), 20.0]


def score(wer: float) -> dict[str, object]:
    """Return what score.wer would have written."""
    counts = dict.fromkeys(("substitutions", "deletions", "insertions", "words"), 1)
    rates = {"wer": wer, "cer": 1.0, "ser": 1.0, "real_time_factor": None}
    return {**counts, **rates, "wer_interval": [wer - 1, wer + 1]}


@pytest.fixture
def outputs(tmp_path: Path, log: logging.Logger) -> Outputs:
    """The comparison of some scores."""
    paths = []
    for number, wer in enumerate(WERS):
        paths.append(tmp_path / f"{number}.json")
        paths[-1].write_text(json.dumps(score(wer)))
    names = {"table": "comparison.txt", "numbers": "comparison.json", "plot": "comparison.svg"}
    outputs = Outputs(**{k: tmp_path / name for k, name in names.items()})
    compare.run(Inputs(scores=tuple(paths)), outputs, Params(rows=tuple(ROWS)), log)
    return outputs


def test_the_table_has_means_deviations_and_a_star_at_the_best(outputs: Outputs) -> None:
    lines = outputs.table.read_text().splitlines()
    assert lines[0] == "Comparison over seed"
    assert lines[2].split() == [
        "system", "set", "rate", "WER%", "deviation", "runs", "best", "worst",
    ]  # fmt: skip
    assert [" ".join(line.split()) for line in lines[4:7]] == [
        "transducer test 0.1 11.00 1.41 2 10.00 12.00",
        "transducer test 0.2 9.25 * 0.35 2 9.00 9.50",
        "CTC <greedy> dev - 20.00 * - 1 20.00 20.00",
    ]


def test_the_numbers_are_those_of_the_table(outputs: Outputs) -> None:
    first, second, third = json.loads(outputs.numbers.read_text())
    assert first == {
        "system": "transducer",
        "set": "test",
        "values": {"rate": "0.1"},
        "rates": [10.0, 12.0],
        "mean": 11.0,
        "deviation": pytest.approx(statistics.stdev([10.0, 12.0])),
    }
    assert second["values"] == {"rate": "0.2"} and third["deviation"] is None


def test_means_may_be_taken_over_other_axes(outputs: Outputs) -> None:
    found = compare.groups(ROWS, WERS, ("rate", "seed"))
    assert [(g.system, len(g.rates), dict(g.values)) for g in found] == [
        ("transducer", 4, {}),
        ("CTC <greedy>", 1, {}),
    ]


def test_a_table_without_means_claims_none() -> None:
    lines = compare.table(compare.groups(ROWS, WERS, ()), ()).splitlines()
    assert lines[0] == "Comparison" and lines[2].split()[2:4] == ["rate", "seed"]
    assert "WER%: of one run each." in lines


def test_the_plot_shows_each_mean_bar_and_run(outputs: Outputs) -> None:
    root = ElementTree.fromstring(outputs.plot.read_bytes())
    svg = "{http://www.w3.org/2000/svg}"
    texts = [node.text for node in root.iter(f"{svg}text")]
    titles = ["WER % of transducer, test", "WER % of CTC <greedy>, dev"]
    assert set(titles) < set(texts) and {"0.1", "0.2", "rate"} < set(texts)
    first, second = root.iter(f"{svg}g")
    means = [c for c in first.iter(f"{svg}circle") if c.get("r") == "3.5"]
    assert len(means) == 2 and len(list(first.iter(f"{svg}circle"))) == 2 + 4
    # 11 % is above 9.25 %, and the runs of a point lie evenly to both sides of its mean.
    assert float(means[0].get("cy", "")) < float(means[1].get("cy", ""))
    runs = [float(c.get("cy", "")) for c in first.iter(f"{svg}circle") if c.get("r") == "2"]
    assert sum(runs[:2]) / 2 == pytest.approx(float(means[0].get("cy", "")), abs=0.1)
    assert len(list(second.iter(f"{svg}circle"))) == 2


def test_series_are_apart_and_named() -> None:
    rows = [
        Row(system="s", set="test", values={"units": u, "rate": r})
        for u in ("128", "256")
        for r in ("1", "2", "3")
    ]
    text = plot(compare.groups(rows, [10.0, 11.0, 12.0] * 2, ("seed",))).decode()
    assert "units=128" in text and "units=256" in text and ">rate<" in text
    assert text.count("<polyline") == 2


def test_rows_and_scores_of_different_number(outputs: Outputs, log: logging.Logger) -> None:
    with pytest.raises(JobError, match=r"score.compare: found 0 scores, needed 5"):
        compare.run(Inputs(scores=()), outputs, Params(rows=tuple(ROWS)), log)


def test_many_series_and_labels_stay_within_the_plot() -> None:
    units = [f"encoder-{i}" for i in range(30)]
    rates = [f"schedule-{i}" for i in range(31)]
    rows = [
        Row(system="s", set="test", values={"units": u, "rate": r}) for u in units for r in rates
    ]
    wers = [10.0 + i % 7 for i in range(len(rows))]
    root = ElementTree.fromstring(plot(compare.groups(rows, wers, ())))
    svg = "{http://www.w3.org/2000/svg}"
    width, height = float(root.get("width", "")), float(root.get("height", ""))
    names = [t for t in root.iter(f"{svg}text") if (t.text or "").startswith("units=")]
    assert len(names) == 30
    for text in names:
        assert float(text.get("y", "")) < height
        assert float(text.get("x", "")) + 7 * len(text.text or "") < width
    lines = {(p.get("stroke"), p.get("stroke-dasharray")) for p in root.iter(f"{svg}polyline")}
    assert len(lines) > 7 * 3
    ticks = [float(t.get("x", "")) for t in root.iter(f"{svg}text") if t.text in rates]
    step = ticks[1] - ticks[0]
    assert step > 6 * len(rates[-1])  # labels are apart
    for line in root.iter(f"{svg}polyline"):
        first = float((line.get("points") or "").split(",")[0])
        assert abs(first - ticks[0]) < step / 2  # and nearer to their points than the next ones
