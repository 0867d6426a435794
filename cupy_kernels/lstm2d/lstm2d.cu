// The cells of one anti-diagonal of a 2D LSTM, forward and backward; between two diagonals a library
// multiplies all their rows with the recurrent matrices (wavefront.py).
//
// z, gates, dz [time_t, time_s, batch, 5 units], gates in the order input, forget, lambda, output,
// cell input; y, cells, dy [time_t, time_s, batch, units]. Cell (t, s) follows its left neighbour
// (t, s - 1) and the one below, (t - 1, s). All cells of all sequences have a number, along the
// diagonals: `place` is where a number's cell lies on the grid with batch, and the neighbours are
// numbers too, -1 where there is none. The cells of a diagonal are `count` numbers from `first` on,
// those of the one before it (forward) or after it (backward) start at `other`, and what they give
// is in arrays of one diagonal.
//
// A block per cell, a thread per unit: no thread reads what another one writes.
#include "functions.h"

// product [cells of the diagonal before, 10 units]: their y times V_h, and times V_v;
// outputs [count, units]: y once more, to be multiplied next; zeros [5 units].
KERNEL lstm2d_cells(const float* z, const float* product, const float* zeros,
                    const index_t* place, const index_t* left, const index_t* below,
                    float* outputs, float* y, float* gates, float* cells, index_t first,
                    index_t count, index_t other, index_t row, index_t batch, index_t units,
                    index_t workers) {
  index_t n = units;
  BLOCKS(i, count) {
    index_t at = place[first + i], l = left[first + i], b = below[first + i];
    const float* x = z + at * 5 * n;
    const float* h = l < 0 ? zeros : product + (l - other) * 10 * n;
    const float* v = b < 0 ? zeros : product + (b - other) * 10 * n + 5 * n;
    const float* c_left = l < 0 ? zeros : cells + (at - batch) * n;
    const float* c_below = b < 0 ? zeros : cells + (at - row) * n;
    float *gate = gates + at * 5 * n, *cell = cells + at * n;
    float *out = y + at * n, *packed = outputs + i * n;
    THREADS(u, n) {
      float in = sigmoid(x[u] + h[u] + v[u]);
      float forget = sigmoid(x[u + n] + h[u + n] + v[u + n]);
      float lambda = sigmoid(x[u + 2 * n] + h[u + 2 * n] + v[u + 2 * n]);
      float open = sigmoid(x[u + 3 * n] + h[u + 3 * n] + v[u + 3 * n]);
      float input = tanh_fast(x[u + 4 * n] + h[u + 4 * n] + v[u + 4 * n]);
      float old = lambda * c_below[u] + (1.0f - lambda) * c_left[u];
      float state = input * in + forget * old;
      gate[u] = in;
      gate[u + n] = forget;
      gate[u + 2 * n] = lambda;
      gate[u + 3 * n] = open;
      gate[u + 4 * n] = input;
      cell[u] = state;
      out[u] = packed[u] = tanh_fast(state) * open;
    }
  }
}

// product [cells of the diagonal after, 2 units]: their dz times V_h', and times V_v';
// carry [the same, 2 units]: the gradients of their left cell and of the cell below them;
// new_carry and new_dz [count, 2 units and 5 units]: the same of this diagonal, and dz once more.
KERNEL lstm2d_cells_backward(const float* dy, const float* product, const float* carry,
                             const float* zeros, const index_t* place, const index_t* left,
                             const index_t* below, const index_t* right, const index_t* above,
                             const float* gates, const float* cells, float* new_carry,
                             float* new_dz, float* dz, index_t first, index_t count,
                             index_t other, index_t row, index_t batch, index_t units,
                             index_t workers) {
  index_t n = units;
  BLOCKS(i, count) {
    index_t number = first + i, at = place[number];
    index_t r = right[number], a = above[number];
    const float* h = r < 0 ? zeros : product + (r - other) * 2 * n;
    const float* v = a < 0 ? zeros : product + (a - other) * 2 * n + n;
    const float* dc_right = r < 0 ? zeros : carry + (r - other) * 2 * n;
    const float* dc_above = a < 0 ? zeros : carry + (a - other) * 2 * n + n;
    const float* c_left = left[number] < 0 ? zeros : cells + (at - batch) * n;
    const float* c_below = below[number] < 0 ? zeros : cells + (at - row) * n;
    const float *gate = gates + at * 5 * n, *cell = cells + at * n, *d = dy + at * n;
    float *to = dz + at * 5 * n, *packed = new_dz + i * 5 * n, *give = new_carry + i * 2 * n;
    THREADS(u, n) {
      float in = gate[u], forget = gate[u + n], lambda = gate[u + 2 * n];
      float open = gate[u + 3 * n], input = gate[u + 4 * n], squashed = tanh_fast(cell[u]);
      float d_output = d[u] + h[u] + v[u];
      float d_state =
          dc_right[u] + dc_above[u] + d_output * open * (1.0f - squashed * squashed);
      float old = lambda * c_below[u] + (1.0f - lambda) * c_left[u];
      float d_old = d_state * forget;
      to[u] = packed[u] = d_state * input * in * (1.0f - in);
      to[u + n] = packed[u + n] = d_old * old * (1.0f - forget);
      to[u + 2 * n] = packed[u + 2 * n] =
          d_old * (c_below[u] - c_left[u]) * lambda * (1.0f - lambda);
      to[u + 3 * n] = packed[u + 3 * n] = d_output * squashed * open * (1.0f - open);
      to[u + 4 * n] = packed[u + 4 * n] = d_state * in * (1.0f - input * input);
      give[u] = d_old * (1.0f - lambda);
      give[u + n] = d_old * lambda;
    }
  }
}
