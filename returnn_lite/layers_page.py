"""All layers and losses: `python -m returnn_lite.layers_page > docs/layers.md`."""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from collections.abc import Iterator, Mapping, Set

from returnn_lite import layers, losses
from returnn_lite.layers import base as layers_base
from returnn_lite.layers.base import Layer
from returnn_lite.losses import base as losses_base
from returnn_lite.node import Common

_HEAD = """# Layers

Made by `make docs` from the layers themselves: what each computes, its input and output (`in` and
`out`), its options with their defaults, what differs from RETURNN, and the source. The class is the
name in a network dict; `from` names one layer or a list of them, by default `data`; several are
joined in the feature dim where a layer has one input. An option that is not listed is unknown, and
an error.
"""

# What options mean that several layers have.
SHARED = {
    "n_out": "size of the output's feature dim",
    "activation": "None, or what is applied to the result, see the layer `activation`",
    "with_bias": "whether there is a parameter `bias` or `b`",
    "forward_weights_init": "first values of the weights: a number, or an initialiser by name",
    "bias_init": "first values of the bias, likewise",
    "axis": "the dim, by an axis word",
    "dtype": "type of the values",
    "sparse": "whether they are labels, of as many classes as there are entries",
}


def page() -> str:
    """Return the page as Markdown."""
    parts = [_HEAD, "\n## Options of all layers\n\n", _text(Common), _table(Common)]
    parts += ["\n## Options of several layers\n\n| option | meaning |\n|---|---|\n"]
    parts += [f"| `{name}` | {_plain(text)} |\n" for name, text in SHARED.items()]
    for name, classes in layer_classes():
        parts.append(f"\n## {name}\n\n")
        for cls in classes:
            parts += [f"### {cls.__name__}\n\n"] if len(classes) > 1 else []
            out = output(cls)
            parts += [_text(cls), f"\nout: {_plain(out)}.\n" if out else "", _table(cls)]
    parts += ["\n# Losses\n\nThe values of `loss`; the options are keys of `loss_opts`.\n\n"]
    parts += [_text(losses.Criterion), _table(losses.Criterion)]
    general = {f.name for f in dataclasses.fields(losses.Criterion)}
    for name, loss in sorted(losses_base.registered().items()):
        parts += [f"\n## Loss {name}\n\n", _text(loss), _table(loss, without=general)]
    return "".join(parts)


def layer_classes() -> Iterator[tuple[str, list[type[Layer]]]]:
    """Yield the names of layers with the classes that they stand for."""
    layers.load()
    for name in layers_base.layer_classes():
        yield name, layers_base.classes_of(name)


def _text(cls: type) -> str:
    text = inspect.cleandoc(cls.__doc__ or "")
    # What follows the options of a base class is for those who write layers and losses.
    public = [p for p in text.split("\n\n") if not p.startswith("needs_target")]
    return _plain("\n\n".join(public)) + "\n"


def output(cls: type[Layer]) -> str:
    """Return what the output is where the docstring of the layer does not say so."""
    if "out:" in (cls.__doc__ or ""):
        return ""
    text = (inspect.getdoc(cls.infer) or "").split(".\n")[0].rstrip(".")
    found = re.fullmatch(r"Return the template[:,]? ?(.+)", text, re.DOTALL)
    if found is None or found[1].startswith("and "):
        return ""
    out = re.sub("^of the ", "that of the ", found[1].split(", and declare")[0].split(";")[0])
    return f"as the input, {out}" if out.startswith(("with", "in ")) else out


def _plain(text: str) -> str:
    """Return text in which Markdown sees no markup but that of code."""
    parts = text.split("`")
    parts[::2] = [re.sub(r"([*<])", r"\\\1", p) for p in parts[::2]]
    return "`".join(parts)


def _table(cls: type, without: Set[str] = frozenset()) -> str:
    """Return a table of options: name, type and default."""
    fields = [f for f in dataclasses.fields(cls) if f.name not in without]
    newer: Mapping[str, tuple[int, object]] = getattr(cls, "newer", {})
    rows = "".join(_row(f, newer.get(f.name)) for f in fields)
    return f"\n| option | type | default |\n|---|---|---|\n{rows}" if rows else ""


def _row(field: dataclasses.Field[object], newer: tuple[int, object] | None) -> str:
    default = "needed"
    if field.default is not dataclasses.MISSING:
        default = f"`{field.default!r}`"
    elif field.default_factory is not dataclasses.MISSING:
        default = f"`{field.default_factory()!r}`"
    if newer is not None:
        default += f"; from behaviour version {newer[0]} on `{newer[1]!r}`"
    kind = str(field.type).replace("|", "\\|")
    return f"| `{field.name}` | `{kind}` | {default} |\n"


if __name__ == "__main__":
    sys.stdout.write(page())
