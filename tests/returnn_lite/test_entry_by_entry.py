"""Which expressions take the entries of tensors one by one."""

from __future__ import annotations

import pytest

from returnn_lite.entry_by_entry import entry_by_entry


@pytest.mark.parametrize(
    "expression",
    [
        "source(0) * 2 + 1",
        "tf.nn.relu(source(0)) > source(1)",
        " tf.cast(source(0), 'float32') ",
        "x",
    ],
)
def test_one_by_one(expression: str) -> None:
    assert entry_by_entry(expression)


@pytest.mark.parametrize(
    "expression",
    [
        "tf.reduce_sum(source(0), axis=1)",
        "source(0) @ source(1)",
        "source(0)[:, 1:]",
        "self.network.get_config().value('f')(source(0))",
        "(lambda f: f(source(0)))(tf.tanh)",
        "sum([source(i) for i in range(2)])",
    ],
)
def test_other_than_one_by_one(expression: str) -> None:
    assert not entry_by_entry(expression)


def test_names_that_mean_something_else() -> None:
    assert entry_by_entry("relu(x)") and not entry_by_entry("relu(x)", {"relu": sum})
