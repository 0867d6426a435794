// Matrix products on the host with a matrix that is packed once and used many times.
//
// The packed matrix is cut into panels of WIDTH columns, four registers wide. A tile is summed in
// registers alone: up to P::ROWS rows of the result by a panel or, where that were more than SUMS
// registers, by a half of one. Libraries pack such a matrix again at every call.
#pragma once
#ifndef __CUDACC__

#include <vector>

#include "operand.h"
#include "team.h"

#define PART (SUMS / 6)  // registers of a panel that tiles of six rows are wide

// `words` rows of WIDTH columns, by the words of its numbers: PART registers of all of its rows,
// one behind the other, then the next ones.
template <class P>
struct Panel {
  typedef typename P::Word Word;
  Word* data;
  index_t words;

  // Register j of row k.
  Word* at(index_t k, int j) const {
    return data + (j / PART * words + k) * PART * LANES + j % PART * LANES;
  }
};

// What a tile is summed from: word k of row r is rows[r][start + k * stride].
template <class P>
struct TileRows {
  const typename P::Word* const* rows;
  index_t start, stride;
};

// out [R, C registers of WIDTH] = (out +) sum over k of word k of each row * row k of a panel that
// starts at `panel`; its next part starts `next` words behind.
template <class P, int R, int C>
DEVICE void tile_sum(TileRows<P> x, const typename P::Word* panel, index_t next, index_t words,
                     bool add, float* out) {
  Lanes sum[R][C];
  for (int r = 0; r < R; ++r)
    for (int j = 0; j < C; ++j) sum[r][j] = add ? *(Lanes*)(out + r * WIDTH + j * LANES) : Lanes{};
  index_t at = x.start;
  for (index_t k = 0; k < words; ++k, at += x.stride, panel += PART * LANES)
    if (C < 4) {  // the panel's words stay in registers, else the rows'
      decltype(P::load(panel)) w[C];
      for (int j = 0; j < C; ++j) w[j] = P::load(panel + j * LANES);
      for (int r = 0; r < R; ++r) {
        typename P::Broadcast value = P::broadcast(x.rows[r][at]);
        for (int j = 0; j < C; ++j) sum[r][j] = P::multiply_add(sum[r][j], w[j], value);
      }
    } else {
      typename P::Broadcast value[R];
      for (int r = 0; r < R; ++r) value[r] = P::broadcast(x.rows[r][at]);
      for (int j = 0; j < C; ++j) {
        auto w = P::load(panel + j / PART * next + j % PART * LANES);
        for (int r = 0; r < R; ++r) sum[r][j] = P::multiply_add(sum[r][j], w, value[r]);
      }
    }
  for (int r = 0; r < R; ++r)
    for (int j = 0; j < C; ++j) *(Lanes*)(out + r * WIDTH + j * LANES) = sum[r][j];
}

// Registers of a panel that a tile of so many rows is wide.
constexpr int wide(int rows) { return rows * 4 <= SUMS ? 4 : PART; }

// As above for a count of rows that is only known when it runs, from 1 to ROWS.
template <class P>
static void tile_product(int count, TileRows<P> x, const typename P::Word* panel, index_t next,
                         index_t words, bool add, float* out) {
  switch (count) {
    case 1: return tile_sum<P, 1, wide(1)>(x, panel, next, words, add, out);
    case 2: return tile_sum<P, 2, wide(2)>(x, panel, next, words, add, out);
    case 3: return tile_sum<P, 3, wide(3)>(x, panel, next, words, add, out);
    case 4: return tile_sum<P, 4, wide(4)>(x, panel, next, words, add, out);
    case 5: return tile_sum<P, 5, wide(5)>(x, panel, next, words, add, out);
    case 6: return tile_sum<P, 6, wide(6)>(x, panel, next, words, add, out);
  }
}

// The rows of all tiles but the last: as even as can be, so that 20 are 5 5 5 5 and not 6 6 6 2.
// Four rows by two registers are too few sums to keep the processor busy: 8 are 5 3.
template <class P>
DEVICE int tile_height(index_t count) {
  if (count <= P::ROWS) return (int)count;
  index_t height = ceil_div(count, ceil_div(count, P::ROWS));
  if (wide(4) == 4) return (int)height;
  if (height == 4) height = 5;
  return (int)(count % height == 4 ? 11 - height : height);
}

// out [count, WIDTH] = (out +) the first `words` words of so many rows times those of a panel,
// which goes through the nearest cache in blocks, each of which all rows use before the next. Of
// the columns only the registers that hold the first `valid` are sure to be summed.
template <class P>
static void panel_product(TileRows<P> x, index_t count, Panel<P> panel, index_t words, bool add,
                          float* out, index_t valid = WIDTH) {
  const index_t most = 512;
  index_t next = panel.at(0, PART) - panel.data, height = tile_height<P>(count);
  for (index_t k = 0; k < words; k += most) {
    index_t block = words - k < most ? words - k : most, first = 0;
    auto tiles = [&](int rows_of_tile, index_t end) {
      for (int j = 0; j < 4 && j * LANES < valid; j += wide(rows_of_tile))
        for (index_t row = first; row < end; row += rows_of_tile)
          tile_product<P>(rows_of_tile, {x.rows + row, x.start + k * x.stride, x.stride},
                          panel.at(k, j), next, block, add || k > 0,
                          out + row * WIDTH + j * LANES);
      first = end;
    };
    if (count) tiles((int)height, count / height * height);
    if (first < count) tiles((int)(count - first), count);
  }
}

// As above for rows whose words lie one behind the other, as many as the panel has.
template <class P>
static void panel_product(const typename P::Word* const* rows, index_t count, Panel<P> panel,
                          bool add, float* out) {
  panel_product<P>({rows, 0, 1}, count, panel, panel.words, add, out);
}

template <class P>
static void panel_product(const std::vector<const typename P::Word*>& rows, Panel<P> panel,
                          bool add, float* out) {
  panel_product<P>(rows.data(), (index_t)rows.size(), panel, add, out);
}

// A panel of the rows of a matrix: four pieces of `valid` columns each (the rest is zero), which
// start `piece` apart.
template <class P>
static void pack_rows(const float* matrix, index_t stride, index_t depth, index_t piece,
                      int valid, Panel<P> panel) {
  for (index_t k = 0; k < depth; k += P::NUMBERS, matrix += P::NUMBERS * stride)
    for (int j = 0; j < 4; ++j) {
      const float* row = matrix + j * piece;
      auto to = panel.at(k / P::NUMBERS, j);
      P::across(row, k + 1 < depth ? row + stride : nullptr, valid, to);
      for (int lane = valid; lane < LANES; ++lane) to[lane] = 0;
    }
}

// Rows of a panel, from `first` on, of the transposed matrix: its columns are `valid` rows of it.
template <class P>
static void pack_columns(const float* matrix, index_t stride, index_t depth, int valid,
                         Panel<P> panel, index_t first = 0) {
  const index_t most = P::NUMBERS * LANES;
  for (index_t start = 0; start < depth; start += most, first += LANES) {
    index_t block = depth - start < most ? depth - start : most;
    for (int column = 0; column < WIDTH; column += LANES) {
      Lanes words[LANES] = {};
      for (int c = 0; c < LANES && column + c < valid; ++c)
        P::along(matrix + (column + c) * stride + start, block, (typename P::Word*)&words[c]);
      transpose(words);
      for (index_t i = 0; i < P::words(block); ++i)
        *(Lanes*)panel.at(first + i, column / LANES) = words[i];
    }
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
  static const int ROWS = P::ROWS;
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
  void add_panel(Panel<P> panel, index_t n, index_t column, int valid) const {
    float sum[ROWS * WIDTH] __attribute__((aligned(64)));
    index_t words = panel.words, next = panel.at(0, PART) - panel.data;
    for (index_t tile = 0; tile < tiles(); ++tile) {
      const Word* tile_rows[ROWS];
      for (int r = 0; r < ROWS; ++r) tile_rows[r] = packed + tile * ROWS * words + r;
      int height = (int)(m - tile * ROWS < ROWS ? m - tile * ROWS : ROWS);
      float* to = out + tile * ROWS * n + column;
      for (int r = 0; r < height; ++r)
        for (int j = 0; j < 4; ++j) __builtin_prefetch(to + r * n + j * LANES, 1);
      for (int j = 0; j < 4; j += wide(ROWS))
        tile_sum<P, ROWS, wide(ROWS)>({tile_rows, 0, ROWS}, panel.at(0, j), next, words, false,
                                      sum + j * LANES);
      for (int r = 0; r < height; ++r, to += n)
        THREADS(i, valid) to[i] += sum[r * WIDTH + i];
    }
  }
};

// A panel of gathered rows.
template <class P>
static void gather_panel(Gathered<P> b, index_t column, int valid, Panel<P> panel) {
  const int columns = PART * LANES;
  for (int j = 0; j < 4; j += PART, column += columns, valid -= columns)
    for (index_t k = 0; k < b.words(); ++k) {
      auto to = panel.at(k, j);
      if (valid >= columns) {
        b.across(k, column, columns, to);
      } else {
        if (valid > 0) b.across(k, column, valid, to);
        for (int i = valid > 0 ? valid : 0; i < columns; ++i) to[i] = 0;
      }
    }
}

// Panels of a matrix [depth, columns], one behind the other.
template <class P>
static void pack_panels(const float* matrix, index_t depth, index_t columns,
                        typename P::Word* packed, index_t workers) {
  std::vector<const float*> rows(depth);
  for (index_t k = 0; k < depth; ++k) rows[k] = matrix + k * columns;
  BLOCKS(p, ceil_div(columns, WIDTH)) {
    index_t column = p * WIDTH, left = columns - column, words = P::words(depth);
    gather_panel<P>({rows.data(), depth}, column, (int)(left < WIDTH ? left : WIDTH),
                    {packed + column * words, words});
  }
}

// sums [valid] += the rows of a block from `column` on, of which a panel is made.
template <class P>
static void add_rows(Gathered<P> block, index_t column, int valid, Panel<P> panel, float* sums) {
  if constexpr (P::NUMBERS == 1) {  // the panel has the numbers as they are, in the nearest cache
    float line[WIDTH] = {};
    memcpy(line, sums, valid * sizeof(float));
    for (int j = 0; j < 4; ++j) {
      Lanes sum = *(Lanes*)(line + j * LANES);
      for (index_t k = 0; k < block.count; ++k) sum += P::load(panel.at(k, j));
      *(Lanes*)(line + j * LANES) = sum;
    }
    memcpy(sums, line, valid * sizeof(float));
  } else {
    for (index_t k = 0; k < block.count; ++k)
      THREADS(i, valid) sums[i] += block.rows[k][column + i];
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
  Space<typename P::Word> packed(Factor<P>::MOST_WORDS * WIDTH);
  for (index_t first = 0; first < depth; first += most) {
    Gathered<P> block = {b + first, depth - first < most ? depth - first : most};
    for (const Factor<P>& a : factors)
      a.pack(share(a.tiles(), member, size), first, block.count);
    team.wait(size);
    for (index_t p = panels.begin; p < panels.end; ++p) {
      index_t column = p * WIDTH;
      int valid = (int)(n - column < WIDTH ? n - column : WIDTH);
      Panel<P> panel = {packed.data(), block.words()};
      gather_panel(block, column, valid, panel);
      for (const Factor<P>& a : factors) a.add_panel(panel, n, column, valid);
      add_rows(block, column, valid, panel, sums + column);
    }
    team.wait(size);
  }
}

#endif
