"""Options of a training: what is out of range is told where a recipe is read."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from returnn_lite.engine.options import AdamOptions, TrainOptions


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"epochs": 0}, "found epochs 0, needed 1 or more"),
        ({"batch_frames": 0}, "found batch_frames 0, needed 1 or more"),
        ({"average": 0}, "found average 0, needed 1 or more"),
        ({"average": 3}, "found average 3, needed at most epochs, 2"),
        ({"learning_rate": -1.0}, "found learning_rate -1.0, needed 0 or more"),
        ({"schedule": ()}, r"schedule: found shares \[\], needed rising ones within 0 and 1"),
        ({"schedule": ((0.5,),)}, r"schedule: found \(\(0.5,\),\), needed pairs of share"),
        ({"schedule": ((0.5, 1.0), (0.5, 0.0))}, r"found shares \[0.5, 0.5\], needed rising"),
        ({"schedule": ((-0.1, 1.0),)}, r"found shares \[-0.1\], needed rising"),
        ({"schedule": ((0.0, 1.0), (1.1, 0.0))}, r"found shares \[0.0, 1.1\], needed rising"),
        ({"schedule": ((0.0, -1.0),)}, r"found factors \[-1.0\], needed none below 0"),
    ],
)
def test_mistakes(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        TrainOptions(**{"epochs": 2, **options})
    assert TrainOptions(epochs=2).adam == AdamOptions()


@pytest.mark.parametrize("wrong", [{"beta1": 1.0}, {"beta2": -0.1}, {"epsilon": 0.0}])
def test_mistakes_in_adam(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"found {next(iter(wrong))} "):
        AdamOptions(**wrong)


def test_reading_options_imports_no_library() -> None:
    code = "import sys, jobs.train.network; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
