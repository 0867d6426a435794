// Tiles of Winograd's minimal filtering F(2 x 2, 3 x 3), in the words of A. Lavin and S. Gray,
// "Fast algorithms for convolutional neural networks", 2016, eq. 11:
//
//   Y = A^T [ (G g G^T) * (B^T d B) ] A
//
// d: the 4 x 4 pixels of an input tile; g: a filter; Y: the 2 x 2 pixels of the output; * is by
// element, so that 16 multiplications do what 36 did. A sum over channels makes 16 matrix products
// of it, one for each element. The gradient of g is the same form read backwards:
// G^T [ (A dY A^T) * (B^T d B) ] G.
//
// T is a float or, on the host, a register of them.
#pragma once

#include "channels.h"
#include "frames.h"

#define TILE 4  // pixels of an input tile in each direction
#define STEP 2  // of an output tile
#define TAPS 3  // of a filter
#define ELEMENTS (TILE * TILE)

// One direction of each transformation, of values that lie `s` apart.
template <class T>
DEVICE void across_input(T* d, int s) {  // B^T, in place
  T d0 = d[0], d1 = d[s], d2 = d[2 * s], d3 = d[3 * s];
  d[0] = d0 - d2;
  d[s] = d1 + d2;
  d[2 * s] = d2 - d1;
  d[3 * s] = d1 - d3;
}

template <class T>
DEVICE void across_output(const T* m, int s, T* y, int to) {  // A^T
  T both = m[s] + m[2 * s];
  y[0] = m[0] + both;
  y[to] = m[s] - m[2 * s] - m[3 * s];
}

template <class T>
DEVICE void across_gradient(const T* y, int s, T* m, int to) {  // A
  m[0] = y[0];
  m[to] = y[0] + y[s];
  m[2 * to] = y[0] - y[s];
  m[3 * to] = -y[s];
}

template <class T>
DEVICE void across_filter(const T* g, int s, T* u, int to) {  // G
  T even = (g[0] + g[2 * s]) * 0.5f, odd = g[s] * 0.5f;
  u[0] = g[0];
  u[to] = even + odd;
  u[2 * to] = even - odd;
  u[3 * to] = g[2 * s];
}

template <class T>
DEVICE void across_filter_gradient(const T* u, int s, T* g, int to) {  // G^T
  T sum = (u[s] + u[2 * s]) * 0.5f;
  g[0] = u[0] + sum;
  g[to] = (u[s] - u[2 * s]) * 0.5f;
  g[2 * to] = u[3 * s] + sum;
}

// The two directions, of the columns first.
template <class T>
DEVICE void input_tile(T* d) {
  for (int j = 0; j < TILE; ++j) across_input(d + j, TILE);
  for (int i = 0; i < TILE; ++i) across_input(d + i * TILE, 1);
}

template <class T>
DEVICE void output_tile(const T* m, T* y) {
  T half[STEP * TILE];
  for (int j = 0; j < TILE; ++j) across_output(m + j, TILE, half + j, TILE);
  for (int i = 0; i < STEP; ++i) across_output(half + i * TILE, 1, y + i * STEP, 1);
}

template <class T>
DEVICE void gradient_tile(const T* y, T* m) {
  T half[TILE * STEP];
  for (int j = 0; j < STEP; ++j) across_gradient(y + j, STEP, half + j, STEP);
  for (int i = 0; i < TILE; ++i) across_gradient(half + i * STEP, 1, m + i * TILE, 1);
}

template <class T>
DEVICE void filter_tile(const T* g, T* u) {
  T half[TILE * TAPS];
  for (int j = 0; j < TAPS; ++j) across_filter(g + j, TAPS, half + j, TAPS);
  for (int i = 0; i < TILE; ++i) across_filter(half + i * TAPS, 1, u + i * TILE, 1);
}

template <class T>
DEVICE void filter_gradient_tile(const T* u, T* g) {
  T half[TAPS * TILE];
  for (int j = 0; j < TILE; ++j) across_filter_gradient(u + j, TILE, half + j, TILE);
  for (int i = 0; i < TAPS; ++i) across_filter_gradient(half + i * TILE, 1, g + i * TAPS, 1);
}

// Images [batch, height, width, channels], and where their tiles lie: there are [rows, columns] of
// them, and the first starts `top` and `left` pixels before the image. Of image b there are only
// the rows below lengths[b], which may be null.
struct Images {
  index_t height, width, channels, rows, columns, top, left;
  const int* lengths;

  index_t rows_of(index_t b) const { return length_of(lengths, b, height); }
};

// Addresses of the first channels of the N x N pixels of a tile; `outside` for those that are
// outside of the image.
template <int N, class T>
DEVICE void pixels_of(const Images& images, T* values, index_t tile, T* outside, T** at) {
  index_t row = tile / images.columns % images.rows, column = tile % images.columns;
  index_t b = tile / (images.rows * images.columns);
  index_t height = images.rows_of(b);
  T* image = values + b * images.height * images.width * images.channels;
  for (int i = 0; i < N; ++i)
    for (int j = 0; j < N; ++j) {
      index_t y = row * STEP + i - images.top, x = column * STEP + j - images.left;
      bool inside = y >= 0 && y < height && x >= 0 && x < images.width;
      at[i * N + j] = inside ? image + (y * images.width + x) * images.channels : outside;
    }
}

// What a tile is in the products, from the addresses of its pixels: `to` is that of its first
// element, the others lie `stride` apart.
DEVICE void write_input(const float* const* at, index_t channels, float* to, index_t stride) {
  each_channel(channels, [=](auto kind, index_t c) {
    decltype(kind) d[ELEMENTS];
    for (int e = 0; e < ELEMENTS; ++e) get(d[e], at[e] + c);
    input_tile(d);
    for (int e = 0; e < ELEMENTS; ++e) put(d[e], to + e * stride + c);
  });
}

DEVICE void write_gradient(const float* const* at, index_t channels, float* to, index_t stride) {
  each_channel(channels, [=](auto kind, index_t c) {
    decltype(kind) y[STEP * STEP], m[ELEMENTS];
    for (int e = 0; e < STEP * STEP; ++e) get(y[e], at[e] + c);
    gradient_tile(y, m);
    for (int e = 0; e < ELEMENTS; ++e) put(m[e], to + e * stride + c);
  });
}

// The pixels of a tile, but those without an address, from what the products are.
DEVICE void write_output(const float* m, index_t stride, index_t channels, float* const* at) {
  each_channel(channels, [=](auto kind, index_t c) {
    decltype(kind) elements[ELEMENTS], y[STEP * STEP];
    for (int e = 0; e < ELEMENTS; ++e) get(elements[e], m + e * stride + c);
    output_tile(elements, y);
    for (int e = 0; e < STEP * STEP; ++e)
      if (at[e]) put(y[e], at[e] + c);
  });
}

// The gradient of filters [TAPS, TAPS, in, out] of one input, from sums [ELEMENTS, in, out].
DEVICE void write_filter_gradient(const float* sums, index_t input, index_t in, index_t out,
                                  float* dfilters) {
  each_channel(out, [=](auto kind, index_t c) {
    decltype(kind) u[ELEMENTS], g[TAPS * TAPS];
    for (int e = 0; e < ELEMENTS; ++e) get(u[e], sums + (e * in + input) * out + c);
    filter_gradient_tile(u, g);
    for (int tap = 0; tap < TAPS * TAPS; ++tap)
      put(g[tap], dfilters + (tap * in + input) * out + c);
  });
}
