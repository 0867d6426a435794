"""ARPA files: what is read of them, and the errors for what is none."""

from __future__ import annotations

import gzip
import math
import re
from pathlib import Path

import pytest

from returnn_lite import arpa
from returnn_lite.errors import NetworkError

SMALL = """\
It was made by hand.
\\data\\
ngram 1=4
ngram 2=2

\\1-grams:
-1.0\t<unk>
-99\t<s>\t-0.5
-0.5\t</s>
-0.25\tone\t-0.125

\\2-grams:
-0.2\t<s> one
-0.3\tone one

\\end\\
"""


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "lm.arpa"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_what_is_read_scores_words(tmp_path: Path) -> None:
    model = arpa.read(written(tmp_path, SMALL))
    assert (model.order, len(model.words)) == (2, 4)
    needed = -0.2 - 0.3 + (-0.125 - 1.0) - 0.5
    score = model.score_words(["one", "one", "two", "</s>"])
    assert score == pytest.approx(math.log(10) * needed, rel=1e-6)


def test_compressed_spaced_and_single_words(tmp_path: Path) -> None:
    plain = arpa.read(written(tmp_path, SMALL))
    text = SMALL.replace("\t", "   ").replace("\\2-grams:", "\n\\2-grams:\n").replace("\n", "\r\n")
    packed = tmp_path / "lm"
    packed.write_bytes(gzip.compress(text.encode()))
    again = arpa.read(packed)
    assert again.words == plain.words
    assert again.levels[0].log_prob.tolist() == plain.levels[0].log_prob.tolist()
    single = SMALL.partition("\\2-grams:")[0].replace("ngram 2=2\n", "").replace("\t-0.5\n", "\n")
    model = arpa.read(written(tmp_path, single.replace("\t-0.125", "") + "\\end\\\n"))
    assert model.score_words(["one", "</s>"]) == pytest.approx(-0.75 * math.log(10))


def test_without_unknown_words_they_are_as_good_as_impossible(tmp_path: Path) -> None:
    text = SMALL.replace("-1.0\t<unk>\n", "").replace("1=4", "1=3")
    model = arpa.read(written(tmp_path, text))
    assert model.score_words(["two"]) == pytest.approx((-0.5 - 100) * math.log(10))


def test_a_file_is_read_anew_when_it_has_changed(tmp_path: Path) -> None:
    path = written(tmp_path, SMALL)
    assert arpa.read(path) is arpa.read(path)
    before = arpa.read(path)
    written(tmp_path, SMALL.replace("one", "other"))
    assert arpa.read(path).words != before.words


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("\\data\\", "data", r"line 16: found the end of the file, needed \data\, with which"),
        ("ngram 2=2", "ngram 3=2", "line 4: found 'ngram 3=2', needed 'ngram 2=<how many>', or"),
        ("1=4", "1=5", r"12: found '\\2-grams:', needed as many 1-grams as the head says: another"),
        ("1=4", "1=3", r"line 10: found '-0.25\tone\t-0.125', needed \2-grams:"),
        ("\\2-grams:", "\\3-grams:", r"line 12: found '\\3-grams:', needed \2-grams:"),
        ("-0.2\t<s> one\n", "-0.2\t<s> two\n", "line 13: found the word 'two', needed a 1-gram"),
        ("-0.25\tone", "0.25\tone", r"line 10: found '0.25\tone\t-0.125', needed log10 of a"),
        ("-0.25\tone", "much\tone", "probability, 0 or below, a word, or a back-off weight behind"),
        ("-0.25\tone", "nan\tone", r"line 10: found 'nan\tone"),
        ("one one", "one one -1", r"line 14: found '-0.3\tone one -1', needed log10 of a probab"),
        (
            "one one",
            "one",
            r"line 14: found '-0.3\tone', needed log10 of a probability, 0 or below, 2",
        ),
        ("<unk>", "one", "line 10: found the word 'one' again, needed it once"),
        ("<s>", "<begin>", "found 1-grams without <s>, needed <s> and </s>; try to count n-grams"),
        ("one one", "<s> one", "lm.arpa: found twice the 2-gram '<s> one', needed it once"),
        (
            "2=2",
            "2=3",
            r"line 16: found '\\end\\', needed as many 2-grams as the head says: another",
        ),
        ("\\end\\\n", "", r"line 15: found the end of the file, needed \end\; try to copy or"),
    ],
)
def test_mistakes(tmp_path: Path, old: str, new: str, text: str) -> None:
    path = written(tmp_path, SMALL.replace(old, new))
    with pytest.raises(NetworkError) as error:
        arpa.read(path)
    assert str(path) in str(error.value)
    assert text in str(error.value)


def test_contexts_must_be_there(tmp_path: Path) -> None:
    more = "\\3-grams:\n-0.1\tone <s> one\n\n\\end\\"
    text = SMALL.replace("\\end\\", more).replace("ngram 2=2", "ngram 2=2\nngram 3=1")
    needed = (
        "found the 3-gram 'one <s> one', needed its first words among the 2-grams, too; try to "
        "prune only what has no longer n-grams"
    )
    with pytest.raises(NetworkError, match=re.escape(needed)):
        arpa.read(written(tmp_path, text))


def test_other_files(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=r"none: found no whole file .No such file.*an ARPA"):
        arpa.read(tmp_path / "none")
    binary = b"mmap lm http://kheafield.com/code format version 5\n\0\0\0\0"
    text = "found a binary file of KenLM, needed an ARPA file; try the one that build_binary"
    with pytest.raises(NetworkError, match=text):
        arpa.read(written(tmp_path, binary))
    cut = gzip.compress(SMALL.encode() * 50)[:100]
    with pytest.raises(NetworkError, match=r"found no whole file .*, needed an ARPA file"):
        arpa.read(written(tmp_path, cut))
