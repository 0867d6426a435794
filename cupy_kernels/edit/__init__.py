"""Edit distances of batches of label sequences, their rows, and what follows from them."""

from cupy_kernels.edit.completion import optimal_completion, optimal_completion_of_row
from cupy_kernels.edit.op import alignment_counts, edit_distance, edit_distance_row
from cupy_kernels.edit.row import first_edit_distance_row, next_edit_distance_row

__all__ = [
    "alignment_counts",
    "edit_distance",
    "edit_distance_row",
    "first_edit_distance_row",
    "next_edit_distance_row",
    "optimal_completion",
    "optimal_completion_of_row",
]
