// An affine map of the frames of sequences, and its gradient, without what lies behind their ends:
//
//   y = x w + bias;  dx = dy w^T, dw = x^T dy, dbias = the sum of dy over frames
//
// x [first, second, ..., inputs], where one of the first two axes is of sequences and the other one
// of frames; of sequence b the frames below lengths[b] count, all without lengths. y and dx are
// zero behind them. The GPU has the products from a library, and from here what counts of each.
#include "frames.h"

// to [rows, columns] = from + bias, in rows that count, and zero in others. A block per row.
KERNEL linear_frames(const float* from, const float* bias, const int* lengths, float* to,
                     index_t first, index_t second, index_t time_axis, index_t rows,
                     index_t columns, index_t workers) {
  Frames frames = {lengths, first, second, time_axis, rows};
  BLOCKS(row, rows) {
    bool valid = counts(frames, row);
    const float* x = from + row * columns;
    float* y = to + row * columns;
    THREADS(i, columns) y[i] = valid ? (bias ? x[i] + bias[i] : x[i]) : 0.0f;
  }
}

#ifndef __CUDACC__
#include "linear_host.h"
#endif
