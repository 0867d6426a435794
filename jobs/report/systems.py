"""Systems on the sets that they were scored on: scores, comparisons, errors, and utterances."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from jobs.corpus.manifest import Utterance, read_manifest
from jobs.report.evidence import System
from jobs.score.edits import Pair, align, count
from jobs.score.hypotheses import paired, read_hypotheses
from jobs.score.significance import Comparison, compare
from jobs.score.table import read_score


@dataclass(frozen=True)
class Scored:
    """A system, its score.json, and the aligned words of each utterance."""

    system: System
    score: Mapping[str, Any]
    words: Mapping[str, list[Pair]]


@dataclass(frozen=True)
class Set:
    """The systems that were scored on the same utterances."""

    name: str
    utterances: Mapping[str, Utterance]
    systems: Sequence[Scored]

    def best(self, most: int) -> Set:
        """Return the set with its best systems only, by word error rate, the best first."""
        ordered = sorted(self.systems, key=lambda s: float(s.score["wer"]))
        return Set(self.name, self.utterances, ordered[:most])

    def comparisons(self) -> list[tuple[Scored, Scored, Comparison]]:
        """Return each pair of systems, and how the second differs from the first."""
        return [
            (a, b, compare([*a.words.values()], [*b.words.values()]))
            for a, b in combinations(self.systems, 2)
        ]

    def errors(self, utt: str) -> int:
        """Return the errors of all systems in an utterance."""
        return sum(count(s.words[utt]).errors for s in self.systems)

    def worst(self) -> list[str]:
        """Return all utterances, those with the most errors first."""
        return sorted(self.utterances, key=lambda utt: -self.errors(utt))

    def frequent(self, kind: str, most: int) -> list[tuple[Pair, list[int]]]:
        """Return the most frequent errors: what for what, and how often for each system.

        kind: substitutions, deletions or insertions.
        """
        counted = [
            Counter(pair for pairs in s.words.values() for pair in pairs if _kind(pair) == kind)
            for s in self.systems
        ]
        total: Counter[Pair] = sum(counted, Counter())
        rows = sorted(total.items(), key=lambda row: (-row[1], row[0][0] or "", row[0][1] or ""))
        return [(pair, [c[pair] for c in counted]) for pair, _ in rows[:most]]


def _kind(pair: Pair) -> str:
    reference, hypothesis = pair
    if reference == hypothesis:
        return "correct"
    if hypothesis is None:
        return "deletions"
    return "insertions" if reference is None else "substitutions"


def read_scores(systems: Sequence[System]) -> list[tuple[System, Mapping[str, Any] | None]]:
    """Return the systems with their scores; None for a score that is not there yet."""
    return [(s, read_score(s.score) if s.score.is_file() else None) for s in systems]


def read_sets(systems: Sequence[System]) -> list[Set]:
    """Return the sets that systems were scored on, of those whose hypotheses are there."""
    found: dict[Path, list[Scored]] = {}
    corpora: dict[Path, dict[str, Utterance]] = {}
    names: dict[Path, str] = {}
    for system, score in read_scores(systems):
        corpus, hypotheses = system.corpus, system.hypotheses
        if score is None or not (corpus and hypotheses):
            continue
        if not (corpus.is_file() and hypotheses.is_file()):
            continue
        if corpus not in corpora:
            corpora[corpus] = {u.utt: u for u in read_manifest(corpus)}
            names[corpus] = system.set
        words = _aligned(corpora[corpus], hypotheses)
        found.setdefault(corpus, []).append(Scored(system, score, words))
    return [Set(names[corpus], corpora[corpus], rows) for corpus, rows in found.items()]


def _aligned(utterances: Mapping[str, Utterance], path: Path) -> dict[str, list[Pair]]:
    references = {utt: u.text for utt, u in utterances.items()}
    hypotheses = read_hypotheses(path)
    utts = paired(references, hypotheses, path)
    return {utt: align(references[utt].split(), hypotheses[utt].split()) for utt in utts}
