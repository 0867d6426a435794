// Non-negative numbers of any size: mantissa * 2^exponent, the mantissa in [1, 2) or 0.
//
// A sum over paths of hundreds of frames spans e^-50000 to 1. Logarithms can hold that, but lose
// digits as they grow, and each sum costs an exponential and a logarithm; here a sum costs two
// shifts and keeps 24 bits. Arrays hold mantissas and exponents apart, so that loops vectorise.
#pragma once
#include "functions.h"

struct Extended {
  float mantissa;
  int exponent;
};

struct Extendeds {
  float* mantissa;
  int* exponent;
};

#define ZERO_EXPONENT (-(1 << 29))

DEVICE Extended extended(float mantissa, int exponent) {
  Extended x;
  x.mantissa = mantissa;
  x.exponent = exponent;
  return x;
}

DEVICE Extended extended_zero() { return extended(0.0f, ZERO_EXPONENT); }

DEVICE Extended extended_one() { return extended(1.0f, 0); }

// Brings a finite mantissa >= 0 into [1, 2); below 2^ZERO_EXPONENT is zero.
DEVICE Extended normalised(float mantissa, int exponent) {
  int bits = float_bits(mantissa);
  int shifted = exponent + (bits >> 23) - 127;
  bool zero = mantissa < 1e-37f || shifted < ZERO_EXPONENT;
  float unit = bits_float((bits & 0x7fffff) | 0x3f800000);
  return extended(zero ? 0.0f : unit, zero ? ZERO_EXPONENT : shifted);
}

DEVICE Extended load(Extendeds x, index_t i) { return extended(x.mantissa[i], x.exponent[i]); }

DEVICE void store(Extendeds x, index_t i, Extended value) {
  x.mantissa[i] = value.mantissa;
  x.exponent[i] = value.exponent;
}

DEVICE Extendeds row(Extendeds x, index_t offset) {
  x.mantissa += offset;
  x.exponent += offset;
  return x;
}

// x, or zero where keep is 0.
DEVICE Extended where(int keep, Extended x) {
  return extended(keep ? x.mantissa : 0.0f, keep ? x.exponent : ZERO_EXPONENT);
}

// The sum, not normalised: multiply it before it is stored.
DEVICE Extended add(Extended a, Extended b) {
  int top = a.exponent > b.exponent ? a.exponent : b.exponent;
  return extended(a.mantissa * power_of_two(a.exponent - top) +
                      b.mantissa * power_of_two(b.exponent - top),
                  top);
}

DEVICE Extended multiply(Extended a, Extended b) {
  return normalised(a.mantissa * b.mantissa, a.exponent + b.exponent);
}

// a b / c as a float, for a b <= c > 0.
DEVICE float ratio(Extended a, Extended b, Extended c) {
  return a.mantissa * b.mantissa / c.mantissa *
         power_of_two(a.exponent + b.exponent - c.exponent);
}

// e^x for x up to 90000; below e^-90000 is zero.
DEVICE Extended extended_exp(double x) {
  bool zero = !(x > -90000.0);
  x = zero ? 0.0 : x;
  double k = rint(x * 1.4426950408889634);
  float mantissa = expm1_core((float)(x - k * 0.6931471805599453)) + 1.0f;
  Extended y = normalised(mantissa, (int)k);
  return zero ? extended_zero() : y;
}

DEVICE double extended_log(Extended x) {
  return log((double)x.mantissa) + x.exponent * 0.6931471805599453;
}
