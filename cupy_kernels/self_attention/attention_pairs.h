// Shifts of keys on the host, one for each pair of a query and a key.
#pragma once
#ifndef __CUDACC__

#include "attention_tiles.h"

#define ENERGIES 1048576  // of shifts that are kept at once, if not those of a tile are more

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
        data_(a.by_pair() ? piece * size_ : 0) {
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
    if (!a.by_pair() || of_tile == 0) return a.time;
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

// Copies the energies of a tile that were made of all heads at once, into panels of its own.
static void copy_energies(const Attention& a, const Pairs& pairs, Tile t, float* energies) {
  index_t step = t.count * WIDTH;
  for (index_t r = 0; r < t.count; ++r) {
    index_t i = t.first + r, apart = pairs.step(i), seen = a.keys(i, a.length(t.n / a.heads));
    const float* from = pairs.row(t.n, i);
    for (index_t p = 0; p * WIDTH < seen; ++p)
      memcpy(energies + p * step + r * WIDTH, from + p * apart, WIDTH * sizeof(float));
  }
}

// Keeps the slopes of a tile, as gradients of the energies that the shifts have added.
static void keep_slopes(const Attention& a, const Pairs& pairs, Tile t, const float* slopes,
                        index_t stride) {
  for (index_t r = 0; r < t.count; ++r) {
    index_t i = t.first + r, keys = a.keys(i, pairs.longest), step = pairs.step(i);
    float* to = pairs.row(t.n, i);
    for (index_t key = 0; key < keys; key += WIDTH, to += step)
      if (key < t.keys)
        memcpy(to, slopes + r * stride + key, WIDTH * sizeof(float));
      else
        memset(to, 0, WIDTH * sizeof(float));
  }
}

// The gradient of the shifts of query i, and their part of that of the queries. space:
// (all_heads + padded(time)) * WIDTH.
static void shift_gradients(const Attention& a, const Pairs& pairs, index_t i, float* d_qkv,
                            float* d_key_shift, float* space) {
  Rows queries = pairs.queries(i);
  index_t count = (index_t)queries.size(), keys = count ? a.keys(i, pairs.longest) : 0;
  fetch(a.shift(i, 0), keys * a.key_size);
  const float* slopes = pairs.of(i);
  float *of_queries = space + padded(a.time) * WIDTH, sums[WIDTH * WIDTH];
  float* to = d_key_shift + i * a.time * a.key_size;
  memset(to + keys * a.key_size, 0, (a.time - keys) * a.key_size * sizeof(float));
  for (index_t column = 0; column < a.key_size && count; column += WIDTH) {
    int valid = (int)least(a.key_size - column, WIDTH);
    Panel<P> panel = {space, count};
    gather_panel<P>({queries.data(), count}, column, valid, panel);
    for (index_t key = 0; key < keys; key += WIDTH) {
      index_t some = least(keys - key, WIDTH);
      Rows rows = rows_of(slopes + key * count, 1, some);
      panel_product<P>({rows.data(), 0, WIDTH}, some, panel, count, false, sums);
      copy_rows(sums, some, valid, to + key * a.key_size + column, a.key_size);
    }
    Rows shifts = rows_of(a.shift(i, 0), a.key_size, keys);
    panel = {space, keys};
    gather_panel<P>({shifts.data(), keys}, column, valid, panel);
    for (index_t key = 0; key < keys; key += WIDTH, panel.data += WIDTH * PART * LANES) {
      Rows rows = rows_of(slopes + key * count, WIDTH, count);
      panel_product<P>({rows.data(), 0, 1}, count, panel, least(keys - key, WIDTH), key > 0,
                       of_queries);
    }
    for (index_t row = 0; row < count; ++row) {
      float* d_query = d_qkv + (queries[row] - a.qkv) + column;
      THREADS(j, valid) d_query[j] += of_queries[row * WIDTH + j];
    }
  }
}

#endif
