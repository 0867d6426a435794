"""A recipe with all that a report shows, and names and words that a page must not take as HTML."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from jobs.align import export
from jobs.corpus.manifest import Utterance, write_manifest
from jobs.report.evidence import Attention, Evidence, Stage, System, Times, Training, Tuning
from jobs.score import wer
from jobs.units import train as units
from jobs.units.units import Units
from returnn_lite.hdf import HdfWriter

RATE = 8000
TEXTS = {"a": "turn the light on", "b": "what <b>time</b> is it", "c": "stop", "d": "go on"}
FIRST = {"a": "turn light on now", "b": "what <b>lime</b> is it", "c": "stop", "d": "go on"}
SECOND = {"a": "turn the light on", "b": "what <b>lime</b> it", "c": "stop", "d": "go"}
SYSTEMS = {"CTC <greedy>": FIRST, "transducer": SECOND}
SOURCES: Mapping[str, Sequence[str]] = {
    "score": ["search", "check"],  # before what it reads
    "corpus": [],
    "check": ["corpus"],
    "train": ["check"],
    "search": ["train", "check"],
}
LOG = logging.getLogger("test")


def make_evidence(folder: Path, name: str = "small") -> Evidence:
    """Write all files of the recipe to a folder."""
    corpus = write_corpus(folder, TEXTS)
    (folder / "scores.json").write_text(json.dumps(_epochs(3)))
    (folder / "progress.json").write_text(json.dumps({"step": 5, "scores": _epochs(2)}))
    (folder / "table.txt").write_text("  lm_scale  WER %\n         0  12.50\n       0.3  10.00\n")
    weights = {"utt": "a", "labels": ["x", "<y>"], "weights": [[[1.0, 0, 0], [0, 0.5, 0.5]]]}
    (folder / "attention.jsonl").write_text(json.dumps(weights) + "\n")
    return Evidence(
        name=name,
        about="Says <nothing> & more.",
        page=f"recipes/{name}.html",
        stages=tuple(
            Stage(
                name=stage,
                job=f"family.{stage}",
                folder=f"{stage}/0",
                state="finished",
                reads=(*r,),
            )
            for stage, r in SOURCES.items()
        ),
        systems=tuple(
            score_system(name, system, folder / str(number), corpus, found)
            for number, (system, found) in enumerate(SYSTEMS.items())
        ),
        trainings=(
            Training(stage="train", scores=folder / "scores.json", progress=folder / "none"),
            Training(stage="more", scores=folder / "none", progress=folder / "progress.json"),
        ),
        tunings=(Tuning(stage="tune", table=folder / "table.txt"),),
        times=(_times(folder, corpus),),
        attention=(Attention(stage="look", weights=folder / "attention.jsonl"),),
        made_with={"python": "3.11"},
    )


def _epochs(number: int) -> list[dict[str, float]]:
    return [
        {"train_loss": 2 / e, "dev_loss": 3 / e, "dev_error": 0.5 / e} for e in range(1, number + 1)
    ]


def write_corpus(folder: Path, texts: Mapping[str, str]) -> Path:
    """Write a second of a tone for each text."""
    utterances = []
    for number, (utt, text) in enumerate(texts.items(), 1):
        samples = 0.5 * np.sin(np.arange(RATE) * 0.1 * number).astype(np.float32)
        soundfile.write(folder / f"{utt}.wav", samples, RATE)
        fields: dict[str, Any] = {"utt": utt, "text": text, "speaker": "s", "duration": 1.0}
        utterances.append(Utterance(audio=folder / f"{utt}.wav", **fields))
    write_manifest(folder / "corpus.jsonl", utterances)
    return folder / "corpus.jsonl"


def score_system(
    recipe: str, system: str, folder: Path, corpus: Path, hypotheses: Mapping[str, str]
) -> System:
    """Score a system in a folder of its own."""
    folder.mkdir()
    rows = [json.dumps({"utt": utt, "text": text}) for utt, text in hypotheses.items()]
    (folder / "hypotheses.jsonl").write_text("\n".join(rows) + "\n")
    wer.run(
        wer.Inputs(corpus=corpus, hypotheses=folder / "hypotheses.jsonl"),
        wer.Outputs(score=folder / "score.json", errors=folder / "errors.txt"),
        wer.Params(resamples=100),
        LOG,
    )
    return System(
        recipe=recipe,
        name=system,
        set="test",
        stage="score",
        score=folder / "score.json",
        corpus=corpus,
        hypotheses=folder / "hypotheses.jsonl",
    )


def _times(folder: Path, corpus: Path) -> Times:
    """Align a letter to each frame of 40 ms."""
    (folder / "text.txt").write_text("\n".join(TEXTS.values()))
    made = units.Outputs(units=folder / "units")
    labels = 2 + len({*" ".join(TEXTS.values())})
    params = units.Params(kind="char", vocab_size=labels)
    units.run(units.Inputs(text=(folder / "text.txt",)), made, params, LOG)
    known = Units.load(made.units)
    with HdfWriter(folder / "alignment.hdf", len(known) + 1, sparse=True) as out:
        for utt in ("a", "c"):
            out.write(utt, np.array(known.encode(TEXTS[utt]), np.int32))
    export.run(
        export.Inputs(corpus=corpus, alignment=folder / "alignment.hdf", units=made.units),
        export.Outputs(ctm=folder / "alignment.ctm", textgrid=folder / "textgrid"),
        export.Params(frame_shift=0.04, repeat_labels=False),
        LOG,
    )
    return Times(stage="times", corpus=corpus, textgrid=folder / "textgrid")
