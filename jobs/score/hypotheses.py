"""Results of a search, as JSONL: one utterance a line."""

from __future__ import annotations

import json
from pathlib import Path

from jobs.job import JobError


def read_hypotheses(path: Path) -> dict[str, str]:
    """Read the best text of each utterance, {utt: text}.

    Raises JobError, with file and line, where a line has no `utt` and `text`, or an utterance is
    there twice.
    """
    texts: dict[str, str] = {}
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
                utt, text = str(row["utt"]), str(row["text"])
            except (ValueError, TypeError, KeyError) as error:
                raise JobError(
                    f"{path}:{number}: not a hypothesis ({type(error).__name__}: {error}), needed "
                    'a line such as {"utt": "a", "text": "one two", ...}'
                ) from None
            if utt in texts:
                raise JobError(f"{path}:{number}: hypothesis of {utt!r} is there twice")
            texts[utt] = text
    return texts


def paired(references: dict[str, str], hypotheses: dict[str, str], where: Path) -> list[str]:
    """Return the utterances, in the references' order, if both have the same.

    where: file of the hypotheses. Raises JobError that names missing and extra ones.
    """
    missing = [u for u in references if u not in hypotheses]
    extra = [u for u in hypotheses if u not in references]
    errors = [
        f"{where}: found {what} of {len(names)} utterances: {', '.join(names[:5])}"
        + (", ..." if len(names) > 5 else "")
        for what, names in [("no hypothesis", missing), ("hypotheses, but no reference,", extra)]
        if names
    ]
    if errors:
        raise JobError("\n".join([*errors, "score the hypotheses against the corpus searched"]))
    return list(references)
