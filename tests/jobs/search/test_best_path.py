"""The labels of a CTC path."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from jobs.search.best_path import best_paths, collapse
from returnn_lite.dim import BATCH, Dim
from returnn_lite.output import Output, Outputs

BLANK = 3


def test_repeats_are_one_label_unless_a_blank_is_between() -> None:
    assert collapse(np.array([3, 1, 1, 3, 1, 2, 2, 0, 3]), BLANK) == [1, 1, 2, 0]
    assert collapse(np.array([3, 3]), BLANK) == []
    assert collapse(np.array([], dtype=int), BLANK) == []


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3), st.integers(0, 2)), max_size=8),
    st.integers(0, 2),
)
def test_it_undoes_any_alignment(runs: list[tuple[int, int, int]], before: int) -> None:
    """runs: label, number of its frames, number of blanks behind it."""
    path, labels = [BLANK] * before, []
    for label, repeats, blanks in runs:
        if path and path[-1] == label:
            path.append(BLANK)
        path += [label] * repeats + [BLANK] * blanks
        labels.append(label)
    assert collapse(np.array(path, dtype=int), BLANK) == labels


def test_the_best_label_of_every_frame_up_to_the_length() -> None:
    time, feature = Dim("spatial", "time"), Dim("feature", "labels", 4)
    probs = np.full((4, 2, 4), 0.1, np.float32)  # time, batch, labels
    for t, label in enumerate([0, 0, 3, 0]):
        probs[t, 0, label] = 0.7
    for t, label in enumerate([2, 1]):
        probs[t, 1, label] = 0.7
    probs[2:, 1, 0] = 0.9  # behind the end
    output = Output(
        values=probs,
        dims=(time, BATCH, feature),
        time_dim=time,
        feature_dim=feature,
        sparse_dim=None,
        lengths={"time": np.array([4, 2])},
    )
    found = best_paths(["u", "v"], Outputs({"output": output}, {}), "output")
    assert [found[utt][0].labels for utt in ("u", "v")] == [[0, 0], [2, 1]]
    scores = [found[utt][0].score for utt in ("u", "v")]
    np.testing.assert_allclose(scores, np.log(0.7) * np.array([4, 2]), rtol=1e-5)
