// Convolution over time with a filter for each channel, and its gradient:
//
//   y[b, t, c] = bias[c] + sum over k of filters[k, c] x[b, t + k dilation - before, c]
//
// x [batch, frames, channels], zero outside of the first lengths[b] frames, without lengths of all;
// y [batch, size, channels]; filters [window, channels]. The gradient of x is the same operation
// with its filters from last to first. Entries of one channel meet no others, so no thread reads
// what another one writes.
#include "frames.h"

// Row b * size + t of y, of bias alone behind out_lengths. turned: filters from last to first. bias
// and both lengths may be null. A block per row.
KERNEL depthwise_frames(const float* x, const float* filters, const float* bias,
                        const int* lengths, const int* out_lengths, float* y, index_t frames,
                        index_t size, index_t channels, index_t window, index_t before,
                        index_t dilation, index_t turned, index_t rows, index_t workers) {
  BLOCKS(row, rows) {
    index_t b = row / size, t = row % size, first = t - before;
    index_t end = t < length_of(out_lengths, b, size) ? length_of(lengths, b, frames) : 0;
    float* to = y + row * channels;
    THREADS(c, channels) {
      float sum = bias ? bias[c] : 0.0f;
      for (index_t k = 0; k < window; ++k) {
        index_t s = first + k * dilation, tap = turned ? window - 1 - k : k;
        if (s >= 0 && s < end)
          sum += filters[tap * channels + c] * x[(b * frames + s) * channels + c];
      }
      to[c] = sum;
    }
  }
}

// sums [batch, window + 1, channels] of each sequence: of the filters' gradient, then of bias's. A
// block per row.
KERNEL depthwise_sums(const float* dy, const float* x, const int* lengths, float* sums,
                      index_t frames, index_t size, index_t channels, index_t window,
                      index_t before, index_t dilation, index_t rows, index_t workers) {
  BLOCKS(row, rows) {
    index_t b = row / (window + 1), k = row % (window + 1), first = k * dilation - before;
    index_t end = length_of(lengths, b, frames);
    float* to = sums + row * channels;
    THREADS(c, channels) {
      float sum = 0.0f;
      for (index_t t = 0; t < size; ++t) {
        float d = dy[(b * size + t) * channels + c];
        index_t s = t + first;
        if (k == window)
          sum += d;
        else if (s >= 0 && s < end)
          sum += d * x[(b * frames + s) * channels + c];
      }
      to[c] = sum;
    }
  }
}

#ifndef __CUDACC__
#include "depthwise_host.h"
#endif
