// The maximum or the mean of each window over images (windows.h), and its gradient: that of a
// maximum goes to the first of the largest entries, which is found again.
//
// x, dx [batch, height, width, channels], y, dy [batch, row windows, column windows, channels];
// lengths [batch], null: all rows count; before [batch], or one number with a step of 0. A thread
// per channel and pixel of what is written, so that nothing is shared: it takes the windows of a
// pixel in their order. On the host a block of rows of dx is filled window by window, in the same
// order.
#include "windows.h"

#define SIZES                                                                                 \
  index_t batch, index_t height, index_t width, index_t channels, index_t row_windows,        \
      index_t column_windows, index_t before_step, index_t left, index_t rows, index_t columns, \
      index_t row_stride, index_t column_stride, index_t row_dilation, index_t column_dilation, \
      index_t kind
#define POOL                                               \
  {x, lengths, before, height, width, channels,            \
   {row_windows, rows, row_stride, row_dilation},          \
   {column_windows, columns, column_stride, column_dilation}, before_step, left, kind}

// f(b, row): for `rows` of each sequence, some in a block.
template <class F>
DEVICE void each_row(index_t batch, index_t rows, index_t numbers, index_t workers, F f) {
  index_t count = 1 + (PIECE - 1) / most(numbers, 1), all = batch * rows;
  BLOCKS(block, (all + count - 1) / count) {
    for (index_t n = block * count; n < least(all, (block + 1) * count); ++n) f(n / rows, n % rows);
  }
}

KERNEL pool_forward(const float* x, const int* lengths, const int* before, float* y, SIZES,
                    index_t workers) {
  Pool pool = POOL;
  index_t numbers = column_windows * channels;
  each_row(batch, row_windows, numbers, workers, [=](index_t b, index_t i) {
    float* to = y + (b * row_windows + i) * numbers;
    each_channel_of(column_windows, channels, [=](index_t j) {
      Window w = pool.window(b, i, j);
      return [=](auto zero, index_t c) {
        put(result_of<decltype(zero)>(w, kind, c), to + j * channels + c);
      };
    });
  });
}

// What the entry of a number has of the gradient of its window.
template <class T>
DEVICE T share_of(const Window& w, index_t kind, T number, T dy, T best) {
  return kind == MAXIMUM ? (best == number ? dy : T()) : dy / (float)w.count;
}

KERNEL pool_gradient(const float* x, const int* lengths, const int* before, const float* dy,
                     float* dx, SIZES, index_t workers) {
  Pool pool = POOL;
  index_t numbers = width * channels;
  each_row(batch, height, numbers, workers, [=](index_t b, index_t row) {
    float* to = dx + pool.image(b) + row * numbers;
    const float* of = dy + b * row_windows * column_windows * channels;
    Range none = {0, 0}, i_of = pool.rows.reaching({row, row + 1}, pool.top(b));
    if (row >= pool.rows_of(b).end) i_of = none;
    each_channel_of(width, channels, [=](index_t column) {
      Range j_of = pool.columns.reaching({column, column + 1}, left);
      return [=](auto zero, index_t c) {
        auto sum = zero;
        for (index_t i = i_of.begin; i < i_of.end; ++i)
          for (index_t j = j_of.begin; j < j_of.end; ++j) {
            index_t p = pool.rows.entry(i * row_stride - pool.top(b), row);
            index_t q = pool.columns.entry(j * column_stride - left, column);
            if (p < 0 || q < 0) continue;
            Window w = pool.window(b, i, j);
            auto d = zero, best = zero;
            get(d, of + (i * column_windows + j) * channels + c);
            if (kind == MAXIMUM) best = best_of<decltype(zero)>(w, c).number;
            sum += share_of(w, kind, zero + w.number(p, q), d, best);
          }
        put(sum, to + column * channels + c);
      };
    });
  });
}

#ifndef __CUDACC__

// Rows of dx that a block makes, a multiple of the stride: where windows overlap, so many that few
// of them are seen by two blocks.
static index_t rows_of_block(const Axis& rows, index_t numbers) {
  index_t needed = rows.span() > rows.stride ? 4 * rows.span() : 1;
  return ceil_div(most(needed, 1 + (PIECE - 1) / most(numbers, 1)), rows.stride) * rows.stride;
}

KERNEL pool_gradient_of_rows(const float* x, const int* lengths, const int* before,
                             const float* dy, float* dx, SIZES, index_t workers) {
  Pool pool = POOL;
  index_t numbers = width * channels, count = rows_of_block(pool.rows, numbers);
  index_t blocks = ceil_div(height, count) + 1;  // they begin where windows do
  bool adjoin = pool.rows.adjoin() && pool.columns.adjoin();  // a pixel is written once
  BLOCKS(block, batch * blocks) {
    index_t b = block / blocks, first = block % blocks * count - pool.top(b) % count;
    Range own = {most(first, 0), least(first + count, height)};
    if (own.empty()) continue;
    float* image = dx + pool.image(b);
    const float* of = dy + b * row_windows * column_windows * channels;
    Range live = {own.begin, least(own.end, pool.rows_of(b).end)};
    for (index_t row = own.begin; row < own.end; ++row) {
      index_t written = !adjoin || row >= least(live.end, pool.rows.reach(pool.top(b))) ? 0
                        : most(0, least(width, pool.columns.reach(left)));
      memset(image + row * numbers + written * channels, 0,
             (width - written) * channels * sizeof(float));
    }
    Range i_of = live.empty() ? live : pool.rows.reaching(live, pool.top(b));
    for (index_t i = i_of.begin; !live.empty() && i < i_of.end; ++i) {
      Range p_of = pool.rows.entries(i * row_stride - pool.top(b), live);
      each_channel_of(column_windows, channels, [=](index_t j) {
        Window w = pool.window(b, i, j);
        float* to = image + (w.first - (x + pool.image(b)));
        const float* from = of + (i * column_windows + j) * channels;
        return [=](auto zero, index_t c) {
          if (w.empty()) return;
          auto d = zero, best = zero;
          get(d, from + c);
          if (kind == MAXIMUM) best = best_of<decltype(zero)>(w, c).number;
          for (index_t p = p_of.begin; p < p_of.end; ++p) {
            auto number = zero + w.number(p, w.q.begin);
            for (index_t q = w.q.begin; q < w.q.end; ++q, number += 1.0f) {
              float* at = to + w.at(p, q) + c;
              auto sum = zero;
              if (!adjoin) get(sum, at);
              put(sum + share_of(w, kind, number, d, best), at);
            }
          }
        };
      });
    }
  }
}

#endif
