"""Random sentences of the voice-assistant grammar."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Collection, Iterator

from jobs.corpus.grammar_table import TABLE

START = "request"
_NAME = re.compile(r"\{(\w+)\}")


def expand(name: str, draw: random.Random) -> str:
    """Return one random phrase for a name of the table, with its commas."""
    choice = draw.choice(TABLE[name])
    return _NAME.sub(lambda match: expand(match[1], draw), choice)


def transcript(sentence: str) -> str:
    """Return the words of a sentence, without the commas that ask for a pause."""
    return " ".join(sentence.replace(",", " ").split())


def sentences(draw: random.Random, without: Collection[str] = ()) -> Iterator[str]:
    """Yield random sentences for ever, none whose transcript is in `without`."""
    while True:
        sentence = expand(START, draw)
        if transcript(sentence) not in without:
            yield sentence


def distinct(number: int, draw: random.Random, taken: set[str]) -> list[str]:
    """Draw sentences with transcripts that are not taken yet, and take them."""
    found: list[str] = []
    source = sentences(draw, taken)
    while len(found) < number:
        sentence = next(source)
        taken.add(transcript(sentence))
        found.append(sentence)
    return found


def words() -> set[str]:
    """Return all words of the grammar."""
    choices = (choice for row in TABLE.values() for choice in row)
    return {word for choice in choices for word in transcript(_NAME.sub(" ", choice)).split()}


def derivations(name: str = START) -> int:
    """Return the number of ways to expand a name: about the number of different phrases."""
    return sum(
        math.prod(derivations(part) for part in _NAME.findall(choice)) for choice in TABLE[name]
    )
