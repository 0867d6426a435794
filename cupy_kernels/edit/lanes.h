// Words of 64 bits, of several pairs side by side: a vector on the host, one word on the GPU.
#pragma once
#include "kernel.h"

typedef unsigned long long word_t;

#ifdef __CUDACC__

#define LANES 1
typedef word_t lanes_t;
DEVICE word_t get_lane(lanes_t x, int) { return x; }
DEVICE void set_lane(lanes_t* x, int, word_t value) { *x = value; }
DEVICE int count_bits(word_t x) { return __popcll(x); }

#else

#define LANES 8
typedef word_t lanes_t __attribute__((vector_size(8 * LANES), aligned(8)));
DEVICE word_t get_lane(lanes_t x, int lane) { return x[lane]; }
DEVICE void set_lane(lanes_t* x, int lane, word_t value) { (*x)[lane] = value; }
DEVICE int count_bits(word_t x) { return __builtin_popcountll(x); }

#endif

// The lowest `count` bits: none where it is negative, at most all 64.
DEVICE word_t low_bits(int count) {
  if (count <= 0) return 0;
  return count < 64 ? ((word_t)1 << count) - 1 : ~(word_t)0;
}
