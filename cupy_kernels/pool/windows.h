// Windows over images [batch, height, width, channels], of which sequences may have fewer rows.
//
// Entry p of window i is row i * stride - before + p * dilation, and likewise for columns. What is
// outside of the image, or behind the end of its sequence, does not count.
//
// T is a float or, on the host, a register of them: of channels.
#pragma once
#include "channels.h"
#include "frames.h"

#define MAXIMUM 0
#define MEAN 1         // of what counts
#define MEAN_OF_ALL 2  // what does not count is zero
#define PIECE 4096     // numbers of a block, at least

struct Range {
  index_t begin, end;

  bool empty() const { return begin >= end; }
  index_t size() const { return end - begin; }
};

DEVICE index_t least(index_t a, index_t b) { return a < b ? a : b; }
DEVICE index_t most(index_t a, index_t b) { return a > b ? a : b; }

// a / b, rounded up; 0 for a below it.
DEVICE index_t divided_up(index_t a, index_t b) {
  return a <= 0 ? 0 : b == 1 ? a : (a + b - 1) / b;
}

// The windows in one direction.
struct Axis {
  index_t windows, size, stride, dilation;

  index_t span() const { return (size - 1) * dilation + 1; }
  bool adjoin() const { return stride == size && dilation == 1; }
  index_t reach(index_t before) const { return windows * stride - before; }  // if they do

  // The entries of a window from `start` on that lie in a range.
  Range entries(index_t start, Range in) const {
    if (start >= in.begin && start + span() <= in.end) return {0, size};
    index_t begin = divided_up(in.begin - start, dilation);
    return {begin, least(divided_up(in.end - start, dilation), size)};
  }

  // The windows that reach into a range, of which the first starts at -before.
  Range reaching(Range in, index_t before) const {
    return {divided_up(in.begin + before - span() + 1, stride),
            least(divided_up(in.end + before, stride), windows)};
  }

  // The entry of a window from `start` on that lies at a place within its span; -1 for none.
  index_t entry(index_t start, index_t place) const {
    index_t n = place - start;
    return dilation == 1 ? n : n % dilation ? -1 : n / dilation;
  }
};

// A window, and those of its entries that count.
struct Window {
  const float* first;  // channel 0 of its first entry, which may be outside
  index_t row_step, column_step;
  Range p, q;
  index_t count;  // of entries, by which a mean divides

  bool empty() const { return p.empty() || q.empty(); }
  index_t at(index_t p, index_t q) const { return p * row_step + q * column_step; }
  // Of those that count, row by row.
  float number(index_t row, index_t column) const {
    return (float)((row - p.begin) * q.size() + column - q.begin);
  }
};

struct Pool {
  const float* x;
  const int *lengths, *before;
  index_t height, width, channels;
  Axis rows, columns;
  index_t before_step, left, kind;

  index_t image(index_t b) const { return b * height * width * channels; }
  index_t top(index_t b) const { return before ? before[b * before_step] : 0; }
  Range rows_of(index_t b) const { return {0, length_of(lengths, b, height)}; }

  Window window(index_t b, index_t i, index_t j) const {
    index_t row = i * rows.stride - top(b), column = j * columns.stride - left;
    Range p = rows.entries(row, rows_of(b)), q = columns.entries(column, {0, width});
    index_t counted = p.empty() || q.empty() ? 1 : p.size() * q.size();
    return {x + image(b) + (row * width + column) * channels,
            rows.dilation * width * channels,
            columns.dilation * channels,
            p,
            q,
            kind == MEAN ? counted : rows.size * columns.size};
  }
};

// The first of the largest entries, and its number; NaN is larger than all others.
template <class T>
struct Best {
  T value, number;
};

template <class T>
DEVICE Best<T> best_of(const Window& w, index_t c) {
  T number = T();
  Best<T> best = {number, number};
  get(best.value, w.first + w.at(w.p.begin, w.q.begin) + c);
  for (index_t p = w.p.begin; p < w.p.end; ++p)
    for (index_t q = w.q.begin; q < w.q.end; ++q, number += 1.0f) {
      T value;
      get(value, w.first + w.at(p, q) + c);
      auto better = (value > best.value) | (value != value);
      best.value = better ? value : best.value;
      best.number = better ? number : best.number;
    }
  return best;
}

template <class T>
DEVICE T sum_of(const Window& w, index_t c) {
  T sum = T();
  for (index_t p = w.p.begin; p < w.p.end; ++p)
    for (index_t q = w.q.begin; q < w.q.end; ++q) {
      T value;
      get(value, w.first + w.at(p, q) + c);
      sum += value;
    }
  return sum;
}

template <class T>
DEVICE T result_of(const Window& w, index_t kind, index_t c) {
  if (w.empty()) return T();
  return kind == MAXIMUM ? best_of<T>(w, c).value : sum_of<T>(w, c) / (float)w.count;
}
