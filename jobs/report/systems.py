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


class Reader:
    """Reads what systems scored and said, each file once, for however many pages."""

    def __init__(self) -> None:
        self._scores: dict[Path, Mapping[str, Any] | None] = {}
        self._utterances: dict[Path, Mapping[str, Utterance]] = {}
        self._words: dict[tuple[Path, Path], Mapping[str, list[Pair]]] = {}

    def scores(self, systems: Sequence[System]) -> list[tuple[System, Mapping[str, Any] | None]]:
        """Return the systems with their scores; None for a score that is not there yet."""
        for path in {s.score for s in systems} - self._scores.keys():
            self._scores[path] = read_score(path) if path.is_file() else None
        return [(s, self._scores[s.score]) for s in systems]

    def sets(self, systems: Sequence[System]) -> list[Set]:
        """Return the sets that systems were scored on, of those whose hypotheses are there."""
        found: dict[Path, list[Scored]] = {}
        names: dict[Path, str] = {}
        for system, score in self.scores(systems):
            corpus, hypotheses = system.corpus, system.hypotheses
            if score is None or not (corpus and hypotheses):
                continue
            if not (corpus.is_file() and hypotheses.is_file()):
                continue
            names.setdefault(corpus, system.set)
            scored = Scored(system, score, self._aligned(corpus, hypotheses))
            found.setdefault(corpus, []).append(scored)
        return [
            Set(names[corpus], self._utterances[corpus], rows) for corpus, rows in found.items()
        ]

    def _aligned(self, corpus: Path, path: Path) -> Mapping[str, list[Pair]]:
        if corpus not in self._utterances:
            self._utterances[corpus] = {u.utt: u for u in read_manifest(corpus)}
        if (corpus, path) not in self._words:
            references = {utt: u.text for utt, u in self._utterances[corpus].items()}
            hypotheses = read_hypotheses(path)
            self._words[corpus, path] = {
                utt: align(references[utt].split(), hypotheses[utt].split())
                for utt in paired(references, hypotheses, path)
            }
        return self._words[corpus, path]
