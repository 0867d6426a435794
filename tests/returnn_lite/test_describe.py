"""Networks as tables: where the layers of a loop went, as on the tutorial's pages."""

from __future__ import annotations

from models import FEATURES, decoder_net, two_choices_net, two_choices_streams

from returnn_lite.network import Network


def test_placement_is_printed_as_on_the_tutorials_pages() -> None:
    unit = {
        "s": {"class": "linear", "activation": "tanh", "from": ["prev:s", "x"], "n_out": 2},
        "x": {"class": "linear", "activation": None, "from": "data:source", "n_out": 4},
        "output": {"class": "linear", "activation": None, "from": "s", "n_out": 5},
        "end": {"class": "compare", "from": "output", "value": 0},
    }
    network = Network(
        {"output": {"class": "rec", "from": "data", "unit": unit}},
        extern_data={"data": {"dim": FEATURES}},
    )
    text = network.describe()
    expected = """
Rec layer 'output' sub net:
  Input layers moved out of loop:
    x --- [T|'time:var:extern_data:data',B,F|4]
  Layers in loop:
    s --- [B,F|2]
  Output layers moved out of loop:
    output --- [T|'time:var:extern_data:data',B,F|5]
  Unused layers:
    end"""
    assert text.endswith(expected.lstrip("\n")), text


def placed(network: Network) -> dict[str, dict[str, str]]:
    """Return what is printed of the layers of the loop, by title and name."""
    found: dict[str, dict[str, str]] = {}
    title = ""
    lines = network.describe().splitlines()
    for line in lines[lines.index("Rec layer 'output' sub net:") + 1 :]:
        if line.startswith("    "):
            name, _, text = line.strip().partition("---")
            found[title][name.strip()] = text.strip()
        else:
            title = line.strip(" :")
            found[title] = {}
    return found


def test_hypotheses_are_those_of_the_last_choice_before_a_layer() -> None:
    net = decoder_net(labels=4, beam_size=12, max_len="4", end=3, eos=True)
    net["output"]["unit"]["after"] = {"class": "copy", "from": "s", "is_output_layer": True}
    streams = {"data": {"dim": FEATURES}, "classes": {"dim": 4, "sparse": True}}
    forced = placed(Network(net, extern_data=streams))["Input layers moved out of loop"]
    time = "T|'time:var:extern_data:classes'"
    assert forced["output"] == f"ground truth targets, [{time},B], int32, dim 4"
    assert forced["s"] == f"[{time},B,F|4]"
    searching = placed(Network(net, extern_data=streams, search=True))
    before = "beam 'prev:output', beam size 12"
    assert searching["Layers in loop"] == {
        "output": "[B], int32, dim 4, beam 'output', beam size 12",
        "p": f"[B,F|4], {before}",
        "s": f"[B,F|4], {before}",
        "embed": f"[B,F|3], {before}",
        "end": "[B], bool, beam 'output', beam size 12",
    }
    (after,) = searching["Output layers moved out of loop"].values()
    assert after.endswith(",B,F|4], beam 'output', beam size 12")


def test_several_choices_have_a_beam_each() -> None:
    net = two_choices_net(beams=(3, 5))
    how = {"extern_data": two_choices_streams(), "search": True}
    found = placed(Network(net, **how))["Layers in loop"]  # type: ignore[arg-type]
    beams = {name: text.partition("beam ")[2] for name, text in found.items()}
    assert beams["h"] == beams["log_py"] == "'prev:z', beam size 5"
    assert beams["y"] == beams["ey"] == beams["log_pz"] == "'y', beam size 3"
    assert beams["z"] == beams["ez"] == "'z', beam size 5"
    net["output"]["unit"]["y"]["search"] = False
    found = placed(Network(net, **how))["Layers in loop"]  # type: ignore[arg-type]
    assert found["y"].endswith("beam 'y', beam size 5")


def test_a_loop_in_the_steps_of_a_search_has_its_hypotheses() -> None:
    net = decoder_net(labels=4, beam_size=12, max_len="4", end=3, eos=True)
    unit = net["output"]["unit"]
    linear = {"class": "linear", "activation": None, "n_out": 2}
    inner = {
        "fixed": {**linear, "from": "data:source"},
        "own": {**linear, "from": ["prev:own", "fixed"]},
        "query": {**linear, "from": "base:s"},
        "output": {**linear, "from": ["own", "query", "prev:output"]},
    }
    unit["inner"] = {"class": "rec", "from": "base:heard", "unit": inner}
    unit["mean"] = {"class": "reduce", "mode": "mean", "axis": "T", "from": "inner"}
    unit["p"]["from"] = ["s", "mean"]
    net["heard"] = {**linear, "from": "data"}
    streams = {"data": {"dim": FEATURES}, "classes": {"dim": 4, "sparse": True}}
    text = Network(net, extern_data=streams, search=True).describe()
    rows = text.partition("Rec layer 'output/inner' sub net:")[2].splitlines()
    found = {r.partition("---")[0].strip(): r.partition("beam ")[2] for r in rows if "---" in r}
    of = "'prev:output', beam size 12"
    assert found == {"fixed": "", "own": "", "query": of, "output": of}
