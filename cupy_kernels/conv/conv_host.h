// Convolution by tiles on the host: some tiles at a time go through all of it within the cache.
#pragma once
#ifndef __CUDACC__

#include <vector>

#include "product.h"
#include "tiles.h"

typedef Float32 P;

#define CACHE 65536  // numbers of the input's tiles that go through all products at once
#define DEPTH 256    // tiles that a sum of the filters' gradient is made of at once

// Element e of the transformed filters, their outputs from p * WIDTH on.
DEVICE Panel<P> panel_of(float* packed, index_t depth, index_t p, int e) {
  return {packed + (p * ELEMENTS + e) * depth * WIDTH, depth};
}

// Registers of `count` rows, which lie `stride` apart: LANES numbers of each, zero from `valid` on.
DEVICE void rows_of(const float* from, index_t stride, index_t count, index_t valid, Lanes* to) {
  for (index_t i = 0; i < count; ++i, from += stride)
    if (valid >= LANES) {
      to[i] = *(const Lanes*)from;
    } else {
      float line[LANES] = {};
      memcpy(line, from, valid * sizeof(float));
      to[i] = *(const Lanes*)line;
    }
}

// packed: panels of filters [TAPS, TAPS, in, out]. turned: of each by half a turn, from outputs to
// inputs, as the gradient of the input needs them.
static void pack_filters(const float* filters, float* packed, index_t in, index_t out,
                         index_t turned, index_t workers) {
  index_t depth = turned ? out : in, results = turned ? in : out;
  BLOCKS(block, ceil_div(results, WIDTH) * 4) {
    index_t p = block / 4, first = p * WIDTH + block % 4 * LANES;
    index_t valid = results - first < 0 ? 0 : results - first < LANES ? results - first : LANES;
    for (index_t k = 0; k < depth; k += LANES) {
      index_t count = depth - k < LANES ? depth - k : LANES;
      Lanes numbers[TAPS * TAPS][LANES] = {}, g[TAPS * TAPS], u[ELEMENTS];
      for (int tap = 0; tap < TAPS * TAPS; ++tap)
        if (turned) {
          const float* pixel = filters + (TAPS * TAPS - 1 - tap) * in * out;
          rows_of(pixel + first * out + k, out, valid, count, numbers[tap]);
          transpose(numbers[tap]);
        } else {
          rows_of(filters + tap * in * out + k * out + first, out, count, valid, numbers[tap]);
        }
      for (index_t i = 0; i < count; ++i) {
        for (int tap = 0; tap < TAPS * TAPS; ++tap) g[tap] = numbers[tap][i];
        filter_tile(g, u);
        for (int e = 0; e < ELEMENTS; ++e)
          put(u[e], panel_of(packed, depth, p, e).at(k + i, (int)(block % 4)));
      }
    }
  }
}

// The images of both sides of a convolution, and their tiles.
struct Convolution {
  index_t tiles;
  Images input, output;

  Convolution(const int* lengths, const int* out_lengths, index_t batch, index_t height,
              index_t width, index_t in, index_t out_height, index_t out_width, index_t out,
              index_t top, index_t left) {
    index_t rows = ceil_div(out_height, STEP), columns = ceil_div(out_width, STEP);
    tiles = batch * rows * columns;
    input = {height, width, in, rows, columns, top, left, lengths};
    output = {out_height, out_width, out, rows, columns, 0, 0, out_lengths};
  }
};

// Of image b the rows below lengths[b] count, and y is zero from row out_lengths[b] on: both may be
// null. turned: filters [TAPS, TAPS, out, in] make inputs of outputs, as in the gradient of the
// input.
KERNEL conv_forward(const float* x, const float* filters, const int* lengths,
                    const int* out_lengths, float* y, index_t batch, index_t height, index_t width,
                    index_t in, index_t out_height, index_t out_width, index_t out, index_t top,
                    index_t left, index_t turned, index_t workers) {
  Convolution of(lengths, out_lengths, batch, height, width, in, out_height, out_width, out, top,
                 left);
  Images input = of.input, output = of.output;
  index_t tiles = of.tiles;
  Space<float> of_filters(ELEMENTS * in * ceil_div(out, WIDTH) * WIDTH);
  float* packed = of_filters.data();
  pack_filters(filters, packed, turned ? out : in, turned ? in : out, turned, workers);
  std::vector<float> none(in);
  const float* zeros = none.data();
  index_t most = CACHE / (ELEMENTS * in) / P::ROWS * P::ROWS;
  index_t count = most < 2 * P::ROWS ? 2 * P::ROWS : most;
  BLOCKS(block, ceil_div(tiles, count)) {
    index_t first = block * count, n = tiles - first < count ? tiles - first : count;
    Space<float> space(ELEMENTS * n * (in + WIDTH));
    float *v = space.data(), *m = v + ELEMENTS * n * in, *nowhere = nullptr;
    std::vector<const float*> lines(ELEMENTS * n);
    for (index_t t = 0; t < n; ++t) {
      const float* at[ELEMENTS];
      pixels_of<TILE>(input, x, first + t, zeros, at);
      write_input(at, in, v + t * in, n * in);
    }
    for (index_t i = 0; i < ELEMENTS * n; ++i) lines[i] = v + i * in;
    for (index_t p = 0; p < ceil_div(out, WIDTH); ++p) {
      index_t column = p * WIDTH, valid = out - column < WIDTH ? out - column : WIDTH;
      for (int e = 0; e < ELEMENTS; ++e)
        panel_product<P>(&lines[e * n], n, panel_of(packed, in, p, e), false, m + e * n * WIDTH);
      for (index_t t = 0; t < n; ++t) {
        float* at[STEP * STEP];
        pixels_of<STEP>(output, y + column, first + t, nowhere, at);
        write_output(m + t * WIDTH, n * WIDTH, valid, at);
      }
    }
  }
  for (index_t b = 0; b < batch; ++b) {
    index_t end = output.rows_of(b);
    memset(y + (b * out_height + end) * out_width * out, 0,
           (out_height - end) * out_width * out * sizeof(float));
  }
}

// sum [in, out] += v^T m for rows v [n, in] and m [n, out].
static void add_products(const float* v, const float* m, index_t n, index_t in, index_t out,
                         float* sum) {
  std::vector<const float*> of_v(n), of_m(n);
  for (index_t t = 0; t < n; ++t) {
    of_v[t] = v + t * in;
    of_m[t] = m + t * out;
  }
  Space<float> packed(Factor<P>::space(in)), columns(n * WIDTH);
  Factor<P> a = {in, of_v.data(), packed.data(), sum};
  Panel<P> panel = {columns.data(), n};
  a.pack({0, a.tiles()}, 0, n);
  for (index_t column = 0; column < out; column += WIDTH) {
    int valid = (int)(out - column < WIDTH ? out - column : WIDTH);
    gather_panel<P>({of_m.data(), n}, column, valid, panel);
    a.add_panel(panel, out, column, valid);
  }
}

KERNEL conv_filter_gradient(const float* x, const float* dy, const int* lengths, float* dfilters,
                            index_t batch, index_t height, index_t width, index_t in,
                            index_t out_height, index_t out_width, index_t out, index_t top,
                            index_t left, index_t workers) {
  Convolution of(lengths, nullptr, batch, height, width, in, out_height, out_width, out, top,
                 left);
  Images input = of.input, output = of.output;
  index_t tiles = of.tiles;
  std::vector<float> none(in > out ? in : out), all_sums(ELEMENTS * in * out);
  const float* zeros = none.data();
  float* sums = all_sums.data();
  Space<float> space(ELEMENTS * DEPTH * (in + out));
  float *v = space.data(), *m = v + ELEMENTS * DEPTH * in;
  for (index_t first = 0; first < tiles; first += DEPTH) {
    index_t n = tiles - first < DEPTH ? tiles - first : DEPTH;
    BLOCKS(t, n) {
      const float *at[ELEMENTS], *of[STEP * STEP];
      pixels_of<TILE>(input, x, first + t, zeros, at);
      write_input(at, in, v + t * in, n * in);
      pixels_of<STEP>(output, dy, first + t, zeros, of);
      write_gradient(of, out, m + t * out, n * out);
    }
    BLOCKS(e, ELEMENTS)
      add_products(v + e * n * in, m + e * n * out, n, in, out, sums + e * in * out);
  }
  BLOCKS(input, in) write_filter_gradient(sums, input, in, out, dfilters);
}

#endif
