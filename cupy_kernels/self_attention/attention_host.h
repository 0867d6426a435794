// Self-attention on the host: a head of a sequence at a time, by tiles of its queries, whose
// weights stay in the cache. Where there are shifts of keys, which all heads share, some queries of
// all heads go along together: products with the shifts of a query are made of all heads at once.
#pragma once
#ifndef __CUDACC__

#include "attention_tiles.h"

// Calls attend(n, first, end) for each head n, and each piece of the queries in turn; with shifts
// of keys before that before(i), and after it after(i), for the queries of the piece.
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
    if (a.key_shift) deal(next[3 * p], end - first, [&](index_t k) { before(first + k); });
    deal(next[3 * p + 1], a.all_heads(), [&](index_t n) { attend(n, first, end); });
    if (a.key_shift) deal(next[3 * p + 2], end - first, [&](index_t k) { after(first + k); });
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

// Copies rows [count, WIDTH] to rows that lie `stride` apart, or adds them.
static void copy_rows(const float* from, index_t count, int valid, float* to, index_t stride,
                      bool add = false) {
  for (index_t r = 0; r < count; ++r, from += WIDTH, to += stride)
    if (add)
      THREADS(j, valid) to[j] += from[j];
    else
      THREADS(j, valid) to[j] = from[j];
}

// Calls each(tile) for the queries of head n from `first` on, QUERIES at a time.
template <class Each>
static void in_tiles(const Attention& a, index_t n, index_t first, index_t end, Each each) {
  index_t length = a.length(n / a.heads);
  for (end = least(end, a.queries(n / a.heads)); first < end; first += QUERIES) {
    index_t count = least(end - first, QUERIES);
    each(Tile{n, first, count, a.keys(first + count - 1, length)});
  }
}

KERNEL self_attention_forward(const float* qkv, const float* key_shift, const int* lengths,
                              float* out, float* log_sums, index_t batch, index_t time,
                              index_t heads, index_t key_size, index_t value_size,
                              index_t left_only, index_t every_query, index_t workers) {
  Attention a = {qkv,   key_shift, lengths,    batch,     time,
                 heads, key_size,  value_size, left_only, every_query};
  Pairs pairs(a);
  index_t of_keys = padded(time) * key_size, size = of_keys + time * padded(value_size);
  bool at_once = pairs.piece == time;  // else packed matrices of all heads are kept
  Space<float> packed((at_once ? workers : a.all_heads()) * size);
  index_t of_shift = key_size * (WIDTH + a.all_heads());
  Spaces spaces(a, QUERIES * (key_size + WIDTH) + (key_shift ? of_shift : 0), workers);

  auto attend_tile = [&](Tile t, float* keys, float* values, index_t length) {
    float *energies = spaces.energies(), *weights = spaces.weights(), *sums = spaces.more();
    float sum[QUERIES];
    tile_energies(a, t, keys, pairs, energies, sums);
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
  auto before = [&](index_t i) { shift_energies(a, pairs, i, spaces.more()); };
  in_pieces(a, pairs.piece, workers, before, attend, [](index_t) {});
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

// sums += weights^T rows, for the weights of a tile's queries, and rows of `size` numbers of these.
static void add_by_keys(Tile t, const float* weights, index_t stride, const Rows& rows,
                        index_t size, index_t time, float* panels, float* sums) {
  pack(rows, size, panels);
  Rows columns = rows_of(weights, 1, t.keys);
  for (index_t column = 0; column < size; column += WIDTH)
    panel_product<P>({columns.data(), 0, stride}, t.keys, {panels + column * t.count, t.count},
                     t.count, true, sums + column * time);
}

// What a pass back is given, and its results.
struct Gradients {
  const float *d_out, *out, *log_sums;
  float *d_qkv, *d_key_shift;
};

static void tile_gradient(const Attention& a, const Gradients& g, Tile t, const Packed& packed,
                          const Pairs& pairs, const Spaces& spaces) {
  index_t length = a.length(t.n / a.heads), step = t.count * WIDTH, stride = spaces.stride;
  float *energies = spaces.energies(), *weights = spaces.weights(), *more = spaces.more();
  const float* d_out = g.d_out + a.value_at(t.n, t.first);
  Rows d_rows = rows_of(d_out, a.value_row(), t.count);
  tile_energies(a, t, packed.keys_across, pairs, energies, more);
  for (index_t r = 0; r < t.count; ++r) {
    index_t seen = a.keys(t.first + r, length);
    hide(energies + r * WIDTH, step, seen);
    grow(energies + r * WIDTH, step, seen, t.keys, a.scale(),
         g.log_sums[t.n * a.time + t.first + r], weights + r * stride);
  }
  add_by_keys(t, weights, stride, d_rows, a.value_size, a.time, more, packed.d_values);

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
  for (index_t column = 0; column < a.key_size; column += WIDTH) {
    panel_product<P>({rows.data(), 0, 1}, t.count, {packed.keys + column * length, length}, t.keys,
                     false, more);
    copy_rows(more, t.count, (int)least(a.key_size - column, WIDTH),
              g.d_qkv + a.at(t.n, t.first) + column, a.row());
  }
  add_by_keys(t, weights, stride, rows_of(a.query(t.n, t.first), a.row(), t.count), a.key_size,
              a.time, more, packed.d_keys);
}

// Keeps the slopes of a tile, as gradients of the energies that the shifts have added.
static void keep_slopes(const Attention& a, Tile t, const Pairs& pairs, const Spaces& spaces) {
  for (index_t r = 0; r < t.count; ++r) {
    index_t i = t.first + r, keys = a.keys(i, pairs.longest), step = pairs.step(i);
    float* to = pairs.row(t.n, i);
    for (index_t key = 0; key < keys; key += WIDTH, to += step)
      if (key < t.keys)
        memcpy(to, spaces.weights() + r * spaces.stride + key, WIDTH * sizeof(float));
      else
        memset(to, 0, WIDTH * sizeof(float));
  }
}

// The gradient of the shifts of query i, and their part of that of the queries. space:
// (all_heads + padded(time)) * WIDTH.
static void shift_gradients(const Attention& a, const Gradients& g, const Pairs& pairs, index_t i,
                            float* space) {
  Rows queries = pairs.queries(i);
  index_t count = (index_t)queries.size(), keys = count ? a.keys(i, pairs.longest) : 0;
  fetch(a.shift(i, 0), keys * a.key_size);
  const float* slopes = pairs.of(i);
  float *of_queries = space + padded(a.time) * WIDTH, sums[WIDTH * WIDTH];
  float* to = g.d_key_shift + i * a.time * a.key_size;
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
      float* d_query = g.d_qkv + (queries[row] - a.qkv) + column;
      THREADS(j, valid) d_query[j] += of_queries[row * WIDTH + j];
    }
  }
}

KERNEL self_attention_backward(const float* d_out, const float* qkv, const float* key_shift,
                               const int* lengths, const float* out, const float* log_sums,
                               float* d_qkv, float* d_key_shift, index_t batch, index_t time,
                               index_t heads, index_t key_size, index_t value_size,
                               index_t left_only, index_t every_query, index_t workers) {
  Attention a = {qkv,   key_shift, lengths,    batch,     time,
                 heads, key_size,  value_size, left_only, every_query};
  Gradients g = {d_out, out, log_sums, d_qkv, d_key_shift};
  Pairs pairs(a);
  index_t size = Packed::size(a);
  bool at_once = pairs.piece == time;  // else packed matrices of all heads are kept
  Space<float> packed((at_once ? workers : a.all_heads()) * size);
  index_t of_tile = QUERIES * (padded(key_size) + padded(value_size));
  index_t of_shift = (a.all_heads() + padded(time)) * WIDTH + key_size * (WIDTH + a.all_heads());
  Spaces spaces(a, key_shift && of_shift > of_tile ? of_shift : of_tile, workers);

  auto attend = [&](index_t n, index_t first, index_t end) {
    Packed of_head(a, packed.data() + (at_once ? team_index() : n) * size);
    if (first == 0) of_head.begin(n);
    in_tiles(a, n, first, end, [&](Tile t) {
      tile_gradient(a, g, t, of_head, pairs, spaces);
      if (key_shift) keep_slopes(a, t, pairs, spaces);
    });
    if (end == time) of_head.end(n, d_qkv);
  };
  auto before = [&](index_t i) { shift_energies(a, pairs, i, spaces.more()); };
  auto after = [&](index_t i) { shift_gradients(a, g, pairs, i, spaces.more()); };
  in_pieces(a, pairs.piece, workers, before, attend, after);
}

#endif
