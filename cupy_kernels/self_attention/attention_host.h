// Self-attention on the host: a head of a sequence at a time, by tiles of its queries, whose
// weights stay in the cache. Where there are shifts of keys by pair, which all heads share, some
// queries of all heads go along together: products with the shifts of a query are made of all heads
// at once.
#pragma once
#ifndef __CUDACC__

#include <atomic>

#include "attention_distances.h"
#include "attention_pairs.h"

// Calls attend(n, first, end) for each head n, and each piece of the queries in turn; with shifts
// of keys by pair before that before(i), and after it after(i), for the queries of the piece.
template <class Before, class Attend, class After>
static void in_pieces(const Attention& a, index_t piece, index_t workers, Before before,
                      Attend attend, After after) {
  index_t pieces = a.time ? ceil_div(a.time, piece) : 0;
  std::vector<std::atomic<index_t>> next(3 * pieces);
  for (auto& number : next) number = 0;
  Team team;
#pragma omp parallel num_threads(workers) if (workers > 1)
  for (index_t p = 0; p < pieces; ++p) {
    index_t first = p * piece, end = least(first + piece, a.time);
    auto deal = [&](std::atomic<index_t>& number, index_t count, auto f) {
      for (index_t k; (k = number++) < count;) f(k);
      team.wait(team_size());
    };
    if (a.by_pair()) deal(next[3 * p], end - first, [&](index_t k) { before(first + k); });
    deal(next[3 * p + 1], a.all_heads(), [&](index_t n) { attend(n, first, end); });
    if (a.by_pair()) deal(next[3 * p + 2], end - first, [&](index_t k) { after(first + k); });
  }
}

// Memory of each thread: a tile's energies, its weights, and what else a pass needs.
class Spaces {
 public:
  Spaces(const Attention& a, index_t more, index_t workers)
      : stride(padded(a.time) + 16),  // so that rows do not share the places of the cache
        energies_(QUERIES * padded(a.time)),
        weights_(QUERIES * stride),
        size_(energies_ + weights_ + more),
        data_(workers * size_) {}

  float* energies() const { return data_.data() + team_index() * size_; }
  float* weights() const { return energies() + energies_; }
  float* more() const { return weights() + weights_; }

  index_t stride;  // of rows of weights

 private:
  index_t energies_, weights_, size_;
  Space<float> data_;
};

// Calls each(tile) for the queries of head n from `first` on, QUERIES at a time.
template <class Each>
static void in_tiles(const Attention& a, index_t n, index_t first, index_t end, Each each) {
  index_t length = a.length(n / a.heads);
  for (end = least(end, a.queries(n / a.heads)); first < end; first += QUERIES) {
    index_t count = least(end - first, QUERIES);
    each(Tile{n, first, count, a.keys(first + count - 1, length)});
  }
}

// Those of keys, by pair or by distance.
struct Shifts {
  Pairs pairs;
  Distances distances;
};

// energies [panels of keys, count, WIDTH] of a tile, before they are scaled. space: QUERIES *
// key_size.
static void tile_energies(const Attention& a, Tile t, const float* keys, const Shifts& shifts,
                          float* energies, float* space) {
  Rows queries = rows_of(a.query(t.n, t.first), a.row(), t.count);
  queries = copies_of(queries, a.key_size, space);
  if (a.by_pair()) copy_energies(a, shifts.pairs, t, energies);
  if (a.by_distance()) shifts.distances.energies(t, queries, energies);
  for (index_t key = 0; key < t.keys; key += WIDTH)
    panel_product<P>({queries.data(), 0, 1}, t.count, {(float*)keys + key * a.key_size, a.key_size},
                     a.key_size, a.key_shift, energies + key * t.count, t.keys - key);
}

KERNEL self_attention_forward(const float* qkv, const float* key_shift, const int* lengths,
                              float* out, float* log_sums, index_t batch, index_t time,
                              index_t heads, index_t key_size, index_t value_size,
                              index_t left_only, index_t every_query, index_t clipping,
                              index_t workers) {
  Attention a = {qkv,      key_shift,  lengths,   batch,       time,    heads,
                 key_size, value_size, left_only, every_query, clipping};
  Shifts shifts = {Pairs(a), Distances(a, workers)};
  index_t of_keys = padded(time) * key_size, size = of_keys + time * padded(value_size);
  bool at_once = shifts.pairs.piece == time;  // else packed matrices of all heads are kept
  Space<float> packed((at_once ? workers : a.all_heads()) * size);
  index_t of_shift = key_size * (WIDTH + a.all_heads());
  Spaces spaces(a, QUERIES * (key_size + WIDTH) + (a.by_pair() ? of_shift : 0), workers);

  auto attend_tile = [&](Tile t, float* keys, float* values, index_t length) {
    float *energies = spaces.energies(), *weights = spaces.weights(), *sums = spaces.more();
    float sum[QUERIES];
    tile_energies(a, t, keys, shifts, energies, sums);
    for (index_t r = 0; r < t.count; ++r) {
      float* row = energies + r * WIDTH;
      index_t step = t.count * WIDTH, seen = a.keys(t.first + r, length);
      hide(row, step, seen);
      float most = largest(row, step, seen) * a.scale();
      sum[r] = grow(row, step, seen, t.keys, a.scale(), most, weights + r * spaces.stride);
      log_sums[t.n * time + t.first + r] = most + logf(sum[r]);
    }
    Rows rows = rows_of(weights, spaces.stride, t.count);
    for (index_t column = 0; column < value_size; column += WIDTH) {
      panel_product<P>({rows.data(), 0, 1}, t.count, {values + column * length, length}, t.keys,
                       false, sums);
      float* to = out + a.value_at(t.n, t.first) + column;
      int valid = (int)least(value_size - column, WIDTH);
      for (index_t r = 0; r < t.count; ++r, to += a.value_row())
        THREADS(j, valid) to[j] = sums[r * WIDTH + j] / sum[r];
    }
  };
  auto attend = [&](index_t n, index_t first, index_t end) {
    index_t length = a.length(n / heads);
    float *keys = packed.data() + (at_once ? team_index() : n) * size, *values = keys + of_keys;
    if (first == 0) {
      pack_transposed(a.key(n, 0), a.row(), length, key_size, keys);
      pack(rows_of(a.value(n, 0), a.row(), length), value_size, values);
    }
    in_tiles(a, n, first, end, [&](Tile t) { attend_tile(t, keys, values, length); });
    index_t queries = a.queries(n / heads);
    for (index_t i = first < queries ? queries : first; i < end; ++i) {
      memset(out + a.value_at(n, i), 0, value_size * sizeof(float));
      log_sums[n * time + i] = 0.0f;
    }
  };
  auto before = [&](index_t i) { shift_energies(a, shifts.pairs, i, spaces.more()); };
  in_pieces(a, shifts.pairs.piece, workers, before, attend, [](index_t) {});
}

// The packed matrices of a head on the way back, and the sums of gradients.
struct Packed {
  const Attention& a;
  float *keys_across, *values_across, *keys, *d_keys, *d_values;

  static index_t size(const Attention& a) {
    return padded(a.time) * (a.key_size + a.value_size) +
           a.time * (2 * padded(a.key_size) + padded(a.value_size));
  }
  Packed(const Attention& a, float* space) : a(a), keys_across(space) {
    values_across = keys_across + padded(a.time) * a.key_size;
    keys = values_across + padded(a.time) * a.value_size;
    d_keys = keys + a.time * padded(a.key_size);
    d_values = d_keys + a.time * padded(a.key_size);
  }

  void begin(index_t n) const {
    index_t length = a.length(n / a.heads);
    pack_transposed(a.key(n, 0), a.row(), length, a.key_size, keys_across);
    pack_transposed(a.value(n, 0), a.row(), length, a.value_size, values_across);
    pack(rows_of(a.key(n, 0), a.row(), length), a.key_size, keys);
    index_t sums = a.time * (padded(a.key_size) + padded(a.value_size));
    memset(d_keys, 0, sums * sizeof(float));
  }
  // The gradients of keys and values are complete; behind the end they, and queries', are zero.
  void end(index_t n, float* d_qkv) const {
    index_t length = a.length(n / a.heads);
    float* to = d_qkv + a.at(n, 0) + a.key_size;
    unpack(d_keys, a.key_size, length, to);
    unpack(d_values, a.value_size, length, to + a.key_size);
    for (index_t t = length; t < a.time; ++t) {
      index_t own = t < a.queries(n / a.heads) ? a.key_size : 0;  // the gradient of the query
      memset(d_qkv + a.at(n, t) + own, 0, (a.columns() - own) * sizeof(float));
    }
  }

 private:
  void unpack(const float* sums, index_t size, index_t length, float* to) const {
    for (index_t column = 0; column < size; column += WIDTH)
      copy_rows(sums + column * a.time, length, (int)least(size - column, WIDTH), to + column,
                a.row());
  }
};

// What a pass back is given, and the result of each tile.
struct Gradients {
  const float *d_out, *out, *log_sums;
  float* d_qkv;
};

static void tile_gradient(const Attention& a, const Gradients& g, Tile t, const Packed& packed,
                          const Shifts& shifts, const Spaces& spaces, float* d_shifts) {
  index_t length = a.length(t.n / a.heads), step = t.count * WIDTH, stride = spaces.stride;
  float *energies = spaces.energies(), *weights = spaces.weights(), *more = spaces.more();
  const float* d_out = g.d_out + a.value_at(t.n, t.first);
  Rows d_rows = rows_of(d_out, a.value_row(), t.count);
  tile_energies(a, t, packed.keys_across, shifts, energies, more);
  for (index_t r = 0; r < t.count; ++r) {
    index_t seen = a.keys(t.first + r, length);
    hide(energies + r * WIDTH, step, seen);
    grow(energies + r * WIDTH, step, seen, t.keys, a.scale(),
         g.log_sums[t.n * a.time + t.first + r], weights + r * stride);
  }
  Columns by_key = {weights, stride, t.keys};
  pack(d_rows, a.value_size, more);
  add_by_columns(by_key, more, t.count, a.value_size, packed.d_values, a.time);

  Rows d_copies = copies_of(d_rows, a.value_size, more);
  for (index_t key = 0; key < t.keys; key += WIDTH)  // now the energies are the weights' gradients
    panel_product<P>({d_copies.data(), 0, 1}, t.count,
                     {packed.values_across + key * a.value_size, a.value_size}, a.value_size, false,
                     energies + key * t.count, t.keys - key);
  for (index_t r = 0; r < t.count; ++r) {
    const float *d = d_rows[r], *y = g.out + a.value_at(t.n, t.first + r);
    float mean = block_sum_of((int)a.value_size, [=](int k) { return d[k] * y[k]; });
    slopes(energies + r * WIDTH, step, a.keys(t.first + r, length), mean, a.scale(),
           weights + r * stride);
  }
  Rows rows = rows_of(weights, stride, t.count);
  if (a.by_distance()) shifts.distances.sum_up(t, weights, stride);
  for (index_t column = 0; column < a.key_size; column += WIDTH) {
    panel_product<P>({rows.data(), 0, 1}, t.count, {packed.keys + column * length, length}, t.keys,
                     false, more);
    if (a.by_distance()) shifts.distances.add_to_queries(t, column, more);
    copy_rows(more, t.count, (int)least(a.key_size - column, WIDTH),
              g.d_qkv + a.at(t.n, t.first) + column, a.row());
  }
  pack(rows_of(a.query(t.n, t.first), a.row(), t.count), a.key_size, more);
  add_by_columns(by_key, more, t.count, a.key_size, packed.d_keys, a.time);
  if (a.by_distance()) shifts.distances.add_to_shifts(t, more, d_shifts);
}

KERNEL self_attention_backward(const float* d_out, const float* qkv, const float* key_shift,
                               const int* lengths, const float* out, const float* log_sums,
                               float* d_qkv, float* d_key_shift, index_t batch, index_t time,
                               index_t heads, index_t key_size, index_t value_size,
                               index_t left_only, index_t every_query, index_t clipping,
                               index_t workers) {
  Attention a = {qkv,      key_shift,  lengths,   batch,       time,    heads,
                 key_size, value_size, left_only, every_query, clipping};
  Gradients g = {d_out, out, log_sums, d_qkv};
  Shifts shifts = {Pairs(a), Distances(a, workers)};
  index_t size = Packed::size(a);
  bool at_once = shifts.pairs.piece == time;  // else packed matrices of all heads are kept
  Space<float> packed((at_once ? workers : a.all_heads()) * size);
  index_t of_tile = QUERIES * (padded(key_size) + padded(value_size));
  index_t of_shift = (a.all_heads() + padded(time)) * WIDTH + key_size * (WIDTH + a.all_heads());
  Space<float> d_shifts(a.all_heads() * shifts.distances.of_head());
  Spaces spaces(a, a.by_pair() && of_shift > of_tile ? of_shift : of_tile, workers);

  auto attend = [&](index_t n, index_t first, index_t end) {
    Packed of_head(a, packed.data() + (at_once ? team_index() : n) * size);
    float* of_shifts = d_shifts.data() + n * shifts.distances.of_head();
    if (first == 0) {
      of_head.begin(n);
      memset(of_shifts, 0, shifts.distances.of_head() * sizeof(float));
    }
    in_tiles(a, n, first, end, [&](Tile t) {
      tile_gradient(a, g, t, of_head, shifts, spaces, of_shifts);
      if (a.by_pair()) keep_slopes(a, shifts.pairs, t, spaces.weights(), spaces.stride);
    });
    if (end == time) of_head.end(n, d_qkv);
  };
  auto before = [&](index_t i) { shift_energies(a, shifts.pairs, i, spaces.more()); };
  auto after = [&](index_t i) {
    shift_gradients(a, shifts.pairs, i, d_qkv, d_key_shift, spaces.more());
  };
  in_pieces(a, shifts.pairs.piece, workers, before, attend, after);
  if (a.by_distance()) shifts.distances.total(d_shifts.data(), d_key_shift, workers);
}

#endif
