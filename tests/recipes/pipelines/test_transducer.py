"""The stages of the pipeline that no recipe of the project has: full-sum training (M117)."""

from __future__ import annotations

from dataclasses import replace

from recipes.pipelines.transducer import SCORES, Sizes, Training, stages
from recipes.recipe import Recipe, Stage
from returnn_lite.network import Network
from workflows.graph import resolve

SMALL = {"epochs": 2, "batch_frames": 1000, "learning_rate": 1e-3}
TRAINING = Training(ctc=SMALL, transducer=SMALL, lm=SMALL, full_sum={**SMALL, "epochs": 3})


def recipe(training: Training) -> Recipe:
    corpus = Stage(
        job="corpus.commands",
        params={name: {"utterances": 9, "speakers": 3} for name in ("train", "dev", "test")},
    )
    found = stages(corpus=corpus, sizes=Sizes(labels=80), training=training)
    return Recipe(name="full_sum", stages=found, scores=SCORES)


def test_the_transducer_learns_the_alignments_of_the_full_sum_training() -> None:
    nodes = resolve(recipe(TRAINING))
    inputs = nodes["transducer"].inputs
    assert inputs["init"].node is nodes["full_sum"]
    for name in ("train", "dev"):
        align = inputs[f"{name}_targets"].node
        assert align is nodes[f"align_full_sum_{name}"]
        assert align.inputs["model"].node is nodes["full_sum"]
        assert align.inputs["features"].node is nodes[f"features_{name}"]
    params = nodes["full_sum"].params
    assert params.options.epochs == 3
    streams = {"data": {"dim": 40}, "classes": {"dim": 80, "sparse": True}}
    trained = Network(params.network, extern_data=streams, train=True)
    assert [n.common.loss for n in trained.loss_nodes] == ["transducer"]
    # The encoder of the CTC model, from whose parameters it begins.
    ctc = Network(nodes["ctc"].params.network, extern_data=streams, train=True).param_shapes()
    shared = {k: v for k, v in ctc.items() if not k.startswith("output/")}
    assert shared and shared.items() <= trained.param_shapes().items()


def test_without_it_nothing_else_changes() -> None:
    nodes = resolve(recipe(TRAINING))
    others = resolve(recipe(replace(TRAINING, full_sum=None)))
    assert {*nodes} - {*others} == {"full_sum", "align_full_sum_train", "align_full_sum_dev"}
    assert nodes["ctc"].hash == others["ctc"].hash
    assert nodes["transducer"].hash != others["transducer"].hash
