// LSTM over a sequence on the host: all frames in one call, with the matrices packed once.
//
// The panels are dealt to the threads; a thread sums a tile of its panel (product.h) and takes it
// through the cell at once, while it is in the cache. One barrier per frame. Sequences that have
// ended, or not begun, cost nothing. What enters the cells is either given (z), or made here from
// the input of the layer (x, w and bias): then z is never stored. P, Float32 or Bfloat16, is what
// the operands of the products are rounded to (operand.h); all else is float32.
#pragma once
#include <vector>

#include "cell.h"
#include "operand.h"
#include "product.h"
#include "team.h"

struct Lstm {
  const int* lengths;
  index_t time, batch, units, inputs, direction;  // inputs: numbers in a row of x, 0 with z

  // Step 0 is the first frame for direction 1, the last for -1.
  index_t frame(index_t step) const { return direction > 0 ? step : time - 1 - step; }
  bool inside(index_t t, index_t b) const { return t >= 0 && t < lengths[b]; }
  index_t at(index_t t, index_t b) const { return t * batch + b; }
  // The row of sequence b at frame t of `rows`, or its row of `outside` where it has no frame t.
  const float* row(const float* rows, const float* outside, index_t t, index_t b) const {
    return inside(t, b) ? rows + at(t, b) * units : outside + b * units;
  }
};

// The sequences that have a frame, and a row of words for each.
template <class P>
struct Active {
  std::vector<index_t> sequence;
  std::vector<const typename P::Word*> rows;

  void clear() { sequence.clear(), rows.clear(); }
  void add(index_t b, const typename P::Word* row) {
    sequence.push_back(b), rows.push_back(row);
  }
  index_t size() const { return (index_t)sequence.size(); }
};

// Frames that a product with the input's weights takes at once: these do not stay in the nearer
// caches, so that for fewer rows they would be fetched anew too often.
DEVICE index_t frames_at_once(index_t batch) { return batch && batch < 240 ? 240 / batch : 1; }

DEVICE void fill_zero(float* x, index_t count) { memset(x, 0, count * sizeof(float)); }

DEVICE int valid_lanes(index_t start, index_t end, int most) {
  return (int)(end - start < most ? end - start : most);
}

// Asks for the lines of `count` numbers, so that they are there once a product is done.
DEVICE void prefetch(const float* x, int count) {
  for (int i = 0; i < count; i += 16) __builtin_prefetch(x + i);
}

DEVICE void prefetch_gates(const float* x, index_t units, int count) {
  for (int gate = 0; gate < 4; ++gate) prefetch(x + gate * units, count);
}

#include "lstm_forward.h"
#include "lstm_backward.h"
