// Activations that libraries make of several passes, and their gradients, in one pass each:
//
//   silu(x) = x s(x)       S. Elfwing et al., 2018; s is the logistic sigmoid
//   gelu(x) = x Phi(x)     D. Hendrycks, K. Gimpel, 2016; Phi is the normal distribution's
//
// x, y, dy, dx: contiguous, `count` numbers. A block per PIECE of them, a thread per number.
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
