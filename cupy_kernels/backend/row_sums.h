// Products on the host of rows that lie anywhere with packed panels: some rows at a time stay in a
// core's cache, and take all panels there.
#pragma once
#ifndef __CUDACC__

#include <vector>

#include "product.h"

#define CACHE 65536    // numbers of the rows that stay in the cache
#define MOST_ROWS 240  // of results
#define LEAST_ROWS 48  // that panels are read for
#define THIN 128       // numbers: shorter rows of several groups are copied side by side

typedef Float32 P;
typedef const float* Address;

// Copies the numbers of groups of addresses [groups, apart] side by side, to [count, groups *
// depth].
static void side_by_side(const Address* from, index_t groups, index_t depth, index_t count,
                         index_t apart, float* to) {
  for (index_t k = 0; k < count; ++k)
    for (index_t g = 0; g < groups; ++g, to += depth) {
      Address pixel = from[g * apart + k];
      for (index_t c = 0; c < depth; ++c) to[c] = pixel[c];
    }
}

// Sums over groups of products of rows of `depth` numbers with panels of as many parts, and bias,
// where there is one.
struct RowSums {
  index_t groups, depth, columns;  // of the result
  float* packed;
  const float* bias;

  index_t words() const { return groups * depth; }
  bool copies() const { return groups > 1 && depth < THIN; }

  // Calls f(first, n) for pieces of `count` rows of results, as many for each worker.
  template <class F>
  void in_pieces(index_t count, index_t workers, F f) const {
    index_t most = CACHE / ((copies() ? words() : depth) + 1);
    most = most < LEAST_ROWS ? LEAST_ROWS : most > MOST_ROWS ? MOST_ROWS : most;
    index_t pieces = ceil_div(ceil_div(count, most), workers) * workers;
    BLOCKS(piece, pieces) {
      index_t first = count * piece / pieces, n = count * (piece + 1) / pieces - first;
      if (n) f(first, n);
    }
  }

  // The outs of the rows [groups, count].
  void make(const Address* rows, float* const* outs, index_t count) const {
    if (!copies()) return sum(rows, groups, depth, outs, count);
    Space<float> space(count * words());
    std::vector<Address> copied(count);
    side_by_side(rows, groups, depth, count, count, space.data());
    for (index_t k = 0; k < count; ++k) copied[k] = space.data() + k * words();
    sum(copied.data(), 1, words(), outs, count);
  }

 private:
  void sum(const Address* rows, index_t parts, index_t part, float* const* outs,
           index_t count) const {
    Space<float> tile(count * WIDTH);
    for (index_t column = 0; column < columns; column += WIDTH) {
      index_t valid = columns - column < WIDTH ? columns - column : WIDTH;
      Panel<P> panel = {packed + column * words(), words()};
      for (index_t g = 0; g < parts; ++g)
        panel_product<P>({rows + g * count, 0, 1}, count, {panel.at(g * part, 0), panel.words},
                         part, g > 0, tile.data(), valid);
      if (!parts) memset(tile.data(), 0, count * WIDTH * sizeof(float));
      for (index_t r = 0; r < count; ++r) {
        const float* from = tile.data() + r * WIDTH;
        float* to = outs[r] + column;
        if (bias)
          THREADS(i, valid) to[i] = from[i] + bias[column + i];
        else
          memcpy(to, from, valid * sizeof(float));
      }
    }
  }
};

#endif
