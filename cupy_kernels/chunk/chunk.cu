// Overlapping chunks of sequences, and their sum put back where they came from; each is the
// gradient of the other.
//
// frames [time, batch, features], chunks [size, batch * count, features], all contiguous; row k of
// column b * count + c is frame c * step + k of sequence b. A frame counts `scale` [time] times.
// Rows that belong to no frame of a sequence are written as zeros and never read.
//
// chunk_split, a block per row and sequence; chunk_sum, a block per few frames. A thread has the
// same features in all rows, so the order of a sum is that of the chunks, and nothing is shared.
#include "kernel.h"

#define FRAMES 8  // of a block of chunk_sum: one is too little work for a host's thread to fetch

KERNEL chunk_split(const float* frames, const int* lengths, const float* scale, float* chunks,
                   index_t batch, index_t features, index_t size, index_t step, index_t count,
                   index_t workers) {
  BLOCKS(block, size * batch) {
    index_t k = block / batch, b = block % batch;
    float* to = chunks + block * count * features;
    for (index_t t = k; t < k + count * step; t += step, to += features) {
      if (t < lengths[b]) {
        const float* from = frames + (t * batch + b) * features;
        float factor = scale[t];
        THREADS(i, features) to[i] = factor * from[i];
      } else {
        THREADS(i, features) to[i] = 0.0f;
      }
    }
  }
}

KERNEL chunk_sum(const float* chunks, const int* lengths, const float* scale, float* frames,
                 index_t time, index_t batch, index_t features, index_t size, index_t step,
                 index_t count, index_t workers) {
  index_t rows = time * batch, row_step = batch * count * features;
  BLOCKS(block, (rows + FRAMES - 1) / FRAMES) {
    for (index_t row = block * FRAMES; row < rows && row < (block + 1) * FRAMES; ++row) {
      index_t t = row / batch, b = row % batch;
      float* to = frames + row * features;
      THREADS(i, features) to[i] = 0.0f;
      if (t >= lengths[b]) continue;
      index_t first = t < size ? 0 : (t - size) / step + 1, last = t / step;
      last = last < count ? last : count - 1;
      float factor = scale[t];
      for (index_t c = first; c <= last; ++c) {
        const float* from = chunks + (t - c * step) * row_step + (b * count + c) * features;
        if (c < last)
          THREADS(i, features) to[i] += from[i];
        else
          THREADS(i, features) to[i] = factor * (to[i] + from[i]);
      }
    }
  }
}
