"""The page of layers in the docs is made from the layers as they are, and says what is needed."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from returnn_lite.layers.base import Layer
from returnn_lite.layers_page import SHARED, layer_classes, output, page

CLASSES = [c for _, classes in layer_classes() for c in classes]


def test_the_page_in_docs_is_up_to_date() -> None:
    found = Path(__file__).parents[2] / "docs" / "layers.md"
    assert found.read_text("utf-8") == page(), "run `make docs`"


def test_every_layer_has_a_section_with_its_options() -> None:
    text = page()
    for name, _ in layer_classes():
        assert f"\n## {name}\n" in text
    assert "| `filter_size` | `tuple[int, ...]` | needed |" in text
    assert "\n## Loss ctc\n" in text


@pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.__name__)
def test_a_docstring_says_what_is_computed_and_what_the_options_are(cls: type[Layer]) -> None:
    doc = cls.__doc__ or ""
    assert re.match(r"\S.*?\.(\s|$)", doc, re.DOTALL), "begin with a sentence or formula"
    # A formula may say it all, such as that of the layer `variable`: float [*shape].
    assert output(cls) or "out:" in doc or "[" in doc, "say what the dims of the output are"
    bases = [b.__doc__ or "" for b in cls.__mro__ if issubclass(b, Layer)]
    described = {*re.findall(r"\w+", " ".join(bases)), *SHARED}
    missing = [f.name for f in dataclasses.fields(cls) if f.name not in described]
    assert missing == [], "say what these options mean"
