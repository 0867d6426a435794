"""Transcripts brought to plain words."""

from __future__ import annotations

import unicodedata

# Right and left single quotation mark, modifier letter apostrophe, grave accent.
_APOSTROPHES = str.maketrans(dict.fromkeys("\u2019\u2018\u02bc`", "'"))
# Slash, underscore, ellipsis; dashes (category Pd) are looked up.
_BETWEEN_WORDS = "/_\u2026"


def normalise(text: str, *, lower: bool = True, strip_punctuation: bool = True) -> str:
    """Return words joined by single blanks.

    strip_punctuation: dashes and slashes part words, apostrophes stay, all other punctuation and
    symbols go.
    """
    text = unicodedata.normalize("NFC", text)
    if lower:
        text = text.lower()
    words = text.split()
    if strip_punctuation:
        text = "".join(_plain(c) for c in text.translate(_APOSTROPHES))
        words = [word for word in text.split() if word.strip("'")]
    # An accent may now follow another letter than before.
    return unicodedata.normalize("NFC", " ".join(words))


def _plain(character: str) -> str:
    """Return what stands for one character: itself, a blank, or nothing."""
    category = unicodedata.category(character)
    if character == "'" or category[0] not in "PS":
        return character
    return " " if category == "Pd" or character in _BETWEEN_WORDS else ""
