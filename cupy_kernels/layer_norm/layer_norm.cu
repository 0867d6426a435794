// Layer normalisation, and its gradient, in one pass each (J. L. Ba et al., 2016):
//
//   y = n scale + bias, where n = (x - mean) / sqrt(variance + epsilon) of each row
//   dx = (g - mean(g) - n mean(g n)) / sqrt(variance + epsilon), where g = dy scale
//   dscale = sum over rows of dy n, dbias = sum over rows of dy
//
// x, y, dy, dx [rows, size], scale, bias [size]; moments [rows, 2]: mean, and the factor
// 1 / sqrt(variance + epsilon). A block per ROWS of them; on the way back its sums go to sums
// [blocks, 2, size].
#include "functions.h"

#define ROWS 32  // as in op.py

DEVICE index_t blocks_of(index_t rows) { return (rows + ROWS - 1) / ROWS; }

// Calls f with each row of a block.
template <class F>
DEVICE void each_row(index_t block, index_t rows, F f) {
  index_t first = block * ROWS, end = first + ROWS < rows ? first + ROWS : rows;
  for (index_t row = first; row < end; ++row) f(row);
}

// count: the numbers of x, size of them in a row.
KERNEL layer_norm_forward(const float* x, const float* scale, const float* bias,
                          const float* epsilon, float* y, float* moments, index_t count,
                          index_t size, index_t workers) {
  index_t rows = size ? count / size : 0;
  BLOCKS(block, blocks_of(rows)) each_row(block, rows, [=](index_t row) {
    const float* from = x + row * size;
    float* to = y + row * size;
    float mean = block_sum(from, (int)size) / size;
    float variance = block_sum_of((int)size, [=](int i) {
                       float d = from[i] - mean;
                       return d * d;
                     }) / size;
    float factor = 1.0f / sqrtf(variance + *epsilon);
    THREADS(i, size) to[i] = (from[i] - mean) * factor * scale[i] + bias[i];
    THREADS(once, 1) {
      moments[2 * row] = mean;
      moments[2 * row + 1] = factor;
    }
  });
}

KERNEL layer_norm_backward(const float* dy, const float* x, const float* scale,
                           const float* moments, float* dx, float* sums, index_t count,
                           index_t size, index_t workers) {
  index_t rows = size ? count / size : 0;
  BLOCKS(block, blocks_of(rows)) {
    float *dscale = sums + block * 2 * size, *dbias = dscale + size;
    THREADS(i, size) dscale[i] = dbias[i] = 0.0f;
    each_row(block, rows, [=](index_t row) {
      const float *of = dy + row * size, *from = x + row * size;
      float* to = dx + row * size;
      float mean = moments[2 * row], factor = moments[2 * row + 1];
      float g = block_sum_of((int)size, [=](int i) { return of[i] * scale[i]; }) / size;
      float gn = block_sum_of((int)size, [=](int i) {
                   return of[i] * scale[i] * ((from[i] - mean) * factor);
                 }) / size;
      THREADS(i, size) {
        float n = (from[i] - mean) * factor, d = of[i];
        to[i] = (d * scale[i] - g - n * gn) * factor;
        dscale[i] += d * n;
        dbias[i] += d;
      }
    });
  }
}

#ifndef __CUDACC__
#include <vector>

// With the sums of all blocks, dparameters [2, size]: of scale and of bias.
KERNEL layer_norm_gradients(const float* dy, const float* x, const float* scale,
                            const float* moments, float* dx, float* dparameters, index_t count,
                            index_t size, index_t workers) {
  index_t blocks = blocks_of(size ? count / size : 0);
  std::vector<float> sums(blocks * 2 * size);
  layer_norm_backward(dy, x, scale, moments, dx, sums.data(), count, size, workers);
  for (index_t i = 0; i < 2 * size; ++i) dparameters[i] = 0.0f;
  for (index_t block = 0; block < blocks; ++block)
    THREADS(i, 2 * size) dparameters[i] += sums[block * 2 * size + i];
}
#endif
