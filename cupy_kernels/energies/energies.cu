// Energies of additive attention (Bahdanau et al., 2015), and their gradient:
//
//   energies[b, q, t] = sum over k of v[k] tanh(keys[b, t, k] + queries[b, q, k])
//
// keys [batch, time, size], queries [batch, count, size], v [size], energies [batch, count, time],
// all contiguous; lengths [batch] are of the keys: behind them energies are zero, and nothing has a
// gradient.
//
// The exponentials are made for each key and each query, not for each pair. With P = e^2key,
// A = P - 1, Q = e^2query and B = Q - 1, n = e^2(key + query) - 1 is A Q + B, and also P Q - 1; and
// tanh = n / (n + 2). The first keeps the relative precision of small keys and queries, but a large
// Q would multiply the rounding of an A of nearly -1: where Q > 2 it is the second. Either
// way n is not below -1. Where the numbers are too large for their exponentials, or there is a
// single query, each pair has its own.
#include "functions.h"

#define PIECE 128     // keys' entries of a block on the way back
#define LARGEST 40.0f  // |key| + |query|, of which e^2x can be multiplied

DEVICE float largest_of(const float* x, index_t size) {
  return block_max_of((int)size, [x](int k) { return fabsf(x[k]); });
}

// to [2, stride]: P and A of keys.
DEVICE void grow_keys(const float* x, index_t size, float* to, index_t stride) {
  THREADS(k, size) {
    to[k] = exp_fast(2.0f * x[k]);
    to[stride + k] = expm1_fast(2.0f * x[k]);
  }
}

// to [2, stride]: Q of queries, and what is added to the product with it: B, or -1.
DEVICE void grow_queries(const float* x, index_t size, float* to, index_t stride) {
  THREADS(k, size) {
    float grown = exp_fast(2.0f * x[k]), less = expm1_fast(2.0f * x[k]);
    to[k] = grown;
    to[stride + k] = grown > 2.0f ? -1.0f : less;
  }
}

// tanh(key + query) of the key's P and A, and the query's two.
DEVICE float tanh_of(float p, float a, float q, float added) {
  float n = (q > 2.0f ? p : a) * q + added;
  return n / (n + 2.0f);
}

// factors [batch count, 2, size]: those of each query; largest [batch count].
KERNEL energies_factors(const float* queries, float* factors, float* largest, index_t rows,
                        index_t size, index_t workers) {
  BLOCKS(row, rows) {
    const float* x = queries + row * size;
    grow_queries(x, size, factors + row * 2 * size, size);
    float most = largest_of(x, size);
    THREADS(once, 1) largest[row] = most;
  }
}

// space [workers, 2, size]: P and A of a frame.
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
    float* of_key = space + WORKER * 2 * size;
    if (count > 1) {
      grow_keys(key, size, of_key, size);
      most = largest_of(key, size);
    }
    for (index_t q = 0; q < count; ++q) {
      float sum;
      if (count > 1 && most + largest[b * count + q] < LARGEST) {
        const float* by = factors + (b * count + q) * 2 * size;
        sum = block_sum_of((int)size, [=](int k) {
          return v[k] * tanh_of(of_key[k], of_key[size + k], by[k], by[size + k]);
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
// space [workers, 1 + count, 2, PIECE]: factors of a frame, and of the queries. dv [batch, size].
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
    float *of_key = space + WORKER * (1 + count) * 2 * PIECE, *factors = of_key + 2 * PIECE;
    float* sum = dv + b * size + first;
    const float* factor = v + first;
    THREADS(k, width) sum[k] = 0.0f;
    float largest = 0.0f;
    for (index_t q = 0; q < count; ++q) {
      THREADS(k, width) dquery[q * size + k] = 0.0f;
      if (count > 1) {
        grow_queries(query + q * size, width, factors + 2 * q * PIECE, PIECE);
        largest = fmaxf(largest, largest_of(query + q * size, width));
      }
    }
    for (index_t t = 0; t < time; ++t, key += size, dkey += size) {
      THREADS(k, width) dkey[k] = 0.0f;
      if (t >= lengths[b]) continue;
      bool grown = count > 1 && largest_of(key, width) + largest < LARGEST;
      if (grown) grow_keys(key, width, of_key, PIECE);
      for (index_t q = 0; q < count; ++q) {
        float de = denergies[(b * count + q) * time + t];
        if (de == 0.0f) continue;
        const float *by = factors + 2 * q * PIECE, *other = query + q * size;
        if (grown) {
          auto tanh = [=](int k) {
            return tanh_of(of_key[k], of_key[PIECE + k], by[k], by[PIECE + k]);
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
