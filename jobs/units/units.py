"""The units of a model's output: labels of text, and text of labels."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from jobs.job import JobError

EOS, UNK = "</s>", "<unk>"  # labels 0 and 1
BOUNDARY = "\u2581"  # stands for a blank: a label that begins with it begins a word

VOCABULARY, FACTS, MODEL = "vocab.txt", "units.json", "spm.model"


class Units:
    """Labels with an encoder of text.

    labels: one for each index; 0 is `</s>`, the end (and begin) of a sentence, 1 is `<unk>`.
    pieces: splits a text, in which each white space is one blank, into labels; what is no label
    may come as pieces of any length.
    """

    def __init__(self, labels: Sequence[str], pieces: Callable[[str], list[str]]) -> None:
        self.labels = list(labels)
        self._pieces = pieces
        self._index = {label: i for i, label in enumerate(self.labels)}

    @classmethod
    def load(cls, folder: Path) -> Units:
        """Load a units folder. Raises JobError for what `units.train` did not write."""
        try:
            kind = json.loads((folder / FACTS).read_text(encoding="utf-8"))["kind"]
            labels = (folder / VOCABULARY).read_text(encoding="utf-8").split("\n")[:-1]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise JobError(f"{folder}: found no units ({error}), needed a units folder") from None
        if labels[:2] != [EOS, UNK] or len(set(labels)) != len(labels):
            raise JobError(f"{folder / VOCABULARY}: found {labels[:2]}, needed {EOS}, {UNK} first")
        if kind == "char":
            return cls(labels, characters)
        processor = _processor(folder / MODEL)
        found = [processor.id_to_piece(i) for i in range(processor.get_piece_size())]
        if found != labels:
            raise JobError(f"{folder}: found {MODEL} and {VOCABULARY} with different labels")
        return cls(labels, lambda text: list(processor.encode(text, out_type=str)))

    def __len__(self) -> int:
        return len(self.labels)

    def encode(self, text: str) -> list[int]:
        """Return the labels of a text, without `</s>`; what has no label becomes `<unk>`."""
        return [self._index.get(piece, 1) for piece in self._pieces(_blanks(text))]

    def unknown(self, text: str) -> str:
        """Return the characters of a text that have no label, sorted."""
        pieces = (p for p in self._pieces(_blanks(text)) if self._index.get(p, 1) < 2)
        found = {c for piece in pieces for c in piece if c != BOUNDARY}
        return "".join(sorted(found | ({BOUNDARY} & set(text))))

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of labels; `</s>` is left out, `<unk>` stands for itself.

        Raises ValueError for an index that is no label.
        """
        labels = []
        for i in ids:
            if not 0 <= i < len(self.labels):
                raise ValueError(f"found label {i}, needed 0 to {len(self.labels) - 1}")
            labels.append(self.labels[i] if i else "")
        return _blanks("".join(labels).replace(BOUNDARY, " "))


def characters(text: str) -> list[str]:
    """Split a text into characters, blanks as the boundary."""
    return list(text.replace(" ", BOUNDARY))


def _blanks(text: str) -> str:
    return " ".join(text.split())


def _processor(path: Path) -> Any:
    from sentencepiece import SentencePieceProcessor

    try:
        return SentencePieceProcessor(model_proto=path.read_bytes())
    except (OSError, RuntimeError) as error:
        raise JobError(f"{path}: found no sentencepiece model ({error})") from None
