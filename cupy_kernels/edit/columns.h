// Columns of the table of edit distances in bits: Myers 1999, in the form of Hyyroe 2003.
//
// D[i, j] is the distance between the first i labels of b and the first j of a. Neighbours differ
// by -1, 0 or 1, so 64 rows of a column are two words: where D[i, j] - D[i - 1, j] is 1 (`plus`),
// and where it is -1 (`minus`). A strip of 64 rows is swept over all of a; the steps
// D[i, j] - D[i, j - 1] along its last row lead into the next strip.
//
// A thread takes LANES pairs at once. They end together: one with a shorter a waits in column 0,
// kept there by steps of 0 and by labels that match nothing.
#pragma once
#include "pair.h"

struct Column {
  lanes_t plus, minus;
};

// The pairs of a thread, and its space. `first` and `masks` are zero between two bundles.
struct Bundle {
  Pair pairs[LANES];
  int columns, rows;            // the most of all pairs
  unsigned slots;
  int *first, *taken;           // of Numbers
  int *a_numbers, *b_numbers;   // [columns, LANES], [rows, LANES]
  word_t* masks;                // [rows + 1, LANES]: which rows of the strip have label number n
  Column* steps;                // [ceil(columns / 64)], a bit per column
};

// Numbers of all labels, and steps of 1 along row 0.
DEVICE void prepare(const Bundle* s) {
  for (int chunk = 0; 64 * chunk < s->columns; ++chunk) s->steps[chunk].minus = lanes_t{};
  for (int lane = 0; lane < LANES; ++lane) {
    Pair p = s->pairs[lane];
    int start = s->columns - p.a_length;
    for (int j = 0; j < start; ++j) s->a_numbers[j * (index_t)LANES + lane] = 0;
    Numbers n = {s->a_numbers + start * (index_t)LANES + lane, s->b_numbers + lane, s->first,
                 s->taken, s->slots};
    number_labels(p, n);
    for (int chunk = 0; 64 * chunk < s->columns; ++chunk)
      set_lane(&s->steps[chunk].plus, lane, ~low_bits(start - 64 * chunk));
  }
}

// Sets, or clears, the bits of the strip whose first row has label b[top].
DEVICE void mark_rows(const Bundle* s, int top, bool set) {
  for (int lane = 0; lane < LANES; ++lane) {
    int length = s->pairs[lane].b_length, end = length - top < 64 ? length : top + 64;
    for (int i = top; i < end; ++i) {
      index_t number = s->b_numbers[i * (index_t)LANES + lane];
      word_t* mask = s->masks + number * LANES + lane;
      *mask = set ? *mask | (word_t)1 << (i - top) : 0;
    }
  }
}

DEVICE lanes_t matches(const Bundle* s, int j) {
  const int* numbers = s->a_numbers + j * (index_t)LANES;
  lanes_t rows = {};
  for (int lane = 0; lane < LANES; ++lane)
    set_lane(&rows, lane, s->masks[numbers[lane] * (index_t)LANES + lane]);
  return rows;
}

// The next column. The step above the strip is the lowest bit of `steps`; that along its last row
// is shifted in at the top.
DEVICE Column next_column(Column column, lanes_t match, Column* steps) {
  const word_t one = 1, last = one << 63;
  lanes_t plus = column.plus, minus = column.minus;
  lanes_t above_plus = steps->plus & one, above_minus = steps->minus & one;
  lanes_t x = match | above_minus;
  lanes_t same = (((x & plus) + plus) ^ plus) | x | minus;  // D[i, j] = D[i - 1, j - 1]
  lanes_t right_plus = minus | ~(same | plus), right_minus = plus & same;
  steps->plus = steps->plus >> one | (right_plus & last);
  steps->minus = steps->minus >> one | (right_minus & last);
  right_plus = right_plus << one | above_plus;
  right_minus = right_minus << one | above_minus;
  Column next = {right_minus | ~(same | right_plus), right_plus & same};
  return next;
}

// The strip's last column; all of them go into `trace` [columns], unless it is null.
DEVICE Column sweep(const Bundle* s, int top, Column* trace) {
  mark_rows(s, top, true);
  Column column = {~lanes_t{}, lanes_t{}};
  for (int start = 0; start < s->columns; start += 64) {
    int count = s->columns - start < 64 ? s->columns - start : 64;
    Column steps = s->steps[start / 64];
    for (int j = start; j < start + count; ++j) {
      column = next_column(column, matches(s, j), &steps);
      if (trace) trace[j] = column;
    }
    const word_t unused = 64 - count;
    steps.plus = steps.plus >> unused;
    steps.minus = steps.minus >> unused;
    s->steps[start / 64] = steps;
  }
  mark_rows(s, top, false);
  return column;
}
