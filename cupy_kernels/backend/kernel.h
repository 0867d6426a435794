// The dialect in which every kernel is written once, for the GPU (NVRTC) and for the host (g++,
// clang++).
//
//   KERNEL name(...)     an entry point; its last argument is `index_t workers`
//   BLOCKS(b, n)         loop over independent pieces of work: grid-stride, or parallel on the host
//   THREADS(t, n)        loop over the threads of a block: block-stride, or a loop that vectorises
//   BARRIER              between two THREADS loops of which the second reads what the first wrote
//   WORKER               number of the running block, below `workers`: picks a piece of workspace
//
// The iterations of a THREADS loop must not depend on each other. Code between the loops runs in
// every thread of the block, so it only computes; what it writes must be the same in all of them.
#pragma once

#ifdef __CUDACC__

typedef long long index_t;
#define KERNEL extern "C" __global__ void
#define DEVICE static __device__ __forceinline__
#define BLOCKS(b, n) for (index_t b = blockIdx.x; b < (n); b += gridDim.x)
#define THREADS(t, n) for (int t = threadIdx.x, t##_end = (int)(n); t < t##_end; t += blockDim.x)
#define BARRIER __syncthreads()
#define WORKER blockIdx.x

#define INFINITY __int_as_float(0x7f800000)
#define NAN __int_as_float(0x7fffffff)
DEVICE int float_bits(float x) { return __float_as_int(x); }
DEVICE float bits_float(int bits) { return __int_as_float(bits); }

#else

#include <math.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#define WORKER omp_get_thread_num()
#else
#define WORKER 0
#endif

typedef long long index_t;
#define PRAGMA(text) _Pragma(#text)
#define KERNEL extern "C" void
#define DEVICE static inline __attribute__((always_inline))
#define BLOCKS(b, n) \
  PRAGMA(omp parallel for schedule(dynamic) num_threads(workers) if (workers > 1 && (n) > 1)) \
  for (index_t b = 0; b < (n); ++b)
#ifdef KERNEL_REVERSED  // a test runs the threads backwards: the result may not change
#define THREADS(t, n) for (int t = (int)(n) - 1; t >= 0; --t)
#else
#ifdef __clang__
#define INDEPENDENT PRAGMA(clang loop vectorize(assume_safety))
#else
#define INDEPENDENT PRAGMA(GCC ivdep)
#endif
#define THREADS(t, n) INDEPENDENT for (int t = 0, t##_end = (int)(n); t < t##_end; ++t)
#endif
#define BARRIER

DEVICE int float_bits(float x) {
  int bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

DEVICE float bits_float(int bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

#endif
