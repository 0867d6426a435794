// Frames of sequences, and rows of an array [first, second, ..., columns] as such.
#pragma once

#include "kernel.h"

// How many of `all` frames sequence b has: all without lengths, whatever these say no more or less
// than there can be.
DEVICE index_t length_of(const int* lengths, index_t b, index_t all) {
  index_t n = lengths ? lengths[b] : all;
  return n < 0 ? 0 : n > all ? all : n;
}

// One of the first two axes is of sequences and the other one, time_axis, of frames; of sequence b
// the frames below lengths[b] count, all without lengths.
struct Frames {
  const int* lengths;
  index_t first, second, time_axis, rows;
};

DEVICE bool counts(const Frames& f, index_t i, index_t j) {
  return f.time_axis ? j < f.lengths[i] : i < f.lengths[j];
}

// Whether a row counts.
DEVICE bool counts(const Frames& f, index_t row) {
  if (!f.lengths) return true;
  index_t inner = f.rows / (f.first * f.second);
  return counts(f, row / (f.second * inner), row / inner % f.second);
}

// Calls f(begin, end, counts) with the rows of each frame, or all at once without lengths.
template <class F>
DEVICE void each_frame(const Frames& frames, index_t begin, index_t end, F f) {
  if (begin >= end) return;
  if (!frames.lengths) return f(begin, end, true);
  index_t inner = frames.rows / (frames.first * frames.second), frame = begin / inner;
  index_t i = frame / frames.second, j = frame % frames.second;
  for (index_t row = begin; row < end;) {
    index_t next = ++frame * inner < end ? frame * inner : end;
    f(row, next, counts(frames, i, j));
    row = next;
    if (++j == frames.second) j = 0, ++i;
  }
}
