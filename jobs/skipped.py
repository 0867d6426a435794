"""Bad utterances: an error that names them, or left out, counted and listed."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from pathlib import Path

from jobs.files import written
from jobs.job import JobError

SHOWN = 10  # utterances that an error names


@dataclass(kw_only=True)
class Skipped:
    """Collects the bad utterances of a job.

    where: what the error begins with. skip: whether to go on without them. advice: what the error
    ends with.
    """

    where: str
    skip: bool
    advice: str
    reasons: dict[str, str] = field(default_factory=dict)  # utterance -> reason

    def add(self, utt: str, reason: str) -> None:
        """Take note of an utterance. Raises JobError at the tenth where none may be skipped."""
        self.reasons[utt] = reason
        if not self.skip and len(self.reasons) >= SHOWN:
            self._fail("at least ")

    def finish(self, path: Path, total: int, log: logging.Logger, *, whole: bool = True) -> None:
        """Write the list as JSONL of {"utt", "reason"}; total: number of utterances seen.

        whole: whether these are all, and not those of a shard. Raises JobError where one may not
        be skipped, or where all are bad.
        """
        every = whole and len(self.reasons) == total
        if self.reasons and (not self.skip or every):
            self._fail("all " if every else "")
        with written(path) as tmp, tmp.open("w", encoding="utf-8") as out:
            for utt, reason in self.reasons.items():
                out.write(json.dumps({"utt": utt, "reason": reason}, ensure_ascii=False) + "\n")
        log.info("%d utterances, %d of them skipped", total, len(self.reasons))

    def _fail(self, count: str) -> None:
        shown = [f"  {utt}: {reason}" for utt, reason in list(self.reasons.items())[:SHOWN]]
        head = f"{self.where}: found {count}{len(self.reasons)} bad utterances:"
        raise JobError("\n".join([head, *shown, self.advice]))
