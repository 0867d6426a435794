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

// Through e^(-2|x|) - 1, so that small x keep their relative precision.
DEVICE float tanh_fast(float x) {
  float magnitude = fabsf(x);
  float y = magnitude > 10.0f ? -20.0f : -2.0f * magnitude;
  int k;
  float r = split_exponent(y, &k);
  float scale = power_of_two(k);
  float t = expm1_core(r) * scale + (scale - 1.0f);
  return copysignf(-t / (t + 2.0f), x);
}

#ifdef __CUDACC__

// They give their result to every thread of the block; the order of the sum depends on the
// block's size alone. A barrier at the end lets the next call write the same memory.
#define BLOCK_REDUCE(type, name, start, combine)                                        \
  DEVICE type name(const type* x, int n) {                                              \
    __shared__ type part[32];                                                           \
    type value = start;                                                                 \
    for (int i = threadIdx.x; i < n; i += blockDim.x) value = combine(value, x[i]);     \
    for (int step = 16; step; step /= 2)                                                \
      value = combine(value, __shfl_xor_sync(0xffffffffu, value, step));                \
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = value;                          \
    __syncthreads();                                                                    \
    value = part[0];                                                                    \
    for (int i = 1; i < (int)blockDim.x / 32; ++i) value = combine(value, part[i]);     \
    __syncthreads();                                                                    \
    return value;                                                                       \
  }
#define ADD(a, b) ((a) + (b))
BLOCK_REDUCE(float, block_max, -INFINITY, fmaxf)
BLOCK_REDUCE(float, block_sum, 0.0f, ADD)
BLOCK_REDUCE(int, block_min, x[0], min)
#undef BLOCK_REDUCE
#undef ADD

#else

DEVICE float block_max(const float* x, int n) {
  float value = -INFINITY;
#pragma omp simd reduction(max : value)
  for (int i = 0; i < n; ++i) value = x[i] > value ? x[i] : value;
  return value;
}

DEVICE float block_sum(const float* x, int n) {
  float value = 0.0f;
#pragma omp simd reduction(+ : value)
  for (int i = 0; i < n; ++i) value += x[i];
  return value;
}

DEVICE int block_min(const int* x, int n) {  // of at least one
  int value = x[0];
#pragma omp simd reduction(min : value)
  for (int i = 1; i < n; ++i) value = x[i] < value ? x[i] : value;
  return value;
}

#endif
