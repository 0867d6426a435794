// Energies of additive attention (Bahdanau et al., 2015), and their gradient:
//
//   energies[b, q, t] = sum over k of v[k] tanh(keys[b, t, k] + queries[b, q, k])
//
// keys [batch, time, size], queries [batch, count, size], v [size], energies [batch, count, time],
// all contiguous; lengths [batch] are of the keys: behind them energies are zero, and nothing has a
// gradient.
//
// The exponentials are made for each key and each query, not for each pair. With A = e^2key - 1,
// B = e^2query - 1 and Q = e^2query, n = e^2(key + query) - 1 = A Q + B, and tanh = n / (n + 2). So
// small sums keep their relative precision. Where the numbers are too large for their exponentials,
// or there is a single query, each pair has its own.
#include "functions.h"

#define PIECE 128     // keys' entries of a block on the way back
#define LARGEST 40.0f  // |key| + |query|, of which e^2x can be multiplied

DEVICE float largest_of(const float* x, index_t size) {
  return block_max_of((int)size, [x](int k) { return fabsf(x[k]); });
}

DEVICE void grow(const float* x, index_t size, float* grown, float* less) {
  THREADS(k, size) {
    grown[k] = exp_fast(2.0f * x[k]);
    less[k] = expm1_fast(2.0f * x[k]);
  }
}

// factors [batch count, 2, size]: Q and B of each query; largest [batch count].
KERNEL energies_factors(const float* queries, float* factors, float* largest, index_t rows,
                        index_t size, index_t workers) {
  BLOCKS(row, rows) {
    const float* x = queries + row * size;
    float* to = factors + row * 2 * size;
    grow(x, size, to, to + size);
    float most = largest_of(x, size);
    THREADS(once, 1) largest[row] = most;
  }
}

// space [workers, size]: A of a frame.
KERNEL energies_forward(const float* keys, const float* queries, const float* v,
                        const int* lengths, const float* factors, const float* largest,
                        float* space, float* energies, index_t batch, index_t time, index_t count,
                        index_t size, index_t workers) {
  BLOCKS(row, batch * time) {
    index_t b = row / time, t = row % time;
    const float* key = keys + row * size;
    float* to = energies + b * count * time + t;
    if (t >= lengths[b]) {
      THREADS(q, count) to[q * time] = 0.0f;
      continue;
    }
    float most = INFINITY;
    float* less = space + WORKER * size;
    if (count > 1) {
      THREADS(k, size) less[k] = expm1_fast(2.0f * key[k]);
      most = largest_of(key, size);
    }
    for (index_t q = 0; q < count; ++q) {
      float sum;
      if (count > 1 && most + largest[b * count + q] < LARGEST) {
        const float *grown = factors + (b * count + q) * 2 * size, *by = grown + size;
        sum = block_sum_of((int)size, [=](int k) {
          float n = less[k] * grown[k] + by[k];
          return v[k] * n / (n + 2.0f);
        });
      } else {
        const float* query = queries + (b * count + q) * size;
        sum = block_sum_of((int)size, [=](int k) { return v[k] * tanh_fast(key[k] + query[k]); });
      }
      THREADS(once, 1) to[q * time] = sum;
    }
  }
}

// Adds the gradients of one energy, de its own: those of key and query but for their factor v.
template <class Tanh>
DEVICE void add_gradient(float de, Tanh tanh, index_t size, float* dkey, float* dquery, float* dv) {
  THREADS(k, size) {
    float y = tanh(k), slope = de * (1.0f - y * y);
    dkey[k] += slope;
    dquery[k] += slope;
    dv[k] += de * y;
  }
}

// A block has PIECE entries of all keys and queries of a sequence: it shares no sum with another.
// space [workers, 2 count + 1, PIECE]: Q and B of the queries, A of a frame. dv [batch, size].
KERNEL energies_backward(const float* denergies, const float* keys, const float* queries,
                         const float* v, const int* lengths, float* space, float* dkeys,
                         float* dqueries, float* dv, index_t batch, index_t time, index_t count,
                         index_t size, index_t workers) {
  index_t pieces = (size + PIECE - 1) / PIECE;
  BLOCKS(block, batch * pieces) {
    index_t b = block / pieces, first = block % pieces * PIECE;
    index_t width = size - first < PIECE ? size - first : PIECE;
    const float *key = keys + b * time * size + first, *query = queries + b * count * size + first;
    float *dkey = dkeys + b * time * size + first, *dquery = dqueries + b * count * size + first;
    float *less = space + WORKER * (2 * count + 1) * PIECE, *factors = less + PIECE;
    float* sum = dv + b * size + first;
    const float* factor = v + first;
    THREADS(k, width) sum[k] = 0.0f;
    float largest = 0.0f;
    for (index_t q = 0; q < count; ++q) {
      THREADS(k, width) dquery[q * size + k] = 0.0f;
      if (count > 1) {
        grow(query + q * size, width, factors + 2 * q * PIECE, factors + (2 * q + 1) * PIECE);
        largest = fmaxf(largest, largest_of(query + q * size, width));
      }
    }
    for (index_t t = 0; t < time; ++t, key += size, dkey += size) {
      THREADS(k, width) dkey[k] = 0.0f;
      if (t >= lengths[b]) continue;
      bool grown = count > 1 && largest_of(key, width) + largest < LARGEST;
      if (grown) THREADS(k, width) less[k] = expm1_fast(2.0f * key[k]);
      for (index_t q = 0; q < count; ++q) {
        float de = denergies[(b * count + q) * time + t];
        if (de == 0.0f) continue;
        const float *by = factors + 2 * q * PIECE, *other = query + q * size;
        if (grown) {
          auto tanh = [=](int k) {
            float n = less[k] * by[k] + by[PIECE + k];
            return n / (n + 2.0f);
          };
          add_gradient(de, tanh, width, dkey, dquery + q * size, sum);
        } else {
          auto tanh = [=](int k) { return tanh_fast(key[k] + other[k]); };
          add_gradient(de, tanh, width, dkey, dquery + q * size, sum);
        }
      }
      THREADS(k, width) dkey[k] *= factor[k];
    }
    for (index_t q = 0; q < count; ++q) THREADS(k, width) dquery[q * size + k] *= factor[k];
  }
}
