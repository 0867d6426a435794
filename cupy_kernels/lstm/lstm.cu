// LSTM over a sequence: the frames one by one, for use with a library's matrix product, and all
// frames in one call, by lstm_host.h or lstm_device.h.
//
// z, gates, dz [time, batch, 4 units]; y, cells, dy [time, batch, units]; product [batch, 4 units].
// One block per sequence, a thread per unit. A sequence that has ended, or has not begun, keeps
// its state and gets zeros.
#include "cell.h"

// h, c [batch, units] hold the state and are updated.
KERNEL lstm_step(const float* z, const float* product, const int* lengths, float* h, float* c,
                 float* y, float* gates, float* cells, index_t t, index_t batch, index_t units,
                 index_t workers) {
  BLOCKS(b, batch) {
    index_t at = t * batch + b;
    const float *za = z + at * 4 * units, *zb = product + b * 4 * units;
    float *gate = gates + at * 4 * units, *cell = cells + at * units, *out = y + at * units;
    float *h_row = h + b * units, *c_row = c + b * units;
    if (t >= lengths[b]) {
      THREADS(u, units) {
        gate[u] = gate[u + units] = gate[u + 2 * units] = gate[u + 3 * units] = 0.0f;
        cell[u] = out[u] = 0.0f;
      }
      continue;
    }
    THREADS(u, units) {
      float z0 = za[u] + zb[u], z1 = za[u + units] + zb[u + units];
      float z2 = za[u + 2 * units] + zb[u + 2 * units], z3 = za[u + 3 * units] + zb[u + 3 * units];
      float state, output;
      cell_forward(z0, z1, z2, z3, c_row[u], gate + u, units, &state, &output);
      cell[u] = c_row[u] = state;
      out[u] = h_row[u] = output;
    }
  }
}

// dh [batch, units]: gradient of the output from the next frame; dc: of the cell, updated.
KERNEL lstm_step_backward(const float* dy, const float* dh, const int* lengths,
                          const float* gates, const float* cells, const float* c0, float* dc,
                          float* dz, index_t t, index_t time, index_t batch, index_t units,
                          index_t direction, index_t workers) {
  BLOCKS(b, batch) {
    index_t at = t * batch + b, before = t - direction;
    float* d = dz + at * 4 * units;
    if (t >= lengths[b]) {
      THREADS(u, 4 * units) d[u] = 0.0f;
      continue;
    }
    bool inside = before >= 0 && before < lengths[b];
    const float* old = inside ? cells + (before * batch + b) * units : c0 + b * units;
    const float *gate = gates + at * 4 * units, *cell = cells + at * units;
    const float *dy_row = dy + at * units, *dh_row = dh + b * units;
    float* dc_row = dc + b * units;
    THREADS(u, units)
      cell_backward(dy_row[u] + dh_row[u], gate + u, units, cell[u], old[u], dc_row + u, d + u);
  }
}

#ifdef __CUDACC__
#include "lstm_device.h"
#else
#include "lstm_host.h"
#endif
