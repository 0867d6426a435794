// Functions that vectorise on the host and give the same values on the GPU, and reductions over
// a block.
#pragma once
#include "kernel.h"

// 2^k; zero below the normal floats, infinite above them.
DEVICE float power_of_two(int k) {
  k = k < -127 ? -127 : k;
  k = k > 128 ? 128 : k;
  return bits_float((k + 127) << 23);
}

// e^r - 1 for |r| <= ln(2) / 2; relative error below 1e-7 (a minimax fit of our own).
DEVICE float expm1_core(float r) {
  float p = 1.381446674e-3f;
  p = p * r + 8.368780429e-3f;
  p = p * r + 4.166839422e-2f;
  p = p * r + 1.666652011e-1f;
  p = p * r + 4.999999341e-1f;
  return p * (r * r) + r;
}

// x = k ln(2) + r with |r| <= ln(2) / 2; returns r.
DEVICE float split_exponent(float x, int* k) {
  const float magic = 12582912.0f;  // adding 1.5 * 2^23 rounds to an integer
  float shifted = x * 1.44269504f + magic;
  float n = shifted - magic;
  *k = float_bits(shifted) - float_bits(magic);
  return (x - n * 0.693359375f) + n * 2.12194440e-4f;
}

// e^x; e^-inf = 0, results below 1e-38 are 0, NaN stays NaN.
DEVICE float exp_fast(float x) {
  x = x < -104.0f ? -104.0f : x;
  x = x > 89.0f ? 89.0f : x;
  int k;
  float r = split_exponent(x, &k);
  return (expm1_core(r) + 1.0f) * power_of_two(k);
}

DEVICE float sigmoid(float x) { return 1.0f / (1.0f + exp_fast(-x)); }

// e^x - 1 of x at most 80; small x keep their relative precision.
DEVICE float expm1_fast(float x) {
  x = x < -104.0f ? -104.0f : x;
  int k;
  float r = split_exponent(x, &k);
  float scale = power_of_two(k);
  return expm1_core(r) * scale + (scale - 1.0f);
}

DEVICE float tanh_fast(float x) {
  float t = expm1_fast(-2.0f * fabsf(x));
  return copysignf(-t / (t + 2.0f), x);
}

// Through log(1 - erf(|x|)) = -|x| p(|x|), with a minimax fit of our own below |x| = 4; erf is 1
// above.
DEVICE float erf_fast(float x) {
  float y = fabsf(x);
  y = y > 4.0f ? 4.0f : y;
  float p = -9.255595901e-6f;
  p = p * y + 1.176350347e-4f;
  p = p * y - 6.328135419e-4f;
  p = p * y + 1.666982464e-3f;
  p = p * y - 1.603479930e-4f;
  p = p * y - 1.915309219e-2f;
  p = p * y + 1.027778391e-1f;
  p = p * y + 6.366193808e-1f;
  p = p * y + 1.128379172e+0f;
  return copysignf(-expm1_fast(-y * p), x);
}

// log(1 + x) of x from 0 to 1, through the series of 2 artanh(x / (2 + x)) (a minimax fit of our
// own).
DEVICE float log1p_fast(float x) {
  float s = x / (2.0f + x), square = s * s;
  float p = 2.817834028e-1f;
  p = p * square + 2.796060011e-1f;
  p = p * square + 4.002491062e-1f;
  p = p * square + 6.666631467e-1f;
  p = p * square + 2.000000008e+0f;
  return s * p;
}

DEVICE float softplus(float x) {
  return (x > 0.0f ? x : 0.0f) + log1p_fast(exp_fast(-fabsf(x)));
}

DEVICE float log_sigmoid(float x) { return -softplus(-x); }

#ifdef __CUDACC__

// Of n numbers, or of what a function gives for 0 to n - 1. They give their result to every thread
// of the block; the order of the sum depends on the block's size alone. A barrier at the end lets
// the next call write the same memory.
#define BLOCK_REDUCE(type, name, start, combine)                                        \
  template <class Term>                                                                 \
  DEVICE type name##_of(int n, Term x) {                                                \
    __shared__ type part[32];                                                           \
    type value = start;                                                                 \
    for (int i = threadIdx.x; i < n; i += blockDim.x) value = combine(value, x(i));     \
    for (int step = 16; step; step /= 2)                                                \
      value = combine(value, __shfl_xor_sync(0xffffffffu, value, step));                \
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = value;                          \
    __syncthreads();                                                                    \
    value = part[0];                                                                    \
    for (int i = 1; i < (int)blockDim.x / 32; ++i) value = combine(value, part[i]);     \
    __syncthreads();                                                                    \
    return value;                                                                       \
  }                                                                                     \
  DEVICE type name(const type* x, int n) {                                              \
    return name##_of(n, [x](int i) { return x[i]; });                                   \
  }
#define ADD(a, b) ((a) + (b))
BLOCK_REDUCE(float, block_max, -INFINITY, fmaxf)
BLOCK_REDUCE(float, block_sum, 0.0f, ADD)
BLOCK_REDUCE(int, block_min, x(0), min)
#undef BLOCK_REDUCE
#undef ADD

#else

template <class Term>
DEVICE float block_max_of(int n, Term x) {
  float value = -INFINITY;
#pragma omp simd reduction(max : value)
  for (int i = 0; i < n; ++i) value = x(i) > value ? x(i) : value;
  return value;
}

template <class Term>
DEVICE float block_sum_of(int n, Term x) {
  float value = 0.0f;
#pragma omp simd reduction(+ : value)
  for (int i = 0; i < n; ++i) value += x(i);
  return value;
}

DEVICE float block_max(const float* x, int n) {
  return block_max_of(n, [x](int i) { return x[i]; });
}

DEVICE float block_sum(const float* x, int n) {
  return block_sum_of(n, [x](int i) { return x[i]; });
}

DEVICE int block_min(const int* x, int n) {  // of at least one
  int value = x[0];
#pragma omp simd reduction(min : value)
  for (int i = 1; i < n; ++i) value = x[i] < value ? x[i] : value;
  return value;
}

#endif
