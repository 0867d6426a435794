// What the host's passes of self-attention are made of: tiles of queries, whose energies, weights
// and slopes are made of packed matrices, and the energies that shifted keys add.
#pragma once
#ifndef __CUDACC__

#include <atomic>
#include <vector>

#include "attention.h"
#include "product.h"

typedef Float32 P;
typedef std::vector<const float*> Rows;

#define QUERIES 60        // of a tile
#define ENERGIES 1048576  // of shifts that are kept at once, if not those of a tile are more

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

// Rows [first, first + count) of the queries of head n, of which the last sees `keys` keys.
struct Tile {
  index_t n, first, count, keys;
};

// Numbers of pairs of a query and a key, of all heads, where keys are shifted: for each query of a
// piece of them panels of its keys, and in these a row for each head of the sequences that have the
// query.
class Pairs {
 public:
  explicit Pairs(const Attention& a)
      : piece(piece_of(a)),
        longest(0),
        a_(a),
        size_(a.all_heads() * padded(a.time)),
        data_(a.key_shift ? piece * size_ : 0) {
    for (index_t b = 0; b < a.batch; ++b) longest = longest < a.length(b) ? a.length(b) : longest;
  }

  float* of(index_t i) const { return data_.data() + i % piece * size_; }
  // Heads with query i, of the sequences before b, or of all.
  index_t count(index_t i, index_t b) const {
    index_t found = 0;
    for (index_t other = 0; other < b; ++other) found += i < a_.queries(other);
    return found * a_.heads;
  }
  index_t count(index_t i) const { return count(i, a_.batch); }
  // The queries i of these heads.
  Rows queries(index_t i) const {
    Rows rows;
    for (index_t n = 0; n < a_.all_heads(); ++n)
      if (i < a_.queries(n / a_.heads)) rows.push_back(a_.query(n, i));
    return rows;
  }
  // The row of head n in the first panel; the others lie step(i) apart.
  float* row(index_t n, index_t i) const {
    return of(i) + (count(i, n / a_.heads) + n % a_.heads) * WIDTH;
  }
  index_t step(index_t i) const { return count(i) * WIDTH; }

  index_t piece;    // queries
  index_t longest;  // of the sequences

 private:
  static index_t piece_of(const Attention& a) {
    index_t of_tile = QUERIES * a.all_heads() * padded(a.time);
    if (!a.key_shift || of_tile == 0) return a.time;
    return least(a.time, QUERIES * (of_tile < ENERGIES ? ENERGIES / of_tile : 1));
  }

  const Attention& a_;
  index_t size_;
  Space<float> data_;
};

// Query i by the shifts of its keys. space: key_size * (WIDTH + all heads).
static void shift_energies(const Attention& a, const Pairs& pairs, index_t i, float* space) {
  Rows queries = copies_of(pairs.queries(i), a.key_size, space + a.key_size * WIDTH);
  index_t keys = a.keys(i, pairs.longest);
  for (index_t key = 0; key < keys; key += WIDTH) {
    Panel<P> panel = {space, a.key_size};
    fetch(a.shift(i, key + WIDTH), least(keys - key - WIDTH, WIDTH) * a.key_size);
    pack_columns<P>(a.shift(i, key), a.key_size, a.key_size, (int)least(keys - key, WIDTH), panel);
    panel_product<P>({queries.data(), 0, 1}, (index_t)queries.size(), panel, a.key_size, false,
                     pairs.of(i) + key * (index_t)queries.size(), keys - key);
  }
}

// energies [panels of keys, count, WIDTH] of a tile, before they are scaled. space: QUERIES *
// key_size.
static void tile_energies(const Attention& a, Tile t, const float* keys, const Pairs& pairs,
                          float* energies, float* space) {
  index_t step = t.count * WIDTH;
  for (index_t r = 0; a.key_shift && r < t.count; ++r) {
    index_t i = t.first + r, apart = pairs.step(i), seen = a.keys(i, a.length(t.n / a.heads));
    const float* from = pairs.row(t.n, i);
    for (index_t p = 0; p * WIDTH < seen; ++p)
      memcpy(energies + p * step + r * WIDTH, from + p * apart, WIDTH * sizeof(float));
  }
  Rows queries = rows_of(a.query(t.n, t.first), a.row(), t.count);
  queries = copies_of(queries, a.key_size, space);
  for (index_t key = 0; key < t.keys; key += WIDTH)
    panel_product<P>({queries.data(), 0, 1}, t.count, {(float*)keys + key * a.key_size, a.key_size},
                     a.key_size, a.key_shift, energies + key * t.count, t.keys - key);
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
