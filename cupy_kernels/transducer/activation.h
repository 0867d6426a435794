// What a joint network applies to the sum z of encoder and predictor. Maxout takes pairs of inputs;
// of all others there is the table: name, value of z, and its derivative, h being that value. The
// names are those of activations.py, in the same order.
#pragma once
#include "functions.h"

#define POINTWISE(A)                                                                      \
  A(TANH, tanh_fast(z), 1.0f - h * h)                                                     \
  A(RELU, z < 0.0f ? 0.0f : z, z > 0.0f ? 1.0f : 0.0f)                                    \
  A(LINEAR, z, 1.0f)                                                                      \
  A(SIGMOID, sigmoid(z), h * (1.0f - h))                                                  \
  A(SILU, z * sigmoid(z), sigmoid(z) + h * sigmoid(-z))                                   \
  A(GELU, z * normal_share(z), normal_share(z) + z * 0.398942280f * exp_fast(-0.5f * z * z)) \
  A(GELU_TANH, 0.5f * z * (1.0f + gelu_tanh(z)), gelu_tanh_slope(z))                      \
  A(ELU, z > 0.0f ? z : expm1_fast(z), z > 0.0f ? 1.0f : h + 1.0f)                        \
  A(SELU, z > 0.0f ? 1.05070099f * z : 1.75809934f * expm1_fast(z),                       \
    z > 0.0f ? 1.05070099f : h + 1.75809934f)                                             \
  A(LEAKY_RELU, z > 0.0f ? z : 0.2f * z, z > 0.0f ? 1.0f : 0.2f)                          \
  A(RELU6, z < 0.0f ? 0.0f : (z > 6.0f ? 6.0f : z), z > 0.0f && z < 6.0f ? 1.0f : 0.0f)   \
  A(SOFTPLUS, softplus(z), sigmoid(z))                                                    \
  A(SOFTSIGN, z / (1.0f + fabsf(z)), (1.0f - fabsf(h)) * (1.0f - fabsf(h)))               \
  A(LOG_SIGMOID, log_sigmoid(z), sigmoid(-z))

// Phi(z), the share of a standard normal distribution that is below z.
DEVICE float normal_share(float z) { return 0.5f + 0.5f * erf_fast(z * 0.707106781f); }

// The tanh that takes the place of erf in the other form of GELU.
DEVICE float gelu_tanh(float z) {
  return tanh_fast(0.797884561f * (z + 0.044715f * z * z * z));
}

DEVICE float gelu_tanh_slope(float z) {
  float t = gelu_tanh(z), inner = 0.797884561f * (1.0f + 0.134145f * z * z);
  return 0.5f * (1.0f + t) + 0.5f * z * (1.0f - t * t) * inner;
}

#define NAME(name, value, slope) name,
enum Activation { POINTWISE(NAME) MAXOUT };
#undef NAME

// h of one node, from the inputs e and p, `joint` numbers.
DEVICE void hidden_row(index_t activation, const float* e, const float* p, index_t joint,
                       float* h_row) {
  switch (activation) {
#define VALUE(name, value, slope)       \
  case name:                            \
    THREADS(j, joint) {                 \
      float z = e[j] + p[j];            \
      h_row[j] = value;                 \
    }                                   \
    break;
    POINTWISE(VALUE)
#undef VALUE
    case MAXOUT:
      THREADS(j, joint) {
        float a = e[2 * j] + p[2 * j], b = e[2 * j + 1] + p[2 * j + 1];
        h_row[j] = a > b || isnan(a) ? a : b;
      }
  }
}

// dz, the gradient of e + p, from dh and h, which is scaled; of two equal inputs of maxout the
// first has all of it.
DEVICE void input_gradient(index_t activation, const float* e, const float* p, const float* h_row,
                           const float* dh, float scale, int count, float* dz) {
  float unscale = 1.0f / scale;
  switch (activation) {
#define GRADIENT(name, value, slope)    \
  case name:                            \
    THREADS(j, count) {                 \
      float z = e[j] + p[j], h = h_row[j] * unscale; \
      dz[j] = dh[j] * (slope);          \
    }                                   \
    break;
    POINTWISE(GRADIENT)
#undef GRADIENT
    case MAXOUT:
      THREADS(j, count) {
        bool first = e[2 * j] + p[2 * j] >= e[2 * j + 1] + p[2 * j + 1];
        dz[2 * j] = first ? dh[j] : 0.0f;
        dz[2 * j + 1] = first ? 0.0f : dh[j];
      }
  }
}
