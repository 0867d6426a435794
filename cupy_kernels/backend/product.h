// Matrix products on the host with a matrix that is packed once and used many times.
//
// The packed matrix is cut into panels of WIDTH columns, four registers wide; a panel holds its
// rows one after the other. A tile, up to ROWS rows of the result by one panel, is summed in
// registers alone. Libraries pack such a matrix again at every call.
#pragma once
#ifndef __CUDACC__

#include <new>
#include <vector>

#include "team.h"

#if defined(__AVX512F__)
#define LANES 16
#define ROWS 6
#elif defined(__AVX__)
#define LANES 8
#define ROWS 3
#elif defined(__aarch64__)
#define LANES 4
#define ROWS 6
#else
#define LANES 4
#define ROWS 2
#endif
#define WIDTH (4 * LANES)

typedef float Lanes __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

DEVICE index_t ceil_div(index_t a, index_t b) { return (a + b - 1) / b; }

// Numbers without a value yet, at an address from which registers load at full speed.
class Space {
 public:
  explicit Space(index_t count) : data_((float*)operator new(4 * count, std::align_val_t(64))) {}
  ~Space() { operator delete(data_, std::align_val_t(64)); }
  Space(const Space&) = delete;
  float* data() const { return data_; }

 private:
  float* data_;
};

// What a tile is summed from: number k of row r is rows[r][start + k * stride].
struct TileRows {
  const float* const* rows;
  index_t start, stride;
};

// out [R, WIDTH] = (out +) sum over k of number k of each row * panel[k].
template <int R>
DEVICE void tile_sum(TileRows x, const float* panel, index_t depth, bool add, float* out) {
  Lanes sum[R][4];
  for (int r = 0; r < R; ++r)
    for (int j = 0; j < 4; ++j) sum[r][j] = add ? ((Lanes*)out)[r * 4 + j] : Lanes{};
  index_t at = x.start;
  for (index_t k = 0; k < depth; ++k, at += x.stride, panel += WIDTH) {
    Lanes value[R];  // with few registers it is these that stay, and the panel that is read
    for (int r = 0; r < R; ++r) value[r] = x.rows[r][at] - Lanes{};
    for (int j = 0; j < 4; ++j) {
      Lanes w = ((const Lanes*)panel)[j];
      for (int r = 0; r < R; ++r) sum[r][j] += w * value[r];
    }
  }
  for (int r = 0; r < R; ++r)
    for (int j = 0; j < 4; ++j) ((Lanes*)out)[r * 4 + j] = sum[r][j];
}

// As above for a count of rows that is only known when it runs, from 1 to ROWS.
static void tile_product(int count, TileRows x, const float* panel, index_t depth, bool add,
                         float* out) {
  switch (count) {
    case 1: return tile_sum<1>(x, panel, depth, add, out);
    case 2: return tile_sum<2>(x, panel, depth, add, out);
#if ROWS >= 3
    case 3: return tile_sum<3>(x, panel, depth, add, out);
#endif
#if ROWS >= 6
    case 4: return tile_sum<4>(x, panel, depth, add, out);
    case 5: return tile_sum<5>(x, panel, depth, add, out);
    case 6: return tile_sum<6>(x, panel, depth, add, out);
#endif
  }
}

// out [count, WIDTH] = (out +) rows [count, depth] times a panel; the panel goes through the nearer
// cache in blocks, each of which all rows use before the next.
static void panel_product(const float* const* rows, index_t count, const float* panel,
                          index_t depth, bool add, float* out) {
  const index_t most = 512;
  // No tile much smaller than the others: 20 rows are 5 5 5 5, not 6 6 6 2.
  index_t height = count ? ceil_div(count, ceil_div(count, ROWS)) : 1;
  for (index_t k = 0; k < depth; k += most) {
    index_t block = depth - k < most ? depth - k : most;
    for (index_t first = 0; first < count; first += height) {
      TileRows x = {rows + first, k, 1};
      int valid = (int)(count - first < height ? count - first : height);
      tile_product(valid, x, panel + k * WIDTH, block, add || k > 0, out + first * WIDTH);
    }
  }
}

// A panel of the rows of a matrix: four pieces of `valid` columns each (the rest is zero), which
// start `piece` apart.
DEVICE void pack_rows(const float* matrix, index_t stride, index_t depth, index_t piece,
                      int valid, float* panel) {
  for (index_t k = 0; k < depth; ++k, matrix += stride, panel += WIDTH)
    for (int j = 0; j < 4; ++j)
      for (int lane = 0; lane < LANES; ++lane)
        panel[j * LANES + lane] = lane < valid ? matrix[j * piece + lane] : 0.0f;
}

// A panel of the transposed matrix: its columns are `valid` rows of the matrix.
DEVICE void pack_columns(const float* matrix, index_t stride, index_t depth, int valid,
                         float* panel) {
  for (index_t start = 0; start < depth; start += LANES) {
    int count = (int)(depth - start < LANES ? depth - start : LANES);
    for (int column = 0; column < WIDTH; ++column)
      for (int i = 0; i < count; ++i)
        panel[(start + i) * WIDTH + column] =
            column < valid ? matrix[column * stride + start + i] : 0.0f;
  }
}

// A matrix a, by the addresses of its rows of m numbers: what a sum a^T b (below) is made of.
struct Factor {
  index_t m;
  const float* const* rows;
  float* packed;  // space(m) floats: the columns of a block of rows, ROWS at a time
  float* out;     // [m, columns of b]

  static const index_t MOST_ROWS = 512;  // summed at once: a panel of b stays in the cache
  static index_t space(index_t m) { return ceil_div(m, ROWS) * ROWS * MOST_ROWS; }
  index_t tiles() const { return ceil_div(m, ROWS); }

  // Packs the tiles begin to end of the rows from `first` on.
  void pack(Share tiles, index_t first, index_t depth) const {
    for (index_t tile = tiles.begin; tile < tiles.end; ++tile) {
      float* to = packed + tile * ROWS * depth;
      index_t column = tile * ROWS;
      int valid = (int)(m - column < ROWS ? m - column : ROWS);
      for (index_t k = 0; k < depth; ++k) {
        const float* from = rows[first + k] + column;
        if (valid == ROWS)
          memcpy(to + k * ROWS, from, ROWS * sizeof(float));
        else
          for (int r = 0; r < ROWS; ++r) to[k * ROWS + r] = r < valid ? from[r] : 0.0f;
      }
    }
  }

  // Adds the product with a panel of b, of which `valid` columns exist, to out from `column` on.
  void add_panel(const float* panel, index_t depth, index_t n, index_t column, int valid) const {
    float sum[ROWS * WIDTH] __attribute__((aligned(64)));
    for (index_t tile = 0; tile < tiles(); ++tile) {
      const float* tile_rows[ROWS];
      for (int r = 0; r < ROWS; ++r) tile_rows[r] = packed + tile * ROWS * depth + r;
      int height = (int)(m - tile * ROWS < ROWS ? m - tile * ROWS : ROWS);
      float* to = out + tile * ROWS * n + column;
      for (int r = 0; r < height; ++r)
        for (int j = 0; j < 4; ++j) __builtin_prefetch(to + r * n + j * LANES, 1);
      TileRows x = {tile_rows, 0, ROWS};
      tile_sum<ROWS>(x, panel, depth, false, sum);
      for (int r = 0; r < height; ++r, to += n)
        THREADS(i, valid) to[i] += sum[r * WIDTH + i];
    }
  }
};

// A panel of rows that lie anywhere.
DEVICE void gather_panel(const float* const* rows, index_t depth, index_t column, int valid,
                         float* panel) {
  for (index_t k = 0; k < depth; ++k, panel += WIDTH)
    if (valid == WIDTH)
      memcpy(panel, rows[k] + column, WIDTH * sizeof(float));
    else
      for (int i = 0; i < WIDTH; ++i) panel[i] = i < valid ? rows[k][column + i] : 0.0f;
}

// The outs of the factors += a^T b over `depth` rows of b of n numbers; sums [n] += the rows of b.
// Every member of a team calls it.
static void add_transposed_products(const std::vector<Factor>& factors, const float* const* b,
                                    index_t depth, index_t n, float* sums, Team& team) {
  int size = team_size(), member = team_index();
  Share panels = share(ceil_div(n, WIDTH), member, size);
  Space panel(Factor::MOST_ROWS * WIDTH);
  for (index_t first = 0; first < depth; first += Factor::MOST_ROWS) {
    index_t block = depth - first < Factor::MOST_ROWS ? depth - first : Factor::MOST_ROWS;
    for (const Factor& a : factors) a.pack(share(a.tiles(), member, size), first, block);
    team.wait(size);
    for (index_t p = panels.begin; p < panels.end; ++p) {
      index_t column = p * WIDTH;
      int valid = (int)(n - column < WIDTH ? n - column : WIDTH);
      gather_panel(b + first, block, column, valid, panel.data());
      for (const Factor& a : factors) a.add_panel(panel.data(), block, n, column, valid);
      for (index_t k = 0; k < block; ++k)
        THREADS(i, valid) sums[column + i] += panel.data()[k * WIDTH + i];
    }
    team.wait(size);
  }
}

#endif
