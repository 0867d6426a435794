"""ARPA files: language models of n-grams as text."""

from __future__ import annotations

import functools
import gzip
import itertools
import operator
import re
from collections.abc import Iterable, Iterator, Sequence, Set
from pathlib import Path

import numpy as np

from returnn_lite.errors import NetworkError
from returnn_lite.ngram import BEGIN, END, NONE, UNKNOWN, Array, Level, NGrams

# What KenLM takes for the probability of an unknown word where a model has no `<unk>`: log10.
WITHOUT_UNKNOWN = -100.0
_BLOCK = 1 << 16  # lines that are read at once
_BINARY = b"mmap lm http://kheafield.com/code"


def read(path: str | Path) -> NGrams:
    """Return the language model of an ARPA file, which may be compressed by gzip.

    As KenLM has it, an unknown word has the probability 1e-100 where there is no `<unk>`.
    Raises NetworkError for what is no such file: path and line, what was found there, and needed.
    """
    path = Path(path)
    try:
        stat = path.stat()
        return _read(path, stat.st_mtime_ns, stat.st_size)
    except (OSError, EOFError) as error:
        reason = getattr(error, "strerror", None) or error
        raise NetworkError(f"{path}: found no whole file ({reason}), needed an ARPA file") from None


@functools.lru_cache(maxsize=4)
def _read(path: Path, changed: int, size: int) -> NGrams:
    """Read a file once while it is the same: networks of training and search share the model."""
    with path.open("rb") as file:
        start = file.read(len(_BINARY))
    if start == _BINARY:
        raise NetworkError(
            f"{path}: found a binary file of KenLM, needed an ARPA file; try the one that "
            "build_binary has made it of"
        )
    with gzip.open(path) if start[:2] == b"\x1f\x8b" else path.open("rb") as lines:
        return _Reader(path, lines).model()


class _Reader:
    """Reads the lines of one file, and knows at which it is."""

    def __init__(self, path: Path, lines: Iterable[bytes]):
        self.path = path
        self.lines: Iterator[bytes] = iter(lines)
        self.line = 0
        self.words: dict[bytes, int] = {}

    def error(self, found: str, needed: str) -> NetworkError:
        """Return an error at the line."""
        return NetworkError(f"{self.path}, line {self.line}: found {found}, needed {needed}")

    def next(self, needed: str) -> bytes:
        """Return the next line that is not empty, without white space around it."""
        for line in self.lines:
            self.line += 1
            if text := line.strip():
                return text
        raise self.error("the end of the file", f"{needed}; try to copy or to write it anew")

    def expect(self, needed: str) -> None:
        """Take the next line that is not empty. Raises NetworkError for another one."""
        if (text := self.next(needed)) != needed.encode():
            raise self.error(_shown(text), needed)

    def model(self) -> NGrams:
        """Return what the file has."""
        counts = self._counts()
        levels: list[Level] = []
        _, log_prob, backoff = self._section(1, counts)
        if missing := [w.decode() for w in (BEGIN, END) if w not in self.words]:
            raise self.error(
                f"1-grams without {missing[0]}",
                f"{BEGIN.decode()} and {END.decode()}; try to count n-grams of sentences with both",
            )
        if UNKNOWN not in self.words:
            self.words[UNKNOWN] = len(self.words)
            log_prob = np.append(log_prob, np.float32(WITHOUT_UNKNOWN))
            backoff = np.append(backoff, np.float32(0))
        for order in range(2, len(counts) + 1):
            self.expect(f"\\{order}-grams:")
            levels.append(self._level(levels, *self._section(order, counts)))
        self.expect("\\end\\")
        return NGrams(self.words, log_prob, backoff, tuple(levels))

    def _counts(self) -> list[int]:
        """Return how many n-grams of each order the file says that it has."""
        while self.next("\\data\\, with which ARPA files begin") != b"\\data\\":
            pass
        counts: list[int] = []
        while (text := self.next("\\1-grams:")) != b"\\1-grams:" or not counts:
            found = re.fullmatch(rb"ngram\s+(\d+)\s*=\s*(\d+)", text)
            order = len(counts) + 1
            if found is None or int(found[1]) != order:
                raise self.error(_shown(text), f"'ngram {order}=<how many>', or \\1-grams:")
            counts.append(int(found[2]))
        return counts

    def _section(self, order: int, counts: Sequence[int]) -> tuple[Array, Array, Array]:
        """Return words, log_prob and backoff of the n-grams of one order, as they are written."""
        count, widths = counts[order - 1], {order + 1, order + 2}
        if order == len(counts):  # they are no contexts
            widths = {order + 1}
        ids = np.zeros((count, order), np.int64)
        log_prob, backoff = (np.zeros(count, np.float32) for _ in range(2))
        row = 0
        while row < count:
            block = list(itertools.islice(self.lines, min(count - row, _BLOCK)))
            if not block:
                self.next(f"{count} {order}-grams and \\end\\, and read {row}")
            found = [fields for line in block if (fields := line.split())]
            part = slice(row, row + len(found))
            try:
                columns = self._columns(found, order, row, widths)
            except (KeyError, ValueError):
                raise self._first_error(block, order, row, widths) from None
            log_prob[part], ids[part], backoff[part] = columns
            row, self.line = row + len(found), self.line + len(block)
        return ids, log_prob, backoff

    def _columns(
        self, rows: Sequence[list[bytes]], order: int, begin: int, widths: Set[int]
    ) -> tuple[Array, Array, Array]:
        """Return log_prob, words and backoff of n-grams. Raises KeyError, ValueError for others."""
        if not set(map(len, rows)) <= widths:
            raise ValueError("fields")
        log_prob = np.array([float(row[0]) for row in rows], np.float32)
        if order == 1:
            self.words.update((row[1], begin + i) for i, row in enumerate(rows))
            if len(self.words) != begin + len(rows):
                raise ValueError("a word twice")
        get = self.words.__getitem__
        ids = [list(map(get, map(operator.itemgetter(i + 1), rows))) for i in range(order)]
        weights = [float(row[-1]) if len(row) > order + 1 else 0.0 for row in rows]
        backoff = np.array(weights, np.float32)
        if not (np.isfinite(log_prob) & (log_prob <= 0) & np.isfinite(backoff)).all():
            raise ValueError("no such number")
        return log_prob, np.array(ids, np.int64).T, backoff

    def _first_error(
        self, block: Sequence[bytes], order: int, begin: int, widths: Set[int]
    ) -> NetworkError:
        """Return the error of the first line of a block that is no n-gram."""
        if order == 1:
            self.words = dict(itertools.islice(self.words.items(), begin))
        row = begin
        for line in block:
            self.line += 1
            fields = line.split()
            if order == 1 and len(fields) in widths and fields[1] in self.words:
                return self.error(f"the word {_shown(fields[1])} again", "it once")
            try:
                self._columns([fields] if fields else [], order, row, widths)
            except KeyError as error:
                return self.error(f"the word {_shown(error.args[0])}", "a 1-gram")
            except ValueError:
                if line.startswith(b"\\"):
                    needed = f"as many {order}-grams as the head says: another than the first {row}"
                    return self.error(_shown(line.strip()), needed)
                return self.error(_shown(line.strip()), _line_of(order, len(widths) > 1))
            row += bool(fields)
        raise AssertionError("a block is wrong where one of its lines is")

    def _level(self, below: Sequence[Level], ids: Array, log_prob: Array, backoff: Array) -> Level:
        """Return the n-grams of one order by key."""
        number, names = ids[:, 0], list(self.words)

        def fail(row: int, found: str, needed: str) -> NetworkError:
            text = " ".join(names[i].decode(errors="replace") for i in ids[row])
            order = len(below) + 2
            return NetworkError(
                f"{self.path}: found {found} {order}-gram {text!r}, needed {needed}"
            )

        for level, word in zip(below, ids.T[1:-1], strict=True):
            number = level.find(number * len(self.words) + word)
            if (number == NONE).any():
                row = int(np.argmax(number == NONE))
                needed = f"its first words among the {len(below) + 1}-grams, too"
                raise fail(row, "the", needed + "; try to prune only what has no longer n-grams")
        keys = number * len(self.words) + ids[:, -1]
        level = Level.of(keys, log_prob, backoff)
        if (same := np.diff(level.keys) == 0).any():
            rows = np.flatnonzero(keys == level.keys[np.argmax(same)])
            raise fail(int(rows[0]), "twice the", "it once")
        return level


def _line_of(order: int, backoff: bool) -> str:
    """Return what a line of an n-gram is, in words."""
    words = "a word" if order == 1 else f"{order} words"
    return f"log10 of a probability, 0 or below, {words}{', or a back-off weight behind' * backoff}"


def _shown(text: bytes) -> str:
    return repr(text.decode(errors="replace"))
