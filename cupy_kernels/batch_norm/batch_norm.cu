// A factor and an offset for each channel, and their gradient, in one pass each:
//
//   y = x factor + offset
//   dx = dy factor, dfactor = sum over rows of dy x, doffset = sum over rows of dy
//
// x, y, dy, dx [rows, channels], factor, offset [channels]. A block per ROWS of them; on the way
// back its sums go to sums [blocks, 2, channels].
#include "kernel.h"

#define ROWS 64  // as in op.py

DEVICE index_t rows_of(index_t count, index_t channels) { return channels ? count / channels : 0; }
DEVICE index_t blocks_of(index_t rows) { return (rows + ROWS - 1) / ROWS; }

// Calls f with each row of a block.
template <class F>
DEVICE void each_row(index_t block, index_t rows, F f) {
  index_t first = block * ROWS, end = first + ROWS < rows ? first + ROWS : rows;
  for (index_t row = first; row < end; ++row) f(row);
}

// count: the numbers of x.
KERNEL scale_shift_forward(const float* x, const float* factor, const float* offset, float* y,
                           index_t count, index_t channels, index_t workers) {
  index_t rows = rows_of(count, channels);
  BLOCKS(block, blocks_of(rows)) each_row(block, rows, [=](index_t row) {
    const float* from = x + row * channels;
    float* to = y + row * channels;
    THREADS(c, channels) to[c] = from[c] * factor[c] + offset[c];
  });
}

KERNEL scale_shift_backward(const float* dy, const float* x, const float* factor, float* dx,
                            float* sums, index_t count, index_t channels, index_t workers) {
  index_t rows = rows_of(count, channels);
  BLOCKS(block, blocks_of(rows)) {
    float *dfactor = sums + block * 2 * channels, *doffset = dfactor + channels;
    THREADS(c, channels) dfactor[c] = doffset[c] = 0.0f;
    each_row(block, rows, [=](index_t row) {
      const float *of = dy + row * channels, *from = x + row * channels;
      float* to = dx + row * channels;
      THREADS(c, channels) {
        float d = of[c];
        dfactor[c] += d * from[c];
        doffset[c] += d;
        to[c] = d * factor[c];
      }
    });
  }
}

#ifndef __CUDACC__
#include <vector>

// With the sums of all blocks, dparameters [2, channels]: of factor and of offset.
KERNEL scale_shift_gradients(const float* dy, const float* x, const float* factor, float* dx,
                             float* dparameters, index_t count, index_t channels,
                             index_t workers) {
  index_t blocks = blocks_of(rows_of(count, channels));
  std::vector<float> sums(blocks * 2 * channels);
  scale_shift_backward(dy, x, factor, dx, sums.data(), count, channels, workers);
  for (index_t i = 0; i < 2 * channels; ++i) dparameters[i] = 0.0f;
  for (index_t block = 0; block < blocks; ++block)
    THREADS(i, 2 * channels) dparameters[i] += sums[block * 2 * channels + i];
}
#endif
