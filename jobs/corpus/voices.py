"""The synthetic speakers: accents of English x variants of espeak-ng x pitch x rate."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from jobs.corpus.ranges import Range
from jobs.job import JobError

Split: TypeAlias = Literal["train", "dev", "test"]

ACCENTS = (
    "en-us",
    "en-us-nyc",
    "en",  # of Great Britain
    "en-gb-x-rp",
    "en-gb-scotland",
    "en-gb-x-gbclan",
    "en-gb-x-gbcwmd",
    "en-029",
)

# espeak-ng's variants differ in formants, voice quality, and pitch. Whispering, robots and broken
# voices are left out. Variants that are near copies of each other are in the same split.
VARIANTS: dict[Split, tuple[str, ...]] = {
    "train": (
        *("m1", "m2", "m3", "m4", "m5", "grandpa", "Alex", "max", "pablo", "boris", "Denis"),
        *("Mario", "victor", "rob", "robert", "quincy", "Diogo", "Henrique", "david", "gustave"),
        *("marcelo", "adam", "benjamin", "edward2", "Reed", "michel", "miguel", "mike2", "sandro"),
        *("f1", "f2", "f4", "f5", "aunty", "Annie", "linda", "Alicia"),
    ),
    "dev": ("m6", "Hugo", "Nguyen", "belinda"),
    "test": ("m7", "m8", "Mike", "Michael", "john", "Lee", "paul", "f3", "Andrea", "grandma"),
}


@dataclass(frozen=True, kw_only=True)
class Voice:
    """One speaker. pitch: 0 to 99, the variant's own at 50. rate: words a minute."""

    accent: str
    variant: str
    pitch: int
    rate: int

    @property
    def name(self) -> str:
        """The speaker's name in a manifest."""
        return f"{self.accent}_{self.variant}_p{self.pitch}_r{self.rate}"


@dataclass(frozen=True, kw_only=True)
class Request:
    """An utterance to make. sentence: with commas where there is a pause."""

    utt: str
    voice: Voice
    sentence: str


def draw_voices(
    split: Split, number: int, accents: Sequence[str], pitch: Range, rate: Range, seed: int
) -> list[Voice]:
    """Draw different speakers of a split, its variants as evenly used as can be.

    Variants of different splits are disjoint, and so the speakers are.
    Raises JobError where the ranges hold too few combinations.
    """
    draw = random.Random(f"voices/{split}/{seed}")
    variants = list(VARIANTS[split])
    draw.shuffle(variants)
    voices: dict[Voice, None] = {}  # a set in order
    for _ in range(100 * number):
        if len(voices) == number:
            break
        voice = Voice(
            accent=draw.choice(accents),
            variant=variants[len(voices) % len(variants)],
            pitch=draw.randint(pitch.low, pitch.high),
            rate=draw.randint(rate.low, rate.high),
        )
        voices[voice] = None
    if len(voices) < number:
        raise JobError(
            f"corpus.commands: found {len(voices)} different speakers for {split}, needed "
            f"{number}; try fewer speakers, or wider ranges of pitch and rate"
        )
    return list(voices)
