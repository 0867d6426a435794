// One cell of a 2D LSTM (Leifert et al. 2016), and its derivative.
//
// z, gates, dz [time_t, time_s, batch, 5 units], gates in the order input, forget, lambda, output,
// cell input; y, cells, dy [time_t, time_s, batch, units]. Cell (t, s) follows its left neighbour
// (t, s - 1) and the one below, (t - 1, s).
#pragma once
#include "functions.h"

// All cells of all sequences by number: where they lie in [time_t, time_s, batch], and the numbers
// of their neighbours, -1 where there is none.
struct Grid {
  const index_t *place, *left, *below, *right, *above;
  index_t row, batch, units;  // row: time_s * batch, from a cell to the one above
};

struct ForwardArrays {
  const float *z, *zeros;  // zeros [5 units]
  float *y, *gates, *cells;
};

// The old cells that a cell is made of.
struct OldCells {
  const float *left, *below;
};

DEVICE OldCells old_cells(Grid g, index_t number, const float* cells, const float* zeros) {
  const float* cell = cells + g.place[number] * g.units;
  OldCells old = {g.left[number] < 0 ? zeros : cell - g.batch * g.units,
                  g.below[number] < 0 ? zeros : cell - g.row * g.units};
  return old;
}

// h + v [5 units]: what the recurrent matrices add to z.
DEVICE void forward_cell(Grid g, ForwardArrays x, index_t number, const float* h, const float* v) {
  index_t n = g.units, at = g.place[number];
  const float* z = x.z + at * 5 * n;
  OldCells old = old_cells(g, number, x.cells, x.zeros);
  float *gate = x.gates + at * 5 * n, *cell = x.cells + at * n, *y = x.y + at * n;
  THREADS(u, n) {
    float in = sigmoid(z[u] + h[u] + v[u]);
    float forget = sigmoid(z[u + n] + h[u + n] + v[u + n]);
    float lambda = sigmoid(z[u + 2 * n] + h[u + 2 * n] + v[u + 2 * n]);
    float out = sigmoid(z[u + 3 * n] + h[u + 3 * n] + v[u + 3 * n]);
    float input = tanh_fast(z[u + 4 * n] + h[u + 4 * n] + v[u + 4 * n]);
    float mixed = lambda * old.below[u] + (1.0f - lambda) * old.left[u];
    float state = input * in + forget * mixed;
    gate[u] = in;
    gate[u + n] = forget;
    gate[u + 2 * n] = lambda;
    gate[u + 3 * n] = out;
    gate[u + 4 * n] = input;
    cell[u] = state;
    y[u] = tanh_fast(state) * out;
  }
}

struct BackwardArrays {
  const float *dy, *gates, *cells, *zeros;  // zeros [units]
  float* dz;
};

// [cells of a diagonal, 2 units]: the gradients of the left cell and of the one below that they
// give; the first of them has the number `first`.
struct Carry {
  const float* values;
  index_t first;
};

// h + v [units]: what the recurrent matrices add to dy; give [2 units]: the carry of this cell.
DEVICE void backward_cell(Grid g, BackwardArrays x, index_t number, const float* h, const float* v,
                          Carry carry, float* give) {
  index_t n = g.units, at = g.place[number], right = g.right[number], above = g.above[number];
  const float* dc_right = right < 0 ? x.zeros : carry.values + (right - carry.first) * 2 * n;
  const float* dc_above = above < 0 ? x.zeros : carry.values + (above - carry.first) * 2 * n + n;
  OldCells old = old_cells(g, number, x.cells, x.zeros);
  const float *gate = x.gates + at * 5 * n, *cell = x.cells + at * n, *dy = x.dy + at * n;
  float* dz = x.dz + at * 5 * n;
  THREADS(u, n) {
    float in = gate[u], forget = gate[u + n], lambda = gate[u + 2 * n];
    float out = gate[u + 3 * n], input = gate[u + 4 * n], squashed = tanh_fast(cell[u]);
    float d_output = dy[u] + h[u] + v[u];
    float d_state = dc_right[u] + dc_above[u] + d_output * out * (1.0f - squashed * squashed);
    float mixed = lambda * old.below[u] + (1.0f - lambda) * old.left[u];
    float d_mixed = d_state * forget;
    dz[u] = d_state * input * in * (1.0f - in);
    dz[u + n] = d_mixed * mixed * (1.0f - forget);
    dz[u + 2 * n] = d_mixed * (old.below[u] - old.left[u]) * lambda * (1.0f - lambda);
    dz[u + 3 * n] = d_output * squashed * out * (1.0f - out);
    dz[u + 4 * n] = d_state * in * (1.0f - input * input);
    give[u] = d_mixed * (1.0f - lambda);
    give[u + n] = d_mixed * lambda;
  }
}
