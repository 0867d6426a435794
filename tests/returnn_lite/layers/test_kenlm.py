"""Scores of n-grams: in a search, with given labels, and over whole sequences."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from eager import Array, run

from returnn_lite.errors import NetworkError
from returnn_lite.network import Network

Net = dict[str, Any]
# "be" is a word of its own, and the beginning of another one.
ARPA = Path(__file__).with_name("words.arpa")
LABELS = ["</s>", "be@@", "yond", "be", "conc@@", "erns", "it", "<unk>"]
END = 0


def probabilities() -> dict[tuple[str, ...], tuple[float, float]]:
    """Return log10 of the probability, and the back-off weight, of each n-gram of ARPA."""
    found = {}
    for line in ARPA.read_text().splitlines():
        if line.startswith("-"):
            number, words, *weight = line.split("\t")
            found[tuple(words.split())] = float(number), float(weight[0]) if weight else 0.0
    return found


TABLE = probabilities()


def log10(context: tuple[str, ...], word: str) -> float:
    """Return log10 of the probability of a word behind others."""
    word = word if (word,) in TABLE else "<unk>"
    context = context[-2:]
    if (*context, word) in TABLE:
        return TABLE[(*context, word)][0]
    return TABLE.get(context, (0.0, 0.0))[1] + log10(context[1:], word)


def total(words: list[str]) -> float:
    """Return the natural logarithm of the probability of words."""
    known = ["<s>", *(w if (w,) in TABLE else "<unk>" for w in words)]
    return math.log(10) * sum(log10(tuple(known[: i + 1]), w) for i, w in enumerate(known[1:]))


def words_of(labels: list[int], merge: str = "@@") -> list[str]:
    """Return the words so far, and the one that is not complete without its merge symbol."""
    return "".join(LABELS[i] + " " for i in labels).replace(f"{merge} ", "").split()


def sparse_scores(labels: list[int], offset: int = 0) -> list[float]:
    so_far = [total(words_of(labels[offset : i + 1])) for i in range(len(labels))]
    return [b - a for a, b in itertools.pairwise([0.0, *so_far])]


def dense_scores(labels: list[int], offset: int = 0) -> list[list[float]]:
    """Return, behind each label, the change of the score by each that may follow."""
    found = []
    for i in range(len(labels)):
        text = "".join(LABELS[i] + " " for i in labels[offset : i + 1]).replace("@@ ", "")
        *before, last = text.split(" ")
        base = total([*before, last + "@@"] if last else before)
        found.append([total([*before, last + x]) - base for x in LABELS])
    return found


@pytest.fixture
def files(tmp_path: Path) -> Net:
    """Return the options of a layer that name its files."""
    (tmp_path / "labels.txt").write_text("\n".join(LABELS) + "\n")
    return {
        "class": "kenlm",
        "lm_file": str(ARPA),
        "vocab_file": str(tmp_path / "labels.txt"),
        "bpe_merge_symbol": "@@",
    }


STREAMS = {"data": {"dim": len(LABELS)}, "classes": {"dim": len(LABELS), "sparse": True}}


def fusion(lm: Net, scale: float) -> Net:
    """Return a search for labels by the scores that are given for each step, and by n-grams."""
    unit = {
        "labels": {**lm, "from": "prev:output", "dense_output": True, "input_step_offset": 1},
        "scores": {
            "class": "eval",
            "from": ["data:source", "labels"],
            "eval": f"source(0) + {scale} * source(1)",
        },
        "output": {
            "class": "choice",
            "from": "scores",
            "input_type": "log_prob",
            "target": "classes",
            "beam_size": 12,
            "initial_output": 0,
        },
        "lm": {**lm, "from": "output", "is_output_layer": True},
    }
    return {"output": {"class": "rec", "from": "data", "unit": unit}}


def acoustic(best: list[str], others: dict[int, str]) -> Array:
    """Return scores for each step, in which other labels are a little better than the best."""
    found = np.full([1, len(best), len(LABELS)], -8.0, np.float32)
    for i, label in enumerate(best):
        found[0, i, LABELS.index(label)] = -0.5
    for i, label in others.items():
        found[0, i, LABELS.index(label)] = -0.4
    return found


def test_a_search_finds_the_words_that_the_language_model_knows(files: Net) -> None:
    wanted = ["be@@", "yond", "conc@@", "erns", "</s>"]
    data = acoustic(wanted, {1: "it", 3: "it"})
    texts = []
    for scale in (0.0, 1.0):
        net = fusion(files, scale)
        found = run(Network(net, extern_data=STREAMS, search=True), {"data": (data, [5])})
        texts.append([LABELS[i] for i in found["output"].canonical()[0]])
    assert texts == [["be@@", "it", "conc@@", "it", "</s>"], wanted]


def test_scores_follow_the_hypotheses(files: Net) -> None:
    """The n-best list is that of all sequences, and each of them has the scores of its labels."""
    data = np.random.default_rng(0).standard_normal([2, 3, len(LABELS)]).astype(np.float32)
    net = fusion(files, 0.7)
    net["output"]["unit"]["output"]["beam_size"] = len(LABELS) ** 3
    network = Network(net, extern_data=STREAMS, search=True, outputs=["output", "output/lm"])
    out = run(network, {"data": (data, [3, 3])})
    labels, scores = out["output"].canonical(), out["output/lm"].canonical()
    assert out["output"].scores is not None
    totals = out["output"].scores.reshape(-1)
    assert len({tuple(x) for x in labels[: len(LABELS) ** 3]}) == len(LABELS) ** 3
    for b, (row, found, score) in enumerate(zip(labels.tolist(), scores, totals, strict=True)):
        np.testing.assert_allclose(found, sparse_scores(row), atol=1e-5)
        steps = dense_scores([0, *row], offset=1)
        needed = sum(
            float(data[b // len(LABELS) ** 3, t, label]) + 0.7 * steps[t][label]
            for t, label in enumerate(row)
        )
        assert score == pytest.approx(needed, abs=1e-4)


ROWS = [[1, 2, 4, 5, 0], [3, 6, 7], [2, 1, 1, 2], [5, 0, 4, 1]]


def batch() -> dict[str, tuple[Array, list[int]]]:
    values = np.zeros((len(ROWS), 5), np.int32)
    for row, labels in zip(values, ROWS, strict=True):
        row[: len(labels)] = labels
    return {"classes": (values, [len(x) for x in ROWS])}


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("offset", [0, 1, 2])
@pytest.mark.parametrize("place", ["loop", "moved", "sequence"])
def test_scores_of_given_labels(files: Net, dense: bool, offset: int, place: str) -> None:
    lm = {**files, "dense_output": dense, "input_step_offset": offset}
    net: Net = {"output": {**lm, "from": "data:classes"}}
    if place != "sequence":
        moved = place == "moved"
        unit = {"output": {**lm, "from": "data:source"}}
        rec = {"class": "rec", "from": "data:classes", "unit": unit}
        net = {"output": {**rec, "optimize_move_layers_out": moved}}
    found = run(Network(net, extern_data=STREAMS), batch())["output"].canonical()
    for row, labels in zip(found, ROWS, strict=True):
        needed = (dense_scores if dense else sparse_scores)(labels, offset)
        np.testing.assert_allclose(row[: len(labels)], needed, atol=1e-5)


def test_a_function_and_the_vocabulary_of_a_stream_say_the_same(files: Net) -> None:
    streams = {"classes": {"dim": len(LABELS), "sparse": True, "vocab": LABELS}}
    other = {**files, "lm_file": lambda: files["lm_file"], "vocab_unknown_label": "<unk>"}
    del other["vocab_file"]
    net = {"output": {**files, "from": "data:classes"}, "other": {**other, "from": "data:classes"}}
    network = Network(net, extern_data=streams, outputs=["output", "other"])
    out = run(network, batch())
    np.testing.assert_array_equal(out["output"].canonical(), out["other"].canonical())
    assert not network.param_specs()


def test_debug_prints_the_first_steps(files: Net, capfd: pytest.CaptureFixture[str]) -> None:
    unit = {"output": {**files, "from": "data:source", "debug": True}}
    rec = {"class": "rec", "from": "data:classes", "unit": unit, "optimize_move_layers_out": False}
    net = {"output": rec, "whole": {**unit["output"], "from": "data:classes"}}
    network = Network(net, extern_data=STREAMS, outputs=["output", "whole"])
    run(network, batch())
    lines = capfd.readouterr().err.splitlines()
    assert sum(x.startswith("output/output labels [") for x in lines) == 3
    assert sum(x.startswith("whole labels [") for x in lines) == 1


@pytest.mark.parametrize(
    ("opts", "text"),
    [
        ({"from": "data"}, "found source .*, needed labels; try sparse data, or a choice"),
        ({"axis": "B"}, r"found the batch of .* as axis, needed the time, or steps of a loop"),
        ({"vocab_file": None}, r"found no vocab_file, needed the labels of .*; try to give one"),
        ({"vocab_file": "none"}, r"vocab_file none: found no labels \(No such file"),
        (
            {"lm_file": "none"},
            r"lm_file none: found no whole file \(No such file.*, needed an ARPA",
        ),
        ({"lm_file": lambda: 3}, "found lm_file 3, needed the name of a file"),
        ({"vocab_file": str(ARPA)}, "found 26 labels in the vocabulary, needed 8 of"),
        ({"vocab_unknown_label": "UNK"}, "found vocab_unknown_label 'UNK', needed a label of the"),
        ({"bpe_merge_symbol": " "}, "found bpe_merge_symbol ' ', needed one without blanks"),
        ({"input_step_offset": -1}, "found input_step_offset -1, needed 0 or more steps"),
    ],
)
def test_mistakes(files: Net, opts: Net, text: str) -> None:
    layer = {**files, "from": "data:classes", **opts}
    with pytest.raises(NetworkError, match=rf"output \(kenlm\): {text}"):
        Network({"output": layer}, extern_data=STREAMS)


def test_the_scores_of_the_step_before(files: Net) -> None:
    unit = {
        "lm": {**files, "from": "data:source"},
        "output": {"class": "copy", "from": "prev:lm"},
    }
    net = {"output": {"class": "rec", "from": "data:classes", "unit": unit}}
    found = run(Network(net, extern_data=STREAMS), batch())["output"].canonical()
    for row, labels in zip(found, ROWS, strict=True):
        needed = [0.0, *sparse_scores(labels)[:-1]]
        np.testing.assert_allclose(row[: len(labels)], needed, atol=1e-5)
