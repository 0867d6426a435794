// Multi-head self-attention over the frames of sequences, and its gradient, for each head:
//
//   energies[i, j] = query[i] . (key[j] + shift[i, j]) / sqrt(key_size)
//   out[i] = sum over j of softmax(energies[i])[j] value[j]
//
// A. Vaswani et al., 2017; the shift of keys, which all heads and sequences share: P. Shaw et al.,
// 2018. Arrays as attention.h has them. log_sums [batch, heads, time]: logarithms of the sums of
// the softmax, of which the way back makes the weights again. Queries behind the end of a sequence
// have zeros, and give no gradient, without every_query.
//
// Here are both passes for a GPU, a block per row of a result; attention_host.h has those of the
// host.
#include "attention.h"

#define KEYS 128  // whose shifts' gradient a block makes

DEVICE float dot(const float* x, const float* y, index_t size) {
  float sum = 0.0f;
  for (index_t k = 0; k < size; ++k) sum += x[k] * y[k];
  return sum;
}

DEVICE float energy(Attention a, index_t n, index_t i, index_t j) {
  float sum = dot(a.query(n, i), a.key(n, j), a.key_size);
  if (a.key_shift) sum += dot(a.query(n, i), a.shift(i, j), a.key_size);
  return sum * a.scale();
}

// space [workers, time]: the weights of a query.
KERNEL self_attention_rows(const float* qkv, const float* key_shift, const int* lengths,
                           float* out, float* log_sums, float* space, index_t batch, index_t time,
                           index_t heads, index_t key_size, index_t value_size,
                           index_t left_only, index_t every_query, index_t clipping,
                           index_t workers) {
  Attention a = {qkv,      key_shift,  lengths,   batch,       time,    heads,
                 key_size, value_size, left_only, every_query, clipping};
  BLOCKS(block, a.all_heads() * time) {
    index_t n = block / time, i = block % time, length = a.length(n / heads);
    float *to = out + a.value_at(n, i), *weights = space + WORKER * time;
    if (i >= a.queries(n / heads)) {
      THREADS(k, value_size) to[k] = 0.0f;
      THREADS(once, 1) log_sums[block] = 0.0f;
      continue;
    }
    int keys = (int)a.keys(i, length);
    THREADS(j, keys) weights[j] = energy(a, n, i, j);
    float most = block_max(weights, keys);
    THREADS(j, keys) weights[j] = exp_fast(weights[j] - most);
    float sum = block_sum(weights, keys);
    BARRIER;
    THREADS(k, value_size) {
      float total = 0.0f;
      for (int j = 0; j < keys; ++j) total += weights[j] * a.value(n, j)[k];
      to[k] = total / sum;
    }
    THREADS(once, 1) log_sums[block] = most + logf(sum);
    BARRIER;
  }
}

// What the way back is given of the forward pass, and of what follows.
struct Given {
  const float *d_out, *out, *log_sums;
};

DEVICE float weight_of(Attention a, Given g, index_t n, index_t i, index_t j) {
  return exp_fast(energy(a, n, i, j) - g.log_sums[n * a.time + i]);
}

// The gradient of an energy before it is scaled, times the scale, by the weight.
DEVICE float slope_of(Attention a, Given g, index_t n, index_t i, index_t j, float weight) {
  const float* d = g.d_out + a.value_at(n, i);
  float mean = dot(d, g.out + a.value_at(n, i), a.value_size);
  return weight * (dot(d, a.value(n, j), a.value_size) - mean) * a.scale();
}

DEVICE void query_gradient(Attention a, Given g, index_t n, index_t i, float* slopes, float* to) {
  index_t length = a.length(n / a.heads);
  int keys = i < a.queries(n / a.heads) ? (int)a.keys(i, length) : 0;
  THREADS(j, keys) slopes[j] = slope_of(a, g, n, i, j, weight_of(a, g, n, i, j));
  BARRIER;
  THREADS(k, a.key_size) {
    float sum = 0.0f;
    for (int j = 0; j < keys; ++j)
      sum += slopes[j] * (a.key(n, j)[k] + (a.key_shift ? a.shift(i, j)[k] : 0.0f));
    to[k] = sum;
  }
  BARRIER;
}

// To a key, and the value behind it.
DEVICE void key_gradient(Attention a, Given g, index_t n, index_t j, float* weights, float* slopes,
                         float* to) {
  index_t length = a.length(n / a.heads), first = a.left_only ? j : 0;
  int queries = j < length ? (int)(a.queries(n / a.heads) - first) : 0;
  THREADS(i, queries) {
    weights[i] = weight_of(a, g, n, first + i, j);
    slopes[i] = slope_of(a, g, n, first + i, j, weights[i]);
  }
  BARRIER;
  THREADS(k, a.key_size) {
    float sum = 0.0f;
    for (int i = 0; i < queries; ++i) sum += slopes[i] * a.query(n, first + i)[k];
    to[k] = sum;
  }
  THREADS(k, a.value_size) {
    float sum = 0.0f;
    for (int i = 0; i < queries; ++i) sum += weights[i] * g.d_out[a.value_at(n, first + i) + k];
    to[a.key_size + k] = sum;
  }
  BARRIER;
}

// Of the shifts of query i and KEYS keys from j on, where they are by pair: of all heads and
// sequences one after the other.
DEVICE void shift_gradient(Attention a, Given g, index_t i, index_t j, float* slopes, float* to) {
  int width = (int)a.key_size, most = (int)(a.time - j < KEYS ? a.time - j : KEYS);
  THREADS(e, most * width) to[e] = 0.0f;
  for (index_t n = 0; n < a.all_heads(); ++n) {
    index_t length = a.length(n / a.heads), left = a.keys(i, length) - j;
    if (i >= a.queries(n / a.heads) || left <= 0) continue;
    int keys = (int)(left < most ? left : most);
    THREADS(k, keys) slopes[k] = slope_of(a, g, n, i, j + k, weight_of(a, g, n, i, j + k));
    BARRIER;
    THREADS(e, keys * width) to[e] += slopes[e / width] * a.query(n, i)[e % width];
    BARRIER;
  }
}

// Of the shift of a distance: of all heads and sequences one after the other.
DEVICE void distance_gradient(Attention a, Given g, index_t distance, float* slopes, float* to) {
  THREADS(k, a.key_size) to[k] = 0.0f;
  for (index_t n = 0; n < a.all_heads(); ++n) {
    index_t length = a.length(n / a.heads), queries = a.queries(n / a.heads);
    THREADS(i, queries) {
      index_t keys = a.keys(i, length), j = distance > -a.clipping ? i + distance : 0;
      index_t end = distance < a.clipping && i + distance < keys ? i + distance + 1 : keys;
      float sum = 0.0f;
      for (j = j < 0 ? 0 : j; j < end; ++j)
        sum += slope_of(a, g, n, i, j, weight_of(a, g, n, i, j));
      slopes[i] = sum;
    }
    BARRIER;
    THREADS(k, a.key_size) {
      float sum = 0.0f;
      for (index_t i = 0; i < queries; ++i) sum += slopes[i] * a.query(n, i)[k];
      to[k] += sum;
    }
    BARRIER;
  }
}

// space [workers, 2, time]: the weights and slopes of a query or of a key.
KERNEL self_attention_rows_backward(const float* d_out, const float* qkv, const float* key_shift,
                                    const int* lengths, const float* out, const float* log_sums,
                                    float* d_qkv, float* d_key_shift, float* space, index_t batch,
                                    index_t time, index_t heads, index_t key_size,
                                    index_t value_size, index_t left_only, index_t every_query,
                                    index_t clipping, index_t workers) {
  Attention a = {qkv,      key_shift,  lengths,   batch,       time,    heads,
                 key_size, value_size, left_only, every_query, clipping};
  Given g = {d_out, out, log_sums};
  index_t rows = a.all_heads() * time, pieces = (time + KEYS - 1) / KEYS;
  index_t of_shifts = a.by_pair() ? time * pieces : a.by_distance() ? 2 * clipping + 1 : 0;
  BLOCKS(block, 2 * rows + of_shifts) {
    float *weights = space + WORKER * 2 * time, *slopes = weights + time;
    if (block < rows) {
      query_gradient(a, g, block / time, block % time, slopes,
                     d_qkv + a.at(block / time, block % time));
    } else if (block < 2 * rows) {
      index_t n = (block - rows) / time, j = (block - rows) % time;
      key_gradient(a, g, n, j, weights, slopes, d_qkv + a.at(n, j) + key_size);
    } else if (a.by_distance()) {
      index_t row = block - 2 * rows;
      distance_gradient(a, g, row - clipping, slopes, d_key_shift + row * key_size);
    } else {
      index_t i = (block - 2 * rows) / pieces, j = (block - 2 * rows) % pieces * KEYS;
      shift_gradient(a, g, i, j, slopes, d_key_shift + (i * time + j) * key_size);
    }
  }
}

#include "attention_host.h"
