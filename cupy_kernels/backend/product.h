// Matrix products on the host with a matrix that is packed once and used many times.
//
// The packed matrix is cut into panels of WIDTH columns, four registers wide; a panel holds its
// rows one after the other. A tile, up to ROWS rows of the result by one panel, is summed in
// registers alone. Libraries pack such a matrix again at every call.
#pragma once
#ifndef __CUDACC__

#include <new>

#include "kernel.h"

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
    const Lanes* w = (const Lanes*)panel;
    Lanes w0 = w[0], w1 = w[1], w2 = w[2], w3 = w[3];
    for (int r = 0; r < R; ++r) {
      float value = x.rows[r][at];
      sum[r][0] += w0 * value;
      sum[r][1] += w1 * value;
      sum[r][2] += w2 * value;
      sum[r][3] += w3 * value;
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

// out [count, WIDTH] = rows [count, depth] times a panel; the panel goes through the nearer cache
// in blocks, each of which all rows use before the next.
static void panel_product(const float* const* rows, index_t count, const float* panel,
                          index_t depth, float* out) {
  const index_t most = 512;
  // No tile much smaller than the others: 20 rows are 5 5 5 5, not 6 6 6 2.
  index_t height = count ? ceil_div(count, ceil_div(count, ROWS)) : 1;
  for (index_t k = 0; k < depth; k += most) {
    index_t block = depth - k < most ? depth - k : most;
    for (index_t first = 0; first < count; first += height) {
      TileRows x = {rows + first, k, 1};
      int valid = (int)(count - first < height ? count - first : height);
      tile_product(valid, x, panel + k * WIDTH, block, k > 0, out + first * WIDTH);
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

// Sums of products over rows that lie anywhere: out [m, n] (+)= a^T b, where a and b are `depth`
// rows of m and n numbers, given by their addresses. A member of a team of `size` calls each part
// in turn, with a barrier between them; `space_a` is shared, `space_b` is the member's own.
struct TransposedProduct {
  index_t m, n, depth;
  const float* const* a;
  const float* const* b;

  static const index_t MOST_ROWS = 384;  // rows summed at once: a panel of b stays in the cache

  // Where the own space of a member begins, behind space_a; and how much a team needs.
  static index_t own_space(index_t m, index_t member) {
    return (ceil_div(m, ROWS) * ROWS + member * WIDTH) * MOST_ROWS;
  }
  static index_t space(index_t m, index_t size) { return own_space(m, size); }

  // Packs the columns of a, ROWS at a time, for the tiles begin to end.
  void pack_a(index_t begin, index_t end, float* space_a) const {
    for (index_t tile = begin; tile < end; ++tile) {
      float* to = space_a + tile * ROWS * depth;
      index_t first = tile * ROWS;
      int valid = (int)(m - first < ROWS ? m - first : ROWS);
      if (valid == ROWS)
        for (index_t k = 0; k < depth; ++k) memcpy(to + k * ROWS, a[k] + first, ROWS * 4);
      else
        for (index_t k = 0; k < depth; ++k)
          for (int r = 0; r < ROWS; ++r) to[k * ROWS + r] = r < valid ? a[k][first + r] : 0.0f;
    }
  }

  // Adds the panels begin to end of WIDTH columns to out, or begins it.
  void add_panels(index_t begin, index_t end, const float* space_a, float* space_b, bool start,
                  float* out) const {
    for (index_t panel = begin; panel < end; ++panel) {
      index_t column = panel * WIDTH;
      int valid = (int)(n - column < WIDTH ? n - column : WIDTH);
      if (valid == WIDTH)
        for (index_t k = 0; k < depth; ++k) memcpy(space_b + k * WIDTH, b[k] + column, WIDTH * 4);
      else
        for (index_t k = 0; k < depth; ++k)
          for (int i = 0; i < WIDTH; ++i)
            space_b[k * WIDTH + i] = i < valid ? b[k][column + i] : 0.0f;
      for (index_t tile = 0; tile < ceil_div(m, ROWS); ++tile)
        add_tile(space_a + tile * ROWS * depth, space_b, tile * ROWS, column, valid, start, out);
    }
  }

 private:
  void add_tile(const float* packed_a, const float* packed_b, index_t row, index_t column,
                int valid, bool start, float* out) const {
    float sum[ROWS * WIDTH] __attribute__((aligned(64)));
    const float* rows[ROWS];
    for (int r = 0; r < ROWS; ++r) rows[r] = packed_a + r;
    int height = (int)(m - row < ROWS ? m - row : ROWS);
    float* to = out + row * n + column;
    for (int r = 0; r < height; ++r)
      for (int j = 0; j < 4; ++j) __builtin_prefetch(to + r * n + j * LANES, 1);
    TileRows x = {rows, 0, ROWS};
    tile_sum<ROWS>(x, packed_b, depth, false, sum);
    for (int r = 0; r < height; ++r, to += n) {
      const float* from = sum + r * WIDTH;
      if (start)
        THREADS(i, valid) to[i] = from[i];
      else
        THREADS(i, valid) to[i] += from[i];
    }
  }
};

#endif
