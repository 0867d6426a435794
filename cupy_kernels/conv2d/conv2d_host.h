// Convolution on the host by products of rows that lie where they are: for each tap of a filter the
// pixels that it meets are rows of a matrix, of which only the addresses are written. Where pixels
// have few channels, those of a window are copied side by side, and make one row.
#pragma once
#ifndef __CUDACC__

#include <vector>

#include "row_sums.h"
#include "windows.h"

#define FEW 16        // of fewer channels a gradient of filters copies a window's pixels
#define AT_ONCE 8192  // outputs whose addresses a gradient of filters writes at once

// A row of an image or of its output.
struct Line {
  index_t b, i;
};

// Pixels of some lines, one line after the other: of each those that lie `step` apart, from `start`
// on.
struct Pixels {
  std::vector<Line> lines;
  index_t start, step, per_line;

  index_t size() const { return (index_t)lines.size() * per_line; }
  // Calls f(k, line, x, n) for the pieces of lines within `count` pixels from `first` on: n pixels
  // from number k and from column x on.
  template <class F>
  void in_pieces(index_t first, index_t count, F f) const {
    for (index_t k = 0, n; k < count; k += n) {
      index_t at = (first + k) % per_line;
      n = per_line - at < count - k ? per_line - at : count - k;
      f(k, lines[(first + k) / per_line], start + at * step, n);
    }
  }
  // The addresses of such pixels in an array.
  template <class T>
  std::vector<T*> of(T* array, index_t first, index_t count, index_t height, index_t width,
                     index_t channels) const {
    std::vector<T*> found(count);
    in_pieces(first, count, [&](index_t k, Line line, index_t x, index_t n) {
      T* row = array + ((line.b * height + line.i) * width + x) * channels;
      for (index_t j = 0; j < n; ++j) found[k + j] = row + j * step * channels;
    });
    return found;
  }
};

// Outputs whose windows begin before the end of the image: no others see a number.
static Pixels outputs_that_see(const Windows& w) {
  Pixels found = {{}, 0, 1, w.out_width};
  for (index_t b = 0; b < w.batch; ++b)
    for (index_t i = 0; i < w.out_height && w.row_at(b, i, 0) < w.length(b); ++i)
      found.lines.push_back({b, i});
  return found;
}

// Writes the addresses of the pixels that `count` outputs see, [taps, apart]; zeros [in] stand
// outside of the images.
static void pixels_seen(const Windows& w, const float* x, const float* zeros, const Pixels& outputs,
                        index_t first, index_t count, index_t apart, Address* to) {
  outputs.in_pieces(first, count, [&](index_t k, Line line, index_t j, index_t n) {
    for (index_t tap = 0; tap < w.taps(); ++tap) {
      index_t row = w.row_at(line.b, line.i, tap), column = w.column_at(j, tap);
      bool inside = row >= 0 && row < w.length(line.b);
      Address from = x + (line.b * w.height + row) * w.width * w.in;
      for (index_t o = 0; o < n; ++o, column += w.right)
        to[tap * apart + k + o] =
            inside && column >= 0 && column < w.width ? from + column * w.in : zeros;
    }
  });
}

// bias, lengths and tops may be null.
KERNEL conv2d_forward(const float* x, const float* filters, const float* bias, const int* lengths,
                      const int* tops, float* y, SIZES) {
  Windows w = WINDOWS;
  Pixels outputs = outputs_that_see(w);
  std::vector<float> zeros(in);
  Space<float> packed(ceil_div(out, WIDTH) * WIDTH * w.taps() * in);
  pack_panels<P>(filters, w.taps() * in, out, packed.data(), workers);
  RowSums sums = {w.taps(), in, out, packed.data(), bias};
  sums.in_pieces(outputs.size(), workers, [&](index_t first, index_t n) {
    std::vector<Address> seen(w.taps() * n);
    pixels_seen(w, x, zeros.data(), outputs, first, n, n, seen.data());
    sums.make(seen.data(), outputs.of(y, first, n, out_height, out_width, out).data(), n);
  });
  for (index_t b = 0; b < batch; ++b)
    for (index_t i = out_height; i-- && w.row_at(b, i, 0) >= w.length(b);)
      for (index_t j = 0; j < out_width; ++j) {
        float* to = y + ((b * out_height + i) * out_width + j) * out;
        THREADS(c, out) to[c] = bias ? bias[c] : 0.0f;
      }
}

// Pixels of images that the same taps meet: those whose rows and columns are, from the first window
// on, `row` and `column` more than a multiple of the windows' steps.
static Pixels pixels_alike(const Windows& w, index_t row, index_t column) {
  index_t start = (column - w.left % w.right + w.right) % w.right;
  Pixels found = {{}, start, w.right, start < w.width ? (w.width - 1 - start) / w.right + 1 : 0};
  for (index_t b = 0; b < w.batch; ++b)
    for (index_t y = 0; found.per_line && y < w.length(b); ++y)
      if ((y + w.top_of(b)) % w.down == row) found.lines.push_back({b, y});
  return found;
}

static std::vector<index_t> taps_that_meet(const Windows& w, index_t row, index_t column) {
  std::vector<index_t> found;
  for (index_t tap = 0; tap < w.taps(); ++tap)
    if (tap / w.columns * w.dilation_down % w.down == row &&
        tap % w.columns * w.dilation_right % w.right == column)
      found.push_back(tap);
  return found;
}

// Panels of some taps of filters, from outputs to inputs.
static void pack_turned(const Windows& w, const float* filters, const std::vector<index_t>& taps,
                        float* packed, index_t workers) {
  index_t depth = (index_t)taps.size() * w.out;
  BLOCKS(p, ceil_div(w.in, WIDTH)) {
    index_t column = p * WIDTH, left = w.in - column;
    for (size_t t = 0; t < taps.size(); ++t)
      pack_columns<P>(filters + (taps[t] * w.in + column) * w.out, w.out, w.out,
                      (int)(left < WIDTH ? left : WIDTH), {packed + column * depth, depth},
                      t * w.out);
  }
}

// Writes the addresses of the outputs that meet `count` pixels at these taps, [taps, count]; zeros
// [out] stand outside.
static void outputs_met(const Windows& w, const float* dy, const float* zeros,
                        const std::vector<index_t>& taps, const Pixels& pixels, index_t first,
                        index_t count, Address* to) {
  pixels.in_pieces(first, count, [&](index_t k, Line line, index_t x, index_t n) {
    for (size_t t = 0; t < taps.size(); ++t) {
      index_t i = w.line_of(line.b, line.i, taps[t]);
      // A whole number: these taps meet these pixels.
      index_t j = (x + w.left - taps[t] % w.columns * w.dilation_right) / w.right;
      Address from = dy + (line.b * w.out_height + i) * w.out_width * w.out;
      for (index_t o = 0; o < n; ++o, ++j)
        to[t * count + k + o] = i >= 0 && j >= 0 && j < w.out_width ? from + j * w.out : zeros;
    }
  });
}

// lengths and tops may be null.
KERNEL conv2d_input_gradient(const float* dy, const float* filters, const int* lengths,
                             const int* tops, float* dx, SIZES) {
  Windows w = WINDOWS;
  std::vector<float> zeros(out);
  for (index_t alike = 0; alike < down * right; ++alike) {
    Pixels pixels = pixels_alike(w, alike / right, alike % right);
    std::vector<index_t> taps = taps_that_meet(w, alike / right, alike % right);
    index_t groups = (index_t)taps.size();
    Space<float> packed(ceil_div(in, WIDTH) * WIDTH * groups * out);
    pack_turned(w, filters, taps, packed.data(), workers);
    RowSums sums = {groups, out, in, packed.data(), nullptr};
    sums.in_pieces(pixels.size(), workers, [&](index_t first, index_t n) {
      std::vector<Address> met(groups * n);
      outputs_met(w, dy, zeros.data(), taps, pixels, first, n, met.data());
      sums.make(met.data(), pixels.of(dx, first, n, height, width, in).data(), n);
    });
  }
  for (index_t b = 0; b < batch; ++b) {
    index_t length = w.length(b);
    memset(dx + (b * height + length) * width * in, 0,
           (height - length) * width * in * sizeof(float));
  }
}

// lengths, tops and dbias may be null.
KERNEL conv2d_filter_gradient(const float* x, const float* dy, const int* lengths, const int* tops,
                              float* dfilters, float* dbias, SIZES) {
  Windows w = WINDOWS;
  Pixels outputs = outputs_that_see(w);
  bool copies = in < FEW;
  index_t groups = copies ? 1 : w.taps(), depth = copies ? w.taps() * in : in;
  index_t count = outputs.size(), most = count < AT_ONCE ? count : AT_ONCE;
  std::vector<float> zeros(in);
  std::vector<Address> seen(w.taps() * most);
  Space<float> space(copies ? most * depth : 0), unused(dbias ? 0 : out);
  Space<float> packed(groups * Factor<P>::space(depth));
  float* sums = dbias ? dbias : unused.data();
  memset(dfilters, 0, w.taps() * in * out * sizeof(float));
  memset(sums, 0, out * sizeof(float));
  std::vector<Address> copied(copies ? most : 0);
  for (index_t k = 0; k < (index_t)copied.size(); ++k) copied[k] = space.data() + k * depth;
  std::vector<Factor<P>> factors;
  for (index_t g = 0; g < groups; ++g)
    factors.push_back({depth, copies ? copied.data() : seen.data() + g * most,
                       packed.data() + g * Factor<P>::space(depth), dfilters + g * depth * out});
  Team team;
  PRAGMA(omp parallel num_threads(workers) if (workers > 1))
  for (index_t first = 0; first < count; first += most) {
    index_t n = count - first < most ? count - first : most;
    Share mine = share(n, team_index(), team_size());
    index_t begin = mine.begin, some = mine.end - begin;
    pixels_seen(w, x, zeros.data(), outputs, first + begin, some, most, &seen[begin]);
    if (copies)
      side_by_side(&seen[begin], w.taps(), in, some, most, space.data() + begin * depth);
    std::vector<float*> of_dy = outputs.of((float*)dy, first, n, out_height, out_width, out);
    team.wait(team_size());
    add_transposed_products<P>(factors, of_dy.data(), n, out, sums, team);
  }
  for (index_t b = 0; dbias && b < batch; ++b)
    for (index_t i = out_height; i-- && w.row_at(b, i, 0) >= w.length(b);)
      for (index_t j = 0; j < out_width; ++j) {
        Address from = dy + ((b * out_height + i) * out_width + j) * out;
        THREADS(c, out) dbias[c] += from[c];
      }
}

#endif
