"""Edit distances by their recurrence in plain loops: the definition, and what tests compare with.

Everything is of one pair: a, the hypothesis, and b, the reference.
"""

from __future__ import annotations

from collections.abc import Sequence

Labels = Sequence[int]


def first_row(b: Labels) -> list[int]:
    """The distances between no label and the first 0, 1, ..., len(b) labels of b."""
    return list(range(len(b) + 1))


def next_row(row: Sequence[int], label: int, b: Labels) -> list[int]:
    """The row of a hypothesis with one more label (Wagner and Fischer 1974)."""
    new = [row[0] + 1]
    for i, wanted in enumerate(b):
        substitution = row[i] + (wanted != label)
        new.append(min(substitution, row[i + 1] + 1, new[i] + 1))
    return new


def table(a: Labels, b: Labels) -> list[list[int]]:
    """The rows of the first 0, 1, ..., len(a) labels of a."""
    rows = [first_row(b)]
    for label in a:
        rows.append(next_row(rows[-1], label, b))
    return rows


def distance(a: Labels, b: Labels) -> int:
    return table(a, b)[-1][-1]


def optimal_completion(row: Sequence[int], b: Labels, successors: Labels) -> list[int]:
    """For each successor the least distance to b of what begins with the hypothesis and it.

    A completion ends with the rest of b from some place on, so the distance is the least of the
    next row (Sabour et al. 2018).
    """
    return [min(next_row(row, label, b)) for label in successors]


def alignment_counts(a: Labels, b: Labels) -> tuple[int, int, int]:
    """Substitutions, deletions and insertions of one best alignment.

    What both begin and end with alike is matched. The rest is read from its end: a deletion where
    it is among the best steps; else an insertion where it is and a substitution is not; else a
    match or a substitution.
    """
    while a and b and a[0] == b[0]:
        a, b = a[1:], b[1:]
    while a and b and a[-1] == b[-1]:
        a, b = a[:-1], b[:-1]
    rows = table(a, b)
    j, i = len(a), len(b)
    substitutions = deletions = insertions = 0
    while i and j:
        if rows[j][i] == rows[j][i - 1] + 1:
            i, deletions = i - 1, deletions + 1
        elif rows[j - 1][i] < rows[j - 1][i - 1]:
            j, insertions = j - 1, insertions + 1
        else:
            i, j = i - 1, j - 1
            substitutions += a[j] != b[i]
    return substitutions, deletions + i, insertions + j
