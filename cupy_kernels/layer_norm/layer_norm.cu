// Layer normalisation, and its gradient, in one pass each (J. L. Ba et al., 2016):
//
//   y = n scale + bias, where n = (x - mean) / sqrt(variance + epsilon) of each row
//   dx = (g - mean(g) - n mean(g n)) / sqrt(variance + epsilon), where g = dy scale
//   dscale = sum over rows of dy n, dbias = sum over rows of dy
//
// x, y, dy, dx [rows, size], scale, bias [size]; moments [rows, 2]: mean, and the factor
// 1 / sqrt(variance + epsilon). A block per row, on the way back per ROWS of them, whose sums go
// to sums [blocks, 2, size]: those of no two blocks are added here.
#include "functions.h"

#define ROWS 32  // as in op.py

KERNEL layer_norm_forward(const float* x, const float* scale, const float* bias,
                          const float* epsilon, float* y, float* moments, index_t rows,
                          index_t size, index_t workers) {
  BLOCKS(row, rows) {
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
  }
}

KERNEL layer_norm_backward(const float* dy, const float* x, const float* scale,
                           const float* moments, float* dx, float* sums, index_t rows,
                           index_t size, index_t workers) {
  BLOCKS(block, (rows + ROWS - 1) / ROWS) {
    index_t first = block * ROWS, end = first + ROWS < rows ? first + ROWS : rows;
    float *dscale = sums + block * 2 * size, *dbias = dscale + size;
    THREADS(i, size) dscale[i] = dbias[i] = 0.0f;
    for (index_t row = first; row < end; ++row) {
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
    }
  }
}
