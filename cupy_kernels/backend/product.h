// Matrix products on the host with a matrix that is packed once and used many times.
//
// The packed matrix is cut into panels of WIDTH columns, four registers wide; a panel holds its
// rows one after the other, as words (operand.h). A tile, up to ROWS rows of the result by one
// panel, is summed in registers alone. Libraries pack such a matrix again at every call.
#pragma once
#ifndef __CUDACC__

#include <vector>

#include "operand.h"
#include "team.h"

// What a tile is summed from: word k of row r is rows[r][start + k * stride].
template <class P>
struct TileRows {
  const typename P::Word* const* rows;
  index_t start, stride;
};

// out [R, WIDTH] = (out +) sum over k of word k of each row * panel[k].
template <class P, int R>
DEVICE void tile_sum(TileRows<P> x, const typename P::Word* panel, index_t words, bool add,
                     float* out) {
  Lanes sum[R][4];
  for (int r = 0; r < R; ++r)
    for (int j = 0; j < 4; ++j) sum[r][j] = add ? ((Lanes*)out)[r * 4 + j] : Lanes{};
  index_t at = x.start;
  for (index_t k = 0; k < words; ++k, at += x.stride, panel += WIDTH) {
    typename P::Broadcast value[R];  // with few registers it is these that stay, and the panel
    for (int r = 0; r < R; ++r) value[r] = P::broadcast(x.rows[r][at]);  // that is read
    for (int j = 0; j < 4; ++j) {
      auto w = P::load(panel + j * LANES);
      for (int r = 0; r < R; ++r) sum[r][j] = P::multiply_add(sum[r][j], w, value[r]);
    }
  }
  for (int r = 0; r < R; ++r)
    for (int j = 0; j < 4; ++j) ((Lanes*)out)[r * 4 + j] = sum[r][j];
}

// As above for a count of rows that is only known when it runs, from 1 to ROWS.
template <class P>
static void tile_product(int count, TileRows<P> x, const typename P::Word* panel, index_t words,
                         bool add, float* out) {
  switch (count) {
    case 1: return tile_sum<P, 1>(x, panel, words, add, out);
    case 2: return tile_sum<P, 2>(x, panel, words, add, out);
#if ROWS >= 3
    case 3: return tile_sum<P, 3>(x, panel, words, add, out);
#endif
#if ROWS >= 6
    case 4: return tile_sum<P, 4>(x, panel, words, add, out);
    case 5: return tile_sum<P, 5>(x, panel, words, add, out);
    case 6: return tile_sum<P, 6>(x, panel, words, add, out);
#endif
  }
}

// out [count, WIDTH] = (out +) rows [count, words] times a panel; the panel goes through the nearer
// cache in blocks, each of which all rows use before the next.
template <class P>
static void panel_product(const typename P::Word* const* rows, index_t count,
                          const typename P::Word* panel, index_t words, bool add, float* out) {
  const index_t most = 512;
  // No tile much smaller than the others: 20 rows are 5 5 5 5, not 6 6 6 2.
  index_t height = count ? ceil_div(count, ceil_div(count, ROWS)) : 1;
  for (index_t k = 0; k < words; k += most) {
    index_t block = words - k < most ? words - k : most;
    for (index_t first = 0; first < count; first += height) {
      TileRows<P> x = {rows + first, k, 1};
      int valid = (int)(count - first < height ? count - first : height);
      tile_product<P>(valid, x, panel + k * WIDTH, block, add || k > 0, out + first * WIDTH);
    }
  }
}

template <class P>
static void panel_product(const std::vector<const typename P::Word*>& rows,
                          const typename P::Word* panel, index_t words, bool add, float* out) {
  panel_product<P>(rows.data(), (index_t)rows.size(), panel, words, add, out);
}

// A panel of the rows of a matrix: four pieces of `valid` columns each (the rest is zero), which
// start `piece` apart.
template <class P>
static void pack_rows(const float* matrix, index_t stride, index_t depth, index_t piece,
                      int valid, typename P::Word* panel) {
  for (index_t k = 0; k < depth; k += P::NUMBERS, matrix += P::NUMBERS * stride)
    for (int j = 0; j < 4; ++j, panel += LANES) {
      const float* row = matrix + j * piece;
      P::across(row, k + 1 < depth ? row + stride : nullptr, valid, panel);
      for (int lane = valid; lane < LANES; ++lane) panel[lane] = 0;
    }
}

// A panel of the transposed matrix: its columns are `valid` rows of the matrix.
template <class P>
static void pack_columns(const float* matrix, index_t stride, index_t depth, int valid,
                         typename P::Word* panel) {
  const index_t most = P::NUMBERS * LANES;
  for (index_t start = 0; start < depth; start += most, panel += LANES * WIDTH) {
    index_t block = depth - start < most ? depth - start : most;
    typename P::Word words[WIDTH][LANES];
    for (int column = 0; column < WIDTH; ++column)
      if (column < valid)
        P::along(matrix + column * stride + start, block, words[column]);
      else
        memset(words[column], 0, sizeof words[column]);
    for (index_t i = 0; i < P::words(block); ++i)
      for (int column = 0; column < WIDTH; ++column) panel[i * WIDTH + column] = words[column][i];
  }
}

// Rows that lie anywhere, of which a sum a^T b (below) takes `count`; word k of a column is of
// NUMBERS rows.
template <class P>
struct Gathered {
  const float* const* rows;
  index_t count;

  index_t words() const { return P::words(count); }
  void across(index_t k, index_t column, int columns, typename P::Word* out) const {
    const float* const* row = rows + k * P::NUMBERS;
    const float* second = k * P::NUMBERS + 1 < count ? row[P::NUMBERS - 1] + column : nullptr;
    P::across(row[0] + column, second, columns, out);
  }
};

// A matrix a, by the addresses of its rows of m numbers: what a sum a^T b (below) is made of.
template <class P>
struct Factor {
  typedef typename P::Word Word;
  index_t m;
  const float* const* rows;
  Word* packed;  // space(m) words: the columns of a block of rows, ROWS at a time
  float* out;    // [m, columns of b]

  static const index_t MOST_WORDS = 512;  // summed at once: a panel of b stays in the cache
  static index_t space(index_t m) { return ceil_div(m, ROWS) * ROWS * MOST_WORDS; }
  index_t tiles() const { return ceil_div(m, ROWS); }

  // Packs the tiles begin to end of `count` rows from `first` on.
  void pack(Share tiles, index_t first, index_t count) const {
    const int most = 8;  // words of a column that are written one behind the other
    Gathered<P> block = {rows + first, count};
    index_t words = block.words(), begin = tiles.begin * ROWS, width = tiles.end * ROWS - begin;
    int valid = (int)((m < tiles.end * ROWS ? m : tiles.end * ROWS) - begin);
    std::vector<Word> space(most * width);
    for (index_t k = 0; k < words; k += most) {
      int deep = (int)(words - k < most ? words - k : most);
      for (int i = 0; i < deep; ++i) block.across(k + i, begin, valid, &space[i * width]);
      for (index_t tile = tiles.begin; tile < tiles.end; ++tile)
        for (int i = 0; i < deep; ++i)
          memcpy(packed + (tile * words + k + i) * ROWS, &space[i * width + tile * ROWS - begin],
                 ROWS * sizeof(Word));
    }
  }

  // Adds the product with a panel of b, of which `valid` columns exist, to out from `column` on.
  void add_panel(const Word* panel, index_t words, index_t n, index_t column, int valid) const {
    float sum[ROWS * WIDTH] __attribute__((aligned(64)));
    for (index_t tile = 0; tile < tiles(); ++tile) {
      const Word* tile_rows[ROWS];
      for (int r = 0; r < ROWS; ++r) tile_rows[r] = packed + tile * ROWS * words + r;
      int height = (int)(m - tile * ROWS < ROWS ? m - tile * ROWS : ROWS);
      float* to = out + tile * ROWS * n + column;
      for (int r = 0; r < height; ++r)
        for (int j = 0; j < 4; ++j) __builtin_prefetch(to + r * n + j * LANES, 1);
      TileRows<P> x = {tile_rows, 0, ROWS};
      tile_sum<P, ROWS>(x, panel, words, false, sum);
      for (int r = 0; r < height; ++r, to += n)
        THREADS(i, valid) to[i] += sum[r * WIDTH + i];
    }
  }
};

// A panel of gathered rows.
template <class P>
static void gather_panel(Gathered<P> b, index_t column, int valid, typename P::Word* panel) {
  for (index_t k = 0; k < b.words(); ++k, panel += WIDTH)
    if (valid == WIDTH) {
      b.across(k, column, WIDTH, panel);
    } else {
      b.across(k, column, valid, panel);
      for (int i = valid; i < WIDTH; ++i) panel[i] = 0;
    }
}

// The outs of the factors += a^T b over `depth` rows of b of n numbers; sums [n] += the rows of b.
// Every member of a team calls it.
template <class P>
static void add_transposed_products(const std::vector<Factor<P>>& factors, const float* const* b,
                                    index_t depth, index_t n, float* sums, Team& team) {
  const index_t most = P::NUMBERS * Factor<P>::MOST_WORDS;
  int size = team_size(), member = team_index();
  Share panels = share(ceil_div(n, WIDTH), member, size);
  Space<typename P::Word> panel(Factor<P>::MOST_WORDS * WIDTH);
  for (index_t first = 0; first < depth; first += most) {
    Gathered<P> block = {b + first, depth - first < most ? depth - first : most};
    for (const Factor<P>& a : factors)
      a.pack(share(a.tiles(), member, size), first, block.count);
    team.wait(size);
    for (index_t p = panels.begin; p < panels.end; ++p) {
      index_t column = p * WIDTH;
      int valid = (int)(n - column < WIDTH ? n - column : WIDTH);
      gather_panel(block, column, valid, panel.data());
      for (const Factor<P>& a : factors)
        a.add_panel(panel.data(), block.words(), n, column, valid);
      for (index_t k = 0; k < block.count; ++k)
        THREADS(i, valid) sums[column + i] += block.rows[k][column + i];
    }
    team.wait(size);
  }
}

#endif
