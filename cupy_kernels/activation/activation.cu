// Activations that libraries make of several passes, and their gradients, in one pass each:
//
//   silu(x) = x s(x)       S. Elfwing et al., 2018; s is the logistic sigmoid
//   gelu(x) = x Phi(x)     D. Hendrycks, K. Gimpel, 2016; Phi is the normal distribution's
//   glu(a, b) = a s(b)     Y. Dauphin et al., 2017; a and b are the halves of each row
//
// x, y, dy, dx: contiguous, `count` numbers. A block per PIECE of them, a thread per number. Of
// glu, x and dx have rows of 2 `size` numbers, `count` in all, and y and dy such of `size`; a block
// has the rows of x that make a PIECE.
#include "functions.h"

#define PIECE 4096

DEVICE float silu(float x) { return x * sigmoid(x); }

DEVICE float silu_slope(float x) {
  float s = sigmoid(x);
  return s + x * s * (1.0f - s);
}

DEVICE float normal(float x) { return 0.5f + 0.5f * erf_fast(x * 0.707106781f); }

DEVICE float gelu(float x) { return x * normal(x); }

DEVICE float gelu_slope(float x) {
  return normal(x) + x * (0.398942280f * exp_fast(-0.5f * x * x));
}

template <class F>
DEVICE void each(index_t count, index_t workers, F f) {
  BLOCKS(piece, (count + PIECE - 1) / PIECE) {
    index_t first = piece * PIECE, size = count - first < PIECE ? count - first : PIECE;
    THREADS(i, size) f(first + i);
  }
}

// f(row, i) for each number of y.
template <class F>
DEVICE void each_of_rows(index_t count, index_t size, index_t workers, F f) {
  index_t whole = 2 * size, rows = size ? count / whole : 0;
  index_t some = size && whole < PIECE ? PIECE / whole : 1;
  BLOCKS(piece, (rows + some - 1) / some) {
    index_t first = piece * some, end = first + some < rows ? first + some : rows;
    for (index_t row = first; row < end; ++row) THREADS(i, size) f(row, i);
  }
}

KERNEL silu_forward(const float* x, float* y, index_t count, index_t workers) {
  each(count, workers, [=](index_t i) { y[i] = silu(x[i]); });
}

KERNEL silu_backward(const float* dy, const float* x, float* dx, index_t count, index_t workers) {
  each(count, workers, [=](index_t i) { dx[i] = dy[i] * silu_slope(x[i]); });
}

KERNEL gelu_forward(const float* x, float* y, index_t count, index_t workers) {
  each(count, workers, [=](index_t i) { y[i] = gelu(x[i]); });
}

KERNEL gelu_backward(const float* dy, const float* x, float* dx, index_t count, index_t workers) {
  each(count, workers, [=](index_t i) { dx[i] = dy[i] * gelu_slope(x[i]); });
}

KERNEL glu_forward(const float* x, float* y, index_t count, index_t size, index_t workers) {
  each_of_rows(count, size, workers, [=](index_t row, int i) {
    const float* a = x + 2 * row * size;
    y[row * size + i] = a[i] * sigmoid(a[size + i]);
  });
}

KERNEL glu_backward(const float* dy, const float* x, float* dx, index_t count, index_t size,
                    index_t workers) {
  each_of_rows(count, size, workers, [=](index_t row, int i) {
    const float* a = x + 2 * row * size;
    float* da = dx + 2 * row * size;
    float d = dy[row * size + i], b = a[size + i];
    float e = exp_fast(-fabsf(b)), s = 1.0f / (1.0f + e);  // the sigmoid of |b|; e s is 1 - s
    float slope = a[i] * (e * s * s);
    da[i] = d * (b < 0.0f ? e * s : s);
    da[size + i] = d * slope;
  });
}
