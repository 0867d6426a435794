// The products of an affine map on the host: w is packed once, and rows that do not count are never
// read. Some rows at a time stay in a core's cache, and take all panels there.
#pragma once

#include <vector>

#include "row_sums.h"

// The rows that count of an array.
class Valid {
 public:
  explicit Valid(const Frames& frames) : rows_(frames.rows) {
    valid_.reserve(rows_);
    for (index_t row = 0; row < rows_; ++row)
      if (counts(frames, row)) valid_.push_back(row);
  }
  index_t size() const { return (index_t)valid_.size(); }
  // Where they are in an array of so many columns.
  template <class T>
  std::vector<T*> of(T* array, index_t columns) const {
    std::vector<T*> found;
    found.reserve(valid_.size());
    for (index_t row : valid_) found.push_back(array + row * columns);
    return found;
  }
  void zero_others(float* array, index_t columns) const {
    index_t next = 0;
    for (index_t row : valid_) {
      if (row > next) memset(array + next * columns, 0, (row - next) * columns * sizeof(float));
      next = row + 1;
    }
    if (next < rows_) memset(array + next * columns, 0, (rows_ - next) * columns * sizeof(float));
  }

 private:
  index_t rows_;
  std::vector<index_t> valid_;
};

// Panels of the transposed form of w [columns, depth].
static void pack_transposed(const float* w, index_t depth, index_t columns, float* packed,
                            index_t workers) {
  BLOCKS(p, ceil_div(columns, WIDTH)) {
    index_t column = p * WIDTH, left = columns - column;
    pack_columns<P>(w + column * depth, depth, depth, (int)(left < WIDTH ? left : WIDTH),
                    {packed + column * depth, depth});
  }
}

// outs [rows, columns] = rows [rows, depth] times w.
static void product(const Valid& valid, const float* x, const float* w, bool transposed,
                    const float* bias, float* y, index_t depth, index_t columns,
                    index_t workers) {
  Space<float> packed(ceil_div(columns, WIDTH) * WIDTH * depth);
  if (transposed)
    pack_transposed(w, depth, columns, packed.data(), workers);
  else
    pack_panels<P>(w, depth, columns, packed.data(), workers);
  RowSums sums = {1, depth, columns, packed.data(), bias};
  std::vector<Address> rows = valid.of(x, depth);
  std::vector<float*> outs = valid.of(y, columns);
  sums.in_pieces(valid.size(), workers,
                 [&](index_t first, index_t n) { sums.make(&rows[first], &outs[first], n); });
  valid.zero_others(y, columns);
}

// bias and lengths may be null. count: the numbers of x.
KERNEL linear_forward(const float* x, const float* w, const float* bias, const int* lengths,
                      float* y, index_t first, index_t second, index_t time_axis, index_t count,
                      index_t inputs, index_t outputs, index_t workers) {
  Valid valid({lengths, first, second, time_axis, count / inputs});
  product(valid, x, w, false, bias, y, inputs, outputs, workers);
}

// lengths, dx and dbias may be null: these are not computed then. count: the numbers of x.
KERNEL linear_backward(const float* dy, const float* x, const float* w, const int* lengths,
                       float* dx, float* dw, float* dbias, index_t first, index_t second,
                       index_t time_axis, index_t count, index_t inputs, index_t outputs,
                       index_t workers) {
  Valid valid({lengths, first, second, time_axis, count / inputs});
  if (dx) product(valid, dy, w, true, nullptr, dx, outputs, inputs, workers);
  std::vector<const float*> x_rows = valid.of(x, inputs), dy_rows = valid.of(dy, outputs);
  Space<float> packed(Factor<P>::space(inputs)), unused(dbias ? 0 : outputs);
  float* sums = dbias ? dbias : unused.data();
  memset(dw, 0, inputs * outputs * sizeof(float));
  memset(sums, 0, outputs * sizeof(float));
  std::vector<Factor<P>> factors = {{inputs, x_rows.data(), packed.data(), dw}};
  Team team;
  PRAGMA(omp parallel num_threads(workers) if (workers > 1))
  add_transposed_products<P>(factors, dy_rows.data(), valid.size(), outputs, sums, team);
}
