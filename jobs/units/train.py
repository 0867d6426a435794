"""Train units on text: sentencepiece's BPE or unigram pieces, or characters."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from jobs.files import written
from jobs.job import Expected, JobError, Resources, folder
from jobs.units.texts import read_texts
from jobs.units.units import BOUNDARY, EOS, FACTS, MODEL, UNK, VOCABULARY, characters

NAME = "units.train"
VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """text: manifests (`.jsonl`) and text files (plain or `.gz`), one sentence a line."""

    text: tuple[Path, ...]


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """units: folder of vocab.txt, one label a line; units.json; spm.model, not for characters."""

    units: Path = folder("units")


@dataclass(frozen=True, kw_only=True)
class Params:
    """kind: byte-pair encoding (Sennrich et al. 2016), unigram pieces (Kudo 2018), or characters.

    vocab_size: number of labels, with `</s>` and `<unk>`. Every character of the text gets a label,
    so it must be large enough; for characters it must be the number of them plus 2.
    """

    kind: Literal["bpe", "unigram", "char"] = "bpe"
    vocab_size: int

    def __post_init__(self) -> None:
        if self.vocab_size < 3:
            raise ValueError(f"found vocab_size {self.vocab_size}, needed 3 or more")


def resources(params: Params) -> Resources:
    return Resources(mem_mb=4000, minutes=120)


def expected(params: Params, inputs: Mapping[str, Expected]) -> dict[str, Expected]:
    """Return the labels of what the units encode."""
    return {"units": Expected(stream={"dim": params.vocab_size, "sparse": True})}


def run(inputs: Inputs, outputs: Outputs, params: Params, log: logging.Logger) -> None:
    """Train, on one thread, so that the same text gives the same bytes.

    Raises JobError for no text, and for a vocab_size out of reach, with the nearest in reach.
    """
    names = ", ".join(map(str, inputs.text))
    texts = [text for path in inputs.text for _, text in read_texts(path) if text]
    if not texts:
        raise JobError(f"{NAME}: found no text in {names or 'no files'}, needed some")
    reserved = sorted(c for c in (BOUNDARY, "\0") if any(c in text for text in texts))
    if reserved:
        raise JobError(f"{NAME}: found {reserved[0]!r} in {names}, which is reserved; remove it")
    if params.kind == "char":
        model, labels = b"", _characters(texts, params.vocab_size)
    else:
        model, labels = _sentencepiece(texts, params)
    with written(outputs.units) as tmp:
        tmp.mkdir()
        (tmp / VOCABULARY).write_text("\n".join(labels) + "\n", encoding="utf-8", newline="\n")
        facts = {"kind": params.kind, "vocab_size": len(labels)}
        (tmp / FACTS).write_text(json.dumps(facts) + "\n", encoding="utf-8")
        if model:
            (tmp / MODEL).write_bytes(model)
    log.info("%s: %d labels from %d sentences", params.kind, len(labels), len(texts))


def _characters(texts: list[str], vocab_size: int) -> list[str]:
    labels = [EOS, UNK, *sorted({c for text in texts for c in characters(text)})]
    if len(labels) != vocab_size:
        raise JobError(
            f"{NAME}: found {len(labels) - 2} characters, needed {vocab_size - 2} by vocab_size "
            f"{vocab_size}; set vocab_size to {len(labels)}"
        )
    return labels


def _sentencepiece(texts: list[str], params: Params) -> tuple[bytes, list[str]]:
    """Return sentencepiece's model and labels. Text is taken as it is, without normalisation."""
    import io

    import sentencepiece

    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=model,
            model_type=params.kind,
            vocab_size=params.vocab_size,
            eos_id=0,
            unk_id=1,
            bos_id=-1,
            pad_id=-1,
            character_coverage=1.0,
            normalization_rule_name="identity",
            max_sentence_length=max(len(text.encode()) for text in texts) + 1,  # none left out
            input_sentence_size=0,  # all, so nothing is drawn at random
            shuffle_input_sentence=False,
            num_threads=1,
            minloglevel=2,
        )
    except (RuntimeError, OSError) as error:
        raise JobError(_reason(str(error), params)) from None
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    return model.getvalue(), [processor.id_to_piece(i) for i in range(params.vocab_size)]


def _reason(error: str, params: Params) -> str:
    """Say sentencepiece's error about the size as ours."""
    found = f"{NAME}: found vocab_size {params.vocab_size}, needed "
    if most := re.search(r"set it to a value <= (\d+)", error):
        return f"{found}at most {most[1]} for this text with kind {params.kind!r}"
    if least := re.search(r"smaller than required_chars\. \d+ vs (\d+)", error):
        return f"{found}at least {least[1]}, so that each character of the text has a label"
    return f"{NAME}: sentencepiece failed: {error}"
