// Dropout with a mask that is never stored: the random number of an entry follows from its place.
//
// dropout [COUNT], as dropout.py packs it: entry j at frame t of sequence b, where u labels are
// out, is number b * BATCH + t * TIME + u * ROW + j of the stream that Philox4x32-10 (Salmon et
// al., "Parallel random numbers: as easy as 1, 2, 3", 2011) makes of a key and a 128-bit counter.
// It is dropped where its lowest 23 bits are below THRESHOLD, which is 0 without dropout; else
// scaled.
#pragma once
#include "kernel.h"

enum DropoutField { THRESHOLD, SCALE, KEY, LOW, HIGH, BATCH, TIME, ROW, COUNT };

DEVICE float dropout_scale(const index_t* dropout) { return bits_float((int)dropout[SCALE]); }

struct Factors {
  float of[4];
};

// 0, or the scale, for numbers 4 q to 4 q + 3.
DEVICE Factors dropout_factors(const index_t* dropout, index_t q) {
  typedef unsigned long long wide_t;
  wide_t low = (wide_t)dropout[LOW] + (wide_t)q, key = (wide_t)dropout[KEY];
  wide_t high = (wide_t)dropout[HIGH] + (low < (wide_t)q ? 1 : 0);
  unsigned a = (unsigned)low, b = (unsigned)(low >> 32);
  unsigned c = (unsigned)high, d = (unsigned)(high >> 32);
  unsigned first = (unsigned)key, second = (unsigned)(key >> 32);
#pragma GCC unroll 10
  for (int round = 0; round < 10; ++round) {
    wide_t left = (wide_t)a * 0xD2511F53u, right = (wide_t)c * 0xCD9E8D57u;
    a = (unsigned)(right >> 32) ^ b ^ first, b = (unsigned)right;
    c = (unsigned)(left >> 32) ^ d ^ second, d = (unsigned)left;
    first += 0x9E3779B9u, second += 0xBB67AE85u;
  }
  int threshold = (int)dropout[THRESHOLD];
  float scale = dropout_scale(dropout);
  Factors found = {{(int)(a & 0x7fffff) < threshold ? 0.0f : scale,
                    (int)(b & 0x7fffff) < threshold ? 0.0f : scale,
                    (int)(c & 0x7fffff) < threshold ? 0.0f : scale,
                    (int)(d & 0x7fffff) < threshold ? 0.0f : scale}};
  return found;
}

// Drops and scales `count` entries, of which the first has the number `first`. Other threads than
// those that wrote x may read it: a barrier before and after.
DEVICE void drop_row(const index_t* dropout, index_t first, index_t count, float* x) {
  index_t lead = (4 - first % 4) % 4;
  lead = lead < count ? lead : count;
  index_t whole = (count - lead) / 4, start = (first + lead) / 4;
  THREADS(q, whole) {
    Factors factors = dropout_factors(dropout, start + q);
    for (int i = 0; i < 4; ++i) x[lead + 4 * q + i] *= factors.of[i];
  }
  THREADS(edge, count - 4 * whole) {
    index_t j = edge < lead ? edge : edge + 4 * whole, at = first + j;
    x[j] *= dropout_factors(dropout, at / 4).of[at % 4];
  }
}
