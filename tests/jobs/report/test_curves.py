"""Learning curves from the files of trainings."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.job import JobError
from jobs.report.curves import curves, tuned
from jobs.report.evidence import Evidence, Training, Tuning


def test_a_training_that_is_done(small: Evidence) -> None:
    found = curves(small.trainings[0])
    assert found and (found.stage, found.epochs, found.running) == ("train", 3, False)
    losses, errors = found.charts
    assert [line.name for line in losses.lines] == ["train", "dev"]
    told = [[m.text for m in line.marks] for line in (*losses.lines, *errors.lines)]
    assert told[0][0] == "train: 2 at epoch 1" and told[1][2] == "dev: 1 at epoch 3"
    assert told[2] == ["dev: 50 at epoch 1", "dev: 25 at epoch 2", "dev: 16.67 at epoch 3"]


def test_a_training_that_goes_on(small: Evidence) -> None:
    found = curves(small.trainings[1])
    assert found and (found.epochs, found.running) == (2, True)


def test_before_the_first_epoch(tmp_path: Path) -> None:
    training = Training(stage="x", scores=tmp_path / "a", progress=tmp_path / "b")
    assert curves(training) is None
    (tmp_path / "b").write_text('{"scores": []}')
    assert curves(training) is None


def test_a_loss_without_errors(tmp_path: Path) -> None:
    scores = tmp_path / "scores.json"
    scores.write_text('[{"train_loss": 1.0, "dev_loss": 2.0, "dev_error": NaN}]')
    found = curves(Training(stage="x", scores=scores, progress=tmp_path / "b"))
    assert found and [c.title for c in found.charts] == ["loss per label"]


def test_files_that_are_no_scores(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    for text in ("", "[1]", "{}"):
        path.write_text(text)
        training = Training(stage="x", scores=tmp_path / "none", progress=path)
        with pytest.raises(
            JobError, match=r"found no scores \(.*\), needed those of train.network"
        ):
            curves(training)


def test_what_a_tuning_tried(small: Evidence, tmp_path: Path) -> None:
    found = tuned(small.tunings[0])
    assert found and (found.title, found.x_label) == ("tune: WER, %", "lm_scale")
    assert [m.text for m in found.lines[0].marks] == [
        "WER %: 12.5 at lm_scale 0",
        "WER %: 10 at lm_scale 0.3",
    ]
    assert tuned(Tuning(stage="x", table=tmp_path / "none")) is None
    (tmp_path / "table.txt").write_text("a b\nx\n")
    with pytest.raises(JobError, match=r"table.txt:2: found 'x', needed a value and its WER"):
        tuned(Tuning(stage="x", table=tmp_path / "table.txt"))
