// 2D LSTM over a grid: the cells of one anti-diagonal, for use with a library's matrix product
// between two of them (the GPU; wavefront.py), and, on the host alone, all diagonals in one call
// (lstm2d_host.h). The arrays, and the equations of a cell, are in cell2d.h.
//
// The cells of all sequences are numbered along the diagonals (front.py); those of one diagonal are
// `count` numbers from `first` on, and those of the diagonal before it (forward) or after it
// (backward) start at `other`. What a diagonal gives to the next one is in arrays of its cells.
//
// A block per cell, a thread per unit: no thread reads what another one writes.
#include "cell2d.h"

// product [cells of the diagonal before, 10 units]: their y times V_h, and times V_v;
// outputs [count, units]: y once more, to be multiplied next; zeros [5 units].
KERNEL lstm2d_cells(const float* z, const float* product, const float* zeros,
                    const index_t* place, const index_t* left, const index_t* below,
                    const index_t* right, const index_t* above, float* outputs, float* y,
                    float* gates, float* cells, index_t first, index_t count, index_t other,
                    index_t row, index_t batch, index_t units, index_t workers) {
  Grid grid = {place, left, below, right, above, row, batch, units};
  ForwardArrays arrays = {z, zeros, y, gates, cells};
  BLOCKS(i, count) {
    index_t number = first + i, l = left[number], b = below[number];
    const float* h = l < 0 ? zeros : product + (l - other) * 10 * units;
    const float* v = b < 0 ? zeros : product + (b - other) * 10 * units + 5 * units;
    forward_cell(grid, arrays, number, h, v);
    const float* from = y + place[number] * units;
    THREADS(u, units) outputs[i * units + u] = from[u];
  }
}

// product [cells of the diagonal after, 2 units]: their dz times V_h', and times V_v';
// carry [the same]: what they give to the cells before them; new_carry [count, 2 units]: that of
// this diagonal; new_dz [count, 5 units]: dz once more.
KERNEL lstm2d_cells_backward(const float* dy, const float* product, const float* carry,
                             const float* zeros, const index_t* place, const index_t* left,
                             const index_t* below, const index_t* right, const index_t* above,
                             const float* gates, const float* cells, float* new_carry,
                             float* new_dz, float* dz, index_t first, index_t count,
                             index_t other, index_t row, index_t batch, index_t units,
                             index_t workers) {
  Grid grid = {place, left, below, right, above, row, batch, units};
  BackwardArrays arrays = {dy, gates, cells, zeros, dz};
  BLOCKS(i, count) {
    index_t number = first + i, r = right[number], a = above[number];
    const float* h = r < 0 ? zeros : product + (r - other) * 2 * units;
    const float* v = a < 0 ? zeros : product + (a - other) * 2 * units + units;
    Carry given = {carry, other};
    backward_cell(grid, arrays, number, h, v, given, new_carry + i * 2 * units);
    const float* from = dz + place[number] * 5 * units;
    float* to = new_dz + i * 5 * units;
    for (int gate = 0; gate < 5; ++gate, from += units, to += units)
      THREADS(u, units) to[u] = from[u];
  }
}

#ifndef __CUDACC__
#include "lstm2d_host.h"
#endif
