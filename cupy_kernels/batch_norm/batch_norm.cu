// Batch normalisation (S. Ioffe and C. Szegedy, 2015), and its gradient. With a factor and an
// offset for each channel:
//
//   y = x factor + offset
//   dx = dy factor, dfactor = sum over rows of dy x, doffset = sum over rows of dy
//
// and with the moments of the N rows that count (frames.h), for all rows:
//
//   y = n gamma + beta, where n = (x - mean) / sqrt(variance + epsilon)
//   dgamma = sum of dy n, dbeta = sum of dy
//   dx = gamma (dy - (dbeta + n dgamma) / N) / sqrt(variance + epsilon); of rows that do not
//   count, gamma dy / sqrt(variance + epsilon)
//
// x, y, dy, dx [rows, channels]; factor, offset, gamma, beta [channels]; moments [4, channels]:
// mean, variance, 1 / sqrt(variance + epsilon), 1 / N. A block per ROWS rows; what it finds goes to
// its part of sums [blocks, 2, channels], and the parts are added in their order.
#include "channels.h"
#include "frames.h"

#define ROWS 64  // as in op.py

DEVICE index_t rows_of(index_t count, index_t channels) { return channels ? count / channels : 0; }
DEVICE index_t blocks_of(index_t rows) { return (rows + ROWS - 1) / ROWS; }

// As each_frame, with the rows of a block.
template <class F>
DEVICE void each_frame_of(index_t block, const Frames& frames, F f) {
  index_t begin = block * ROWS, end = begin + ROWS;
  each_frame(frames, begin, end < frames.rows ? end : frames.rows, f);
}

// Calls f(row, counts) with each row of a block.
template <class F>
DEVICE void each_row_of(index_t block, const Frames& frames, F f) {
  each_frame_of(block, frames, [&](index_t begin, index_t end, bool valid) {
    for (index_t row = begin; row < end; ++row) f(row, valid);
  });
}

DEVICE Frames all_frames(index_t count, index_t channels) {
  Frames frames = {nullptr, 0, 0, 0, rows_of(count, channels)};
  return frames;
}

// A number of the type of another one: for each_channel.
template <class T>
DEVICE T at(T, const float* from) {
  T x;
  get(x, from);
  return x;
}

// How many rows of a block count.
DEVICE int counted(index_t block, const Frames& frames) {
  int n = 0;
  each_frame_of(block, frames, [&](index_t begin, index_t end, bool valid) {
    n += valid ? (int)(end - begin) : 0;
  });
  return n;
}

// count: the numbers of x.
KERNEL scale_shift_forward(const float* x, const float* factor, const float* offset, float* y,
                           index_t count, index_t channels, index_t workers) {
  Frames frames = all_frames(count, channels);
  BLOCKS(block, blocks_of(frames.rows)) each_row_of(block, frames, [=](index_t row, bool) {
    const float* from = x + row * channels;
    float* to = y + row * channels;
    THREADS(c, channels) to[c] = from[c] * factor[c] + offset[c];
  });
}

KERNEL scale_shift_backward(const float* dy, const float* x, const float* factor, float* dx,
                            float* sums, index_t count, index_t channels, index_t workers) {
  Frames frames = all_frames(count, channels);
  BLOCKS(block, blocks_of(frames.rows)) {
    float *dfactor = sums + block * 2 * channels, *doffset = dfactor + channels;
    THREADS(c, channels) dfactor[c] = doffset[c] = 0.0f;
    each_row_of(block, frames, [=](index_t row, bool) {
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

// The mean of a block's rows that count, and the sum of the squares of differences from it.
KERNEL batch_norm_parts(const float* x, const int* lengths, float* sums, index_t first,
                        index_t second, index_t time_axis, index_t count, index_t channels,
                        index_t workers) {
  Frames frames = {lengths, first, second, time_axis, rows_of(count, channels)};
  BLOCKS(block, blocks_of(frames.rows)) {
    float *mean = sums + block * 2 * channels, *squares = mean + channels;
    int n = counted(block, frames);
    float share = n ? 1.0f / n : 0.0f;
    each_channel(channels, [=](auto zero, index_t c) {
      auto sum = zero, of_squares = zero;
      each_row_of(block, frames, [&](index_t row, bool valid) {
        if (valid) sum += at(zero, x + row * channels + c);
      });
      auto middle = sum * share;
      each_row_of(block, frames, [&](index_t row, bool valid) {
        auto d = at(zero, x + row * channels + c) - middle;
        if (valid) of_squares += d * d;
      });
      put(middle, mean + c);
      put(of_squares, squares + c);
    });
  }
}

// Moments of all rows, of those of blocks (T. F. Chan et al., 1979).
KERNEL batch_norm_moments(const float* sums, const float* epsilon, const int* lengths,
                          float* moments, index_t first, index_t second, index_t time_axis,
                          index_t count, index_t channels, index_t workers) {
  Frames frames = {lengths, first, second, time_axis, rows_of(count, channels)};
  index_t blocks = blocks_of(frames.rows);
  float *mean = moments, *variance = moments + channels, *factor = variance + channels;
  BLOCKS(once, 1) {
    index_t n = 0;
    THREADS(c, channels) mean[c] = variance[c] = 0.0f;
    for (index_t block = 0; block < blocks; ++block) {
      const float* part = sums + block * 2 * channels;
      int own = counted(block, frames);
      n += own;
      THREADS(c, channels) mean[c] += own * part[c];
    }
    float share = 1.0f / (n ? n : 1);
    THREADS(c, channels) mean[c] *= share;
    for (index_t block = 0; block < blocks; ++block) {
      const float* part = sums + block * 2 * channels;
      int own = counted(block, frames);
      THREADS(c, channels) {
        float d = part[c] - mean[c];
        variance[c] += part[channels + c] + own * d * d;
      }
    }
    THREADS(c, channels) {
      variance[c] *= share;
      factor[c] = 1.0f / sqrtf(variance[c] + *epsilon);
      factor[channels + c] = share;
    }
  }
}

KERNEL batch_norm_normalised(const float* x, const float* gamma, const float* beta,
                             const float* moments, float* y, index_t count, index_t channels,
                             index_t workers) {
  Frames frames = all_frames(count, channels);
  const float *mean = moments, *factor = moments + 2 * channels;
  BLOCKS(block, blocks_of(frames.rows)) each_row_of(block, frames, [=](index_t row, bool) {
    const float* from = x + row * channels;
    float* to = y + row * channels;
    THREADS(c, channels) to[c] = (from[c] - mean[c]) * (factor[c] * gamma[c]) + beta[c];
  });
}

// Of each block, the sums for dgamma and dbeta.
KERNEL batch_norm_sums(const float* dy, const float* x, const float* moments, float* sums,
                       index_t count, index_t channels, index_t workers) {
  Frames frames = all_frames(count, channels);
  const float *mean = moments, *factor = moments + 2 * channels;
  BLOCKS(block, blocks_of(frames.rows)) {
    float *dgamma = sums + block * 2 * channels, *dbeta = dgamma + channels;
    THREADS(c, channels) dgamma[c] = dbeta[c] = 0.0f;
    each_row_of(block, frames, [=](index_t row, bool) {
      const float *of = dy + row * channels, *from = x + row * channels;
      THREADS(c, channels) {
        dgamma[c] += of[c] * (from[c] - mean[c]);
        dbeta[c] += of[c];
      }
    });
    THREADS(c, channels) dgamma[c] *= factor[c];
  }
}

// dparameters [2, channels]: of gamma and beta.
KERNEL batch_norm_input_gradient(const float* dy, const float* x, const float* gamma,
                                 const float* moments, const int* lengths,
                                 const float* dparameters, float* dx, index_t first,
                                 index_t second, index_t time_axis, index_t count,
                                 index_t channels, index_t workers) {
  Frames frames = {lengths, first, second, time_axis, rows_of(count, channels)};
  const float *mean = moments, *factor = moments + 2 * channels;
  const float *dgamma = dparameters, *dbeta = dparameters + channels;
  BLOCKS(block, blocks_of(frames.rows)) each_row_of(block, frames, [=](index_t row, bool valid) {
    const float *of = dy + row * channels, *from = x + row * channels;
    float* to = dx + row * channels;
    float share = valid ? moments[3 * channels] : 0.0f;
    THREADS(c, channels) {
      float n = (from[c] - mean[c]) * factor[c];
      to[c] = (of[c] - (dbeta[c] + n * dgamma[c]) * share) * (factor[c] * gamma[c]);
    }
  });
}

#ifndef __CUDACC__
#include "batch_norm_host.h"
#endif
