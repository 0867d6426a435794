// Depthwise convolution on the host: some channels of some frames of a sequence are copied into the
// core's nearest cache, with zeros around, and summed there in registers.
#pragma once

#include "operand.h"

#define PIECE (4 * LANES)  // channels that are worked on at once
#define BLOCK 128          // frames at once, or some more
#define OUTPUTS 8          // sums at once
#define TAPS 6             // of each at once

// Frames of a piece, `step` numbers apart.
struct Line {
  const float* at;
  index_t step;
  Line from(index_t frame) const { return {at + frame * step, step}; }
};

// sum[j] += the sum over k of w[k] x[j + k]: each x that is loaded counts for several sums.
template <int N>
DEVICE void add_taps(Line x, Line w, Lanes* sum) {
  Lanes factor[N];
  for (int k = 0; k < N; ++k) factor[k] = *(const Lanes*)(w.at + k * w.step);
#pragma GCC unroll 16
  for (int i = 0; i < OUTPUTS + N - 1; ++i) {
    Lanes frame = *(const Lanes*)(x.at + i * x.step);
#pragma GCC unroll 16
    for (int k = 0; k < N; ++k)
      if (i >= k && i - k < OUTPUTS) sum[i - k] += factor[k] * frame;
  }
}

DEVICE void add_products(Line x, Line w, index_t taps, Lanes* sum) {
  index_t k = 0;
  for (; k + TAPS <= taps; k += TAPS) add_taps<TAPS>(x.from(k), w.from(k), sum);
  for (; k < taps; ++k) add_taps<1>(x.from(k), w.from(k), sum);
}

// What both passes know of an operation.
struct Depthwise {
  index_t channels, window, before, dilation;

  index_t span() const { return (window - 1) * dilation + 1; }
  // Frames that are worked on at once: of each remainder by the dilation all sums of some tiles.
  index_t block() const {
    index_t tiles = OUTPUTS * dilation;
    return ceil_div(BLOCK, tiles) * tiles;
  }
  // Room for so many frames, and those that sums read which are not needed.
  index_t room(index_t frames) const { return (frames + OUTPUTS * dilation) * PIECE; }
};

// The channels first to first + valid of arrays [..., channels].
struct Piece {
  index_t channels, first;
  int valid;

  Piece(index_t channels, index_t index) : channels(channels), first(index * PIECE) {
    valid = (int)(channels - first < PIECE ? channels - first : PIECE);
  }
  void copy(const float* from, float* to) const {
    if (valid == PIECE)
      for (int j = 0; j < PIECE; j += LANES) *(Lanes*)(to + j) = *(const Lanes*)(from + j);
    else
      for (int j = 0; j < PIECE; ++j) to[j] = j < valid ? from[j] : 0.0f;
  }
  // Copies frames begin to begin + count of an array of `frames` ones, zero outside.
  void pack(const float* array, index_t frames, index_t begin, index_t count, float* to) const {
    index_t start = begin < 0 ? -begin : 0, end = frames - begin;
    end = end < count ? end : count;
    if (start >= end) start = end = count;
    memset(to, 0, start * PIECE * sizeof(float));
    for (index_t i = start; i < end; ++i)
      copy(array + (begin + i) * channels + first, to + i * PIECE);
    memset(to + end * PIECE, 0, (count - end) * PIECE * sizeof(float));
  }
  // LANES of a frame from channel first + j on.
  void put(Lanes x, float* array, index_t frame, int j) const {
    float* to = array + frame * channels + first + j;
    if (j + LANES <= valid)
      *(Lanes*)to = x;
    else
      memcpy(to, &x, (valid - j) * sizeof(float));
  }
  // The sums of frames that are `step` apart, but for those behind the last one of `count`.
  void put_all(const Lanes* sum, float* array, index_t frame, index_t step, int j,
               index_t count) const {
    float* to = array + frame * channels + first + j;
    if (count >= OUTPUTS && j + LANES <= valid)
      for (int i = 0; i < OUTPUTS; ++i) *(Lanes*)(to + i * step * channels) = sum[i];
    else
      for (int i = 0; i < OUTPUTS && i < count; ++i) put(sum[i], array, frame + i * step, j);
  }
};

// What is convolved: the frames of a sequence, zero from `frames` on, and its result, which is zero
// from `outputs` on and has `size` frames.
struct Sides {
  const float* x;
  index_t frames;
  float* y;
  index_t outputs, size;
};

// y of a piece. filters: packed; bias: PIECE numbers. line: room for a block of x and the span.
static void convolve(const Depthwise& of, const Sides& sides, const Piece& piece,
                     const float* filters, const float* bias, float* line) {
  index_t step = of.dilation;
  Line w = {filters, PIECE};
  for (index_t first = 0; first < sides.outputs; first += of.block()) {
    index_t left = sides.outputs - first, n = left < of.block() ? left : of.block();
    index_t count = n + of.span() - 1, begin = first - of.before;
    piece.pack(sides.x, sides.frames, begin, begin < sides.frames ? count : 0, line);
    for (index_t r = 0; r < step && r < n; ++r)
      for (index_t t = r; t < n; t += OUTPUTS * step) {
        // The taps that meet a frame of any of these outputs.
        index_t last = begin + t + (OUTPUTS - 1) * step, end = sides.frames - begin - t;
        index_t from = last < 0 ? ceil_div(-last, step) : 0;
        index_t to = end > 0 ? ceil_div(end, step) : 0;
        to = to < of.window ? to : of.window;
        for (int j = 0; j < piece.valid; j += LANES) {
          Lanes sum[OUTPUTS];
          for (int i = 0; i < OUTPUTS; ++i) sum[i] = *(const Lanes*)(bias + j);
          Line x = {line + t * PIECE + j, step * PIECE};
          if (from < to)
            add_products(x.from(from), Line{w.at + j, w.step}.from(from), to - from, sum);
          piece.put_all(sum, sides.y, first + t, step, j, ceil_div(n - t, step));
        }
      }
  }
  for (index_t t = sides.outputs; t < sides.size; ++t)
    for (int j = 0; j < piece.valid; j += LANES) piece.put(Lanes{}, sides.y, t, j);
}

// sums [window + 1, channels] of a sequence and piece: of the filters' gradient, then of bias's.
static void sum_gradients(const Depthwise& of, const float* dy, index_t size, const float* x,
                          index_t frames, const Piece& piece, float* line, float* dy_line,
                          float* packed, float* sums) {
  index_t step = of.dilation, rows = ceil_div(of.window, OUTPUTS) * OUTPUTS;
  memset(packed, 0, rows * PIECE * sizeof(float));
  Lanes all[PIECE / LANES] = {};
  for (index_t first = 0; first < size; first += of.block()) {
    index_t n = size - first < of.block() ? size - first : of.block(), begin = first - of.before;
    piece.pack(dy, size, first, n, dy_line);
    for (index_t t = 0; t < n; ++t)
      for (int j = 0; j < PIECE; j += LANES)
        all[j / LANES] += *(const Lanes*)(dy_line + t * PIECE + j);
    n = n < frames - begin ? n : frames - begin;  // whose windows begin before the end
    if (n <= 0) continue;
    piece.pack(x, frames, begin, n + of.span() - 1 + (rows - of.window) * step, line);
    for (index_t r = 0; r < step && r < n; ++r)
      for (int j = 0; j < piece.valid; j += LANES)
        for (index_t k = 0; k < of.window; k += OUTPUTS) {
          Lanes sum[OUTPUTS] = {};
          Line frames = {line + (r + k * step) * PIECE + j, step * PIECE};
          add_products(frames, {dy_line + r * PIECE + j, step * PIECE}, ceil_div(n - r, step), sum);
          for (int i = 0; i < OUTPUTS; ++i) *(Lanes*)(packed + (k + i) * PIECE + j) += sum[i];
        }
  }
  for (int j = 0; j < piece.valid; j += LANES) {
    for (index_t k = 0; k < of.window; ++k)
      piece.put(*(const Lanes*)(packed + k * PIECE + j), sums, k, j);
    piece.put(all[j / LANES], sums, of.window, j);
  }
}

// bias and lengths may be null.
KERNEL depthwise_forward(const float* x, const float* filters, const float* bias,
                         const int* lengths, float* y, index_t batch, index_t frames, index_t size,
                         index_t channels, index_t window, index_t before, index_t dilation,
                         index_t workers) {
  Depthwise of = {channels, window, before, dilation};
  index_t pieces = ceil_div(channels, PIECE);
  BLOCKS(i, batch * pieces) {
    index_t b = i / pieces;
    Piece piece(channels, i % pieces);
    Space<float> space((window + 1) * PIECE + of.room(of.block() + of.span()));
    float *packed = space.data(), *of_bias = packed + window * PIECE, *line = of_bias + PIECE;
    piece.pack(filters, window, 0, window, packed);
    piece.pack(bias, bias ? 1 : 0, 0, 1, of_bias);
    Sides sides = {x + b * frames * channels, length_of(lengths, b, frames),
                   y + b * size * channels, size, size};
    convolve(of, sides, piece, packed, of_bias, line);
  }
}

// The gradient of x of a piece.
static void input_gradient(const Depthwise& of, const Sides& sides, const Piece& piece,
                           const float* filters, float* packed, float* line) {
  Depthwise turned = of;
  turned.before = of.span() - 1 - of.before;
  for (index_t k = 0; k < of.window; ++k)
    piece.pack(filters, of.window, of.window - 1 - k, 1, packed + k * PIECE);
  float zeros[PIECE] = {};
  convolve(turned, sides, piece, packed, zeros, line);
}

// lengths, dx and dbias may be null: these are not computed then. The sums of sequences are added
// in their order, whatever the number of threads.
KERNEL depthwise_backward(const float* dy, const float* x, const float* filters,
                          const int* lengths, float* dx, float* dfilters, float* dbias,
                          index_t batch, index_t frames, index_t size, index_t channels,
                          index_t window, index_t before, index_t dilation, index_t workers) {
  Depthwise of = {channels, window, before, dilation};
  index_t pieces = ceil_div(channels, PIECE), rows = ceil_div(window, OUTPUTS) * OUTPUTS;
  Space<float> all((window + 1) * channels * batch);
  float* sums = all.data();
  BLOCKS(i, batch * pieces) {
    index_t b = i / pieces, known = length_of(lengths, b, frames);
    Piece piece(channels, i % pieces);
    index_t room = of.room(of.block() + of.span()), of_dy = of.room(of.block());
    Space<float> space(rows * PIECE + of_dy + room);
    float *packed = space.data(), *dy_line = packed + rows * PIECE, *line = dy_line + of_dy;
    const float *dy_b = dy + b * size * channels, *x_b = x + b * frames * channels;
    if (dx) {
      Sides sides = {dy_b, size, dx + b * frames * channels, known, frames};
      input_gradient(of, sides, piece, filters, packed, line);
    }
    sum_gradients(of, dy_b, size, x_b, known, piece, line, dy_line, packed,
                  sums + b * (window + 1) * channels);
  }
  BLOCKS(k, window + (dbias ? 1 : 0)) {
    float* to = k < window ? dfilters + k * channels : dbias;
    THREADS(c, channels) to[c] = 0.0f;
    for (index_t b = 0; b < batch; ++b)
      THREADS(c, channels) to[c] += sums[(b * (window + 1) + k) * channels + c];
  }
}
