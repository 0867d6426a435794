"""Word, character and sentence error rate of a search."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.corpus.manifest import read_manifest
from jobs.files import written
from jobs.job import JobError, Resources, file
from jobs.score.hypotheses import paired, read_hypotheses

if TYPE_CHECKING:
    from jobs.score.edits import Counts, Pair

NAME = "score.wer"
VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """corpus: manifest with the references. hypotheses: JSONL. search: search.json, for the RTF."""

    corpus: Path
    hypotheses: Path
    search: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """score: numbers. errors: the errors, to be read."""

    score: Path = file("score.json")
    errors: Path = file("errors.txt")


@dataclass(frozen=True, kw_only=True)
class Params:
    """resamples: bootstrap resamples for the interval of the WER. seed: of their draws."""

    resamples: int = 1000
    seed: int = 1

    def __post_init__(self) -> None:
        if self.resamples < 1 or self.seed < 0:
            raise ValueError(
                f"found resamples {self.resamples} and seed {self.seed}, needed 1 or more and 0 or "
                "more"
            )


def resources(params: Params) -> Resources:
    return Resources(mem_mb=1000, minutes=30)


def run(inputs: Inputs, outputs: Outputs, params: Params, log: logging.Logger) -> None:
    """Score the whole set: errors over words, both summed over all utterances.

    Raises JobError where references and hypotheses are not of the same utterances, and where the
    references have no words.
    """
    from jobs.score.edits import align, count
    from jobs.score.report import report

    references = {u.utt: " ".join(u.text.split()) for u in read_manifest(inputs.corpus)}
    hypotheses = read_hypotheses(inputs.hypotheses)
    utts = paired(references, hypotheses, inputs.hypotheses)
    if not any(references.values()):
        raise JobError(f"{inputs.corpus}: found no words in the references, needed some")
    words, characters = {}, []
    for utt in utts:
        hypothesis = " ".join(hypotheses[utt].split())
        words[utt] = align(references[utt].split(), hypothesis.split())
        characters.append(count(align(references[utt], hypothesis)))
    score = _score(list(words.values()), characters, params)
    score["real_time_factor"] = None if inputs.search is None else _real_time(inputs.search)
    with written(outputs.score) as tmp:
        tmp.write_text(json.dumps(score, indent=1) + "\n", encoding="utf-8")
    with written(outputs.errors) as tmp:
        tmp.write_text(report(words), encoding="utf-8")
    log.info("WER %.2f %%, interval %.2f to %.2f %%", score["wer"], *score["wer_interval"])


def _score(words: list[list[Pair]], characters: list[Counts], params: Params) -> dict[str, Any]:
    """Return the numbers of score.json. Characters are counted with the blanks between words."""
    from jobs.score.bootstrap import interval
    from jobs.score.edits import count, total

    counts = [count(pairs) for pairs in words]
    w, c = total(counts), total(characters)
    wrong = sum(row.errors > 0 for row in counts)
    errors, tokens = [row.errors for row in counts], [row.tokens for row in counts]
    low, high = interval(errors, tokens, params.resamples, params.seed)
    return {
        "sentences": len(counts),
        "sentence_errors": wrong,
        "ser": round(100 * wrong / len(counts), 4),
        "words": w.tokens,
        "substitutions": w.substitutions,
        "deletions": w.deletions,
        "insertions": w.insertions,
        "wer": w.rate,
        "wer_interval": [round(100 * low, 4), round(100 * high, 4)],
        "characters": c.tokens,
        "character_substitutions": c.substitutions,
        "character_deletions": c.deletions,
        "character_insertions": c.insertions,
        "cer": c.rate,
    }


def _real_time(path: Path) -> float:
    """Return the seconds of search for a second of audio."""
    try:
        return round(float(json.loads(path.read_text(encoding="utf-8"))["real_time_factor"]), 4)
    except (ValueError, KeyError, TypeError) as error:
        raise JobError(f"{path}: found no real_time_factor ({error}), needed search.json") from None
