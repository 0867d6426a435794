// What the host's passes of self-attention are made of: tiles of queries, whose energies, weights
// and slopes are made of packed matrices, and the energies that shifted keys add.
#pragma once
#ifndef __CUDACC__

#include <vector>

#include "attention.h"
#include "product.h"

typedef Float32 P;
typedef std::vector<const float*> Rows;

#define QUERIES 60  // of a tile

DEVICE index_t least(index_t a, index_t b) { return a < b ? a : b; }

DEVICE index_t padded(index_t numbers) { return ceil_div(numbers, WIDTH) * WIDTH; }

static Rows rows_of(const float* first, index_t stride, index_t count) {
  Rows rows(count);
  for (index_t i = 0; i < count; ++i) rows[i] = first + i * stride;
  return rows;
}

// Copies of rows of `size` numbers, one behind the other: others may share places of the cache.
static Rows copies_of(const Rows& rows, index_t size, float* space) {
  for (size_t i = 0; i < rows.size(); ++i)
    memcpy(space + i * size, rows[i], size * sizeof(float));
  return rows_of(space, size, (index_t)rows.size());
}

// Asks for numbers before they are needed: of many pages, which the processor does not foresee.
DEVICE void fetch(const float* x, index_t count) {
  for (index_t k = 0; k < count; k += 16) __builtin_prefetch(x + k, 0, 2);
}

// Panels of a matrix [count, padded(size)], one behind the other, of rows of `size` numbers.
static void pack(const Rows& rows, index_t size, float* packed) {
  index_t count = (index_t)rows.size();
  for (index_t column = 0; column < size; column += WIDTH) {
    int valid = (int)least(size - column, WIDTH);
    gather_panel<P>({rows.data(), count}, column, valid, {packed + column * count, count});
  }
}

// Panels of the transposed matrix, [size, padded(count)], of rows that lie `stride` apart.
static void pack_transposed(const float* x, index_t stride, index_t count, index_t size,
                            float* packed) {
  for (index_t first = 0; first < count; first += WIDTH)
    pack_columns<P>(x + first * stride, stride, size, (int)least(count - first, WIDTH),
                    {packed + first * size, size});
}

// Copies rows [count, WIDTH] to rows that lie `stride` apart, or adds them.
static void copy_rows(const float* from, index_t count, int valid, float* to, index_t stride,
                      bool add = false) {
  for (index_t r = 0; r < count; ++r, from += WIDTH, to += stride)
    if (add)
      THREADS(j, valid) to[j] += from[j];
    else
      THREADS(j, valid) to[j] = from[j];
}

// Rows [first, first + count) of the queries of head n, of which the last sees `keys` keys.
struct Tile {
  index_t n, first, count, keys;
};

// Columns of weights, of which those of a row lie `stride` apart from the next row's.
struct Columns {
  const float* first;
  index_t stride, count;
};

// sums += columns^T rows, for `depth` packed rows of `size` numbers; panels of sums have `apart`
// rows.
static void add_by_columns(Columns x, const float* rows, index_t depth, index_t size, float* sums,
                           index_t apart) {
  Rows columns = rows_of(x.first, 1, x.count);
  for (index_t column = 0; column < size; column += WIDTH)
    panel_product<P>({columns.data(), 0, x.stride}, x.count, {(float*)rows + column * depth, depth},
                     depth, true, sums + column * apart);
}

// Makes what is behind the keys of a row's last panel count as nothing.
static void hide(float* energies, index_t step, index_t keys) {
  index_t last = (keys - 1) / WIDTH;
  for (index_t j = keys; j < (last + 1) * WIDTH; ++j)
    energies[last * step + j - last * WIDTH] = -INFINITY;
}

static float largest(const float* energies, index_t step, index_t keys) {
  float most[WIDTH];
  THREADS(j, WIDTH) most[j] = energies[j];
  for (index_t p = 1; p * WIDTH < keys; ++p) {
    const float* x = energies + p * step;
    THREADS(j, WIDTH) most[j] = x[j] > most[j] ? x[j] : most[j];
  }
  return block_max(most, WIDTH);
}

// weights [padded(all)]: e^(energy scale - offset) of `keys` of a row, then zeros. Their sum.
static float grow(const float* energies, index_t step, index_t keys, index_t all, float scale,
                  float offset, float* weights) {
  float sum[WIDTH] = {};
  index_t key = 0;
  for (; key < keys; key += WIDTH, energies += step) {
    float* to = weights + key;
    THREADS(j, WIDTH) {
      to[j] = exp_fast(energies[j] * scale - offset);
      sum[j] += to[j];
    }
  }
  if (key < all) memset(weights + key, 0, (padded(all) - key) * sizeof(float));
  return block_sum(sum, WIDTH);
}

// Weights of a row become gradients of its energies, by those of the weights, their mean, and the
// energies' scale.
static void slopes(const float* d_weights, index_t step, index_t keys, float mean, float scale,
                   float* weights) {
  index_t key = 0;
  for (; key + WIDTH <= keys; key += WIDTH, d_weights += step) {
    float* to = weights + key;
    THREADS(j, WIDTH) to[j] *= (d_weights[j] - mean) * scale;
  }
  for (index_t j = 0; key + j < keys; ++j) weights[key + j] *= (d_weights[j] - mean) * scale;
}

#endif
