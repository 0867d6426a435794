// Loops over channels, the last axis: a thread for each on the GPU, registers of them on the host.
#pragma once

#ifdef __CUDACC__

#include "kernel.h"

DEVICE void get(float& x, const float* from) { x = *from; }
DEVICE void put(float x, float* to) { *to = x; }

// f(T(), c): for all channels c, each by a thread.
template <class F>
DEVICE void each_channel(index_t channels, F f) {
  THREADS(c, channels) f(0.0f, c);
}

// f(column)(T(), c): for all channels of all columns.
template <class F>
DEVICE void each_channel_of(index_t columns, index_t channels, F f) {
  THREADS(t, columns * channels) f(t / channels)(0.0f, t % channels);
}

#else

#include "operand.h"

// A register, or a number, from or to any address.
DEVICE void get(Lanes& x, const float* from) { x = *(const Lanes*)from; }
DEVICE void get(float& x, const float* from) { x = *from; }
DEVICE void put(Lanes x, float* to) { *(Lanes*)to = x; }
DEVICE void put(float x, float* to) { *to = x; }

// f(T(), c): for registers of channels from c on, then for each one that is left.
template <class F>
DEVICE void each_channel(index_t channels, F f) {
  index_t c = 0;
  for (; c + LANES <= channels; c += LANES) f(Lanes(), c);
  for (; c < channels; ++c) f(0.0f, c);
}

template <class F>
DEVICE void each_channel_of(index_t columns, index_t channels, F f) {
  for (index_t column = 0; column < columns; ++column) each_channel(channels, f(column));
}

#endif
