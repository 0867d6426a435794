// LSTM over a sequence on the host: all frames in one call, with the recurrent matrix packed once.
//
// The panels are dealt to the threads; a thread sums a tile of its panel (product.h) and takes it
// through the cell at once, while it is in the cache. One barrier per frame. Sequences that have
// ended, or not begun, cost nothing.
#pragma once
#include <algorithm>
#include <vector>

#include "cell.h"
#include "product.h"
#include "team.h"

struct Lstm {
  const int* lengths;
  index_t time, batch, units, direction;

  // Step 0 is the first frame for direction 1, the last for -1.
  index_t frame(index_t step) const { return direction > 0 ? step : time - 1 - step; }
  bool inside(index_t t, index_t b) const { return t >= 0 && t < lengths[b]; }
  index_t at(index_t t, index_t b) const { return t * batch + b; }
  // The row of sequence b at frame t of `rows`, or its row of `outside` where it has no frame t.
  const float* row(const float* rows, const float* outside, index_t t, index_t b) const {
    return inside(t, b) ? rows + at(t, b) * units : outside + b * units;
  }
};

// The sequences that have a frame t, and one row for each: what a tile reads.
struct Active {
  std::vector<index_t> sequence;
  std::vector<const float*> rows;

  void clear() { sequence.clear(), rows.clear(); }
  void add(index_t b, const float* row) { sequence.push_back(b), rows.push_back(row); }
  index_t size() const { return (index_t)sequence.size(); }
};

DEVICE void fill_zero(float* x, index_t count) { memset(x, 0, count * sizeof(float)); }

DEVICE int valid_lanes(index_t start, index_t end, int most) {
  return (int)(end - start < most ? end - start : most);
}

// Asks for the lines of `count` numbers, so that they are there once a product is done.
DEVICE void prefetch(const float* x, int count) {
  for (int i = 0; i < count; i += 16) __builtin_prefetch(x + i);
}

DEVICE void prefetch_gates(const float* x, index_t units, int count) {
  for (int gate = 0; gate < 4; ++gate) prefetch(x + gate * units, count);
}

struct ForwardArrays {
  const float *z, *c0;
  float *y, *gates, *cells;
};

// The cells of one sequence for the units of one panel, product [4, LANES].
DEVICE void forward_cells(const Lstm& lstm, const ForwardArrays& x, index_t t, index_t b,
                          index_t unit, int count, const float* product) {
  index_t n = lstm.units, at = lstm.at(t, b);
  const float* z = x.z + at * 4 * n + unit;
  const float* old = lstm.row(x.cells, x.c0, t - lstm.direction, b) + unit;
  float *gates = x.gates + at * 4 * n + unit, *cells = x.cells + at * n + unit;
  float* y = x.y + at * n + unit;
  THREADS(i, count)
    cell_forward(z[i] + product[i], z[i + n] + product[i + LANES],
                 z[i + 2 * n] + product[i + 2 * LANES], z[i + 3 * n] + product[i + 3 * LANES],
                 old[i], gates + i, n, cells + i, y + i);
}

// The units of one panel, LANES of them, at frame t. product: [active, WIDTH].
DEVICE void forward_panel(const Lstm& lstm, const ForwardArrays& x, const Active& active,
                          index_t t, index_t unit, const float* panel, float* product) {
  int count = valid_lanes(unit, lstm.units, LANES);
  for (index_t b : active.sequence)
    prefetch_gates(x.z + lstm.at(t, b) * 4 * lstm.units + unit, lstm.units, count);
  panel_product(active.rows.data(), active.size(), panel, lstm.units, product);
  for (index_t b : active.sequence) {
    if (count == LANES)  // a constant count becomes plain vector code
      forward_cells(lstm, x, t, b, unit, LANES, product);
    else
      forward_cells(lstm, x, t, b, unit, count, product);
    product += WIDTH;
  }
}

static void forward_member(const Lstm& lstm, const ForwardArrays& x, const float* w,
                           const float* y0, float* c_final, float* packed, Team& team) {
  index_t n = lstm.units;
  int size = team_size();
  Share panels = share(ceil_div(n, LANES), team_index(), size);
  for (index_t p = panels.begin; p < panels.end; ++p)
    pack_rows(w + p * LANES, 4 * n, n, n, valid_lanes(p * LANES, n, LANES),
              packed + p * n * WIDTH);
  Share own = share(lstm.batch, team_index(), size);
  Space product(lstm.batch * WIDTH);
  Active active;
  for (index_t step = 0; step < lstm.time; ++step) {
    index_t t = lstm.frame(step);
    active.clear();
    for (index_t b = 0; b < lstm.batch; ++b)
      if (lstm.inside(t, b)) active.add(b, lstm.row(x.y, y0, t - lstm.direction, b));
    for (index_t p = panels.begin; p < panels.end; ++p)
      forward_panel(lstm, x, active, t, p * LANES, packed + p * n * WIDTH, product.data());
    for (index_t b = own.begin; b < own.end; ++b)
      if (!lstm.inside(t, b)) {
        fill_zero(x.gates + lstm.at(t, b) * 4 * n, 4 * n);
        fill_zero(x.cells + lstm.at(t, b) * n, n);
        fill_zero(x.y + lstm.at(t, b) * n, n);
      }
    team.wait(size);
  }
  for (index_t b = own.begin; b < own.end; ++b) {
    index_t last = lstm.direction > 0 ? lstm.lengths[b] - 1 : 0;
    memcpy(c_final + b * n, lstm.row(x.cells, x.c0, last, b), n * sizeof(float));
  }
}

KERNEL lstm_forward(const float* z, const float* w, const int* lengths, const float* y0,
                    const float* c0, float* y, float* c_final, float* gates, float* cells,
                    index_t time, index_t batch, index_t units, index_t direction,
                    index_t workers) {
  Lstm lstm = {lengths, time, batch, units, direction};
  ForwardArrays arrays = {z, c0, y, gates, cells};
  Space packed(ceil_div(units, LANES) * units * WIDTH);
  Team team;
#pragma omp parallel num_threads(workers) if (workers > 1)
  forward_member(lstm, arrays, w, y0, c_final, packed.data(), team);
}

struct BackwardArrays {
  const float *dy, *gates, *cells, *c0;
  float *dz, *dc;  // dc [batch, units]: gradient of the cells, frame by frame
};

DEVICE void backward_cells(const Lstm& lstm, const BackwardArrays& x, index_t t, index_t b,
                           index_t unit, int count, const float* product) {
  index_t n = lstm.units, at = lstm.at(t, b);
  const float* gates = x.gates + at * 4 * n + unit;
  const float *cells = x.cells + at * n + unit, *dy = x.dy + at * n + unit;
  const float* old = lstm.row(x.cells, x.c0, t - lstm.direction, b) + unit;
  float *dc = x.dc + b * n + unit, *dz = x.dz + at * 4 * n + unit;
  THREADS(i, count)
    cell_backward(dy[i] + product[i], gates + i, n, cells[i], old[i], dc + i, dz + i);
}

// The units of one panel, WIDTH of them, at frame t; the rows are dz of the next frame.
DEVICE void backward_panel(const Lstm& lstm, const BackwardArrays& x, const Active& active,
                           index_t t, index_t unit, const float* panel, float* product) {
  int count = valid_lanes(unit, lstm.units, WIDTH);
  for (index_t b : active.sequence) {
    prefetch_gates(x.gates + lstm.at(t, b) * 4 * lstm.units + unit, lstm.units, count);
    prefetch(x.cells + lstm.at(t, b) * lstm.units + unit, count);
    prefetch(x.dy + lstm.at(t, b) * lstm.units + unit, count);
  }
  panel_product(active.rows.data(), active.size(), panel, 4 * lstm.units, product);
  for (index_t b : active.sequence) {
    if (count == WIDTH)
      backward_cells(lstm, x, t, b, unit, WIDTH, product);
    else
      backward_cells(lstm, x, t, b, unit, count, product);
    product += WIDTH;
  }
}

// dy0: what dz of the first frame of each sequence gives to the state before it.
DEVICE void initial_gradient(const Lstm& lstm, const Active& active, index_t unit,
                             const float* panel, float* product, float* dy0) {
  int count = valid_lanes(unit, lstm.units, WIDTH);
  panel_product(active.rows.data(), active.size(), panel, 4 * lstm.units, product);
  for (index_t b : active.sequence) {
    memcpy(dy0 + b * lstm.units + unit, product, count * sizeof(float));
    product += WIDTH;
  }
}

// dw = sum over all frames of h (before the frame) times dz (of the frame).
static void weight_gradient(const Lstm& lstm, const float* y, const float* y0, const float* dz,
                            float* dw, float* space, Team& team) {
  index_t n = lstm.units;
  int size = team_size(), member = team_index();
  std::vector<const float*> a, b;
  for (index_t t = 0; t < lstm.time; ++t)
    for (index_t s = 0; s < lstm.batch; ++s)
      if (lstm.inside(t, s)) {
        a.push_back(lstm.row(y, y0, t - lstm.direction, s));
        b.push_back(dz + lstm.at(t, s) * 4 * n);
      }
  Share tiles = share(ceil_div(n, ROWS), member, size);
  Share panels = share(ceil_div(4 * n, WIDTH), member, size);
  const index_t most = TransposedProduct::MOST_ROWS;
  float* own = space + TransposedProduct::own_space(n, member);
  for (index_t k = 0; k < (index_t)a.size(); k += most) {
    index_t depth = std::min(most, (index_t)a.size() - k);
    TransposedProduct product = {n, 4 * n, depth, &a[k], &b[k]};
    product.pack_a(tiles.begin, tiles.end, space);
    team.wait(size);
    product.add_panels(panels.begin, panels.end, space, own, k == 0, dw);
    team.wait(size);
  }
}

static void backward_member(const Lstm& lstm, const BackwardArrays& x, const float* w,
                            float* dy0, float* packed, const float* zeros, Team& team) {
  index_t n = lstm.units;
  int size = team_size();
  Share panels = share(ceil_div(n, WIDTH), team_index(), size);
  Share own = share(lstm.batch, team_index(), size);
  for (index_t p = panels.begin; p < panels.end; ++p)
    pack_columns(w + p * WIDTH * 4 * n, 4 * n, 4 * n, valid_lanes(p * WIDTH, n, WIDTH),
                 packed + p * 4 * n * WIDTH);
  Space product(lstm.batch * WIDTH);
  Active active;
  for (index_t step = lstm.time - 1; step >= 0; --step) {
    index_t t = lstm.frame(step), next = t + lstm.direction;
    active.clear();
    for (index_t b = 0; b < lstm.batch; ++b)
      if (lstm.inside(t, b))
        active.add(b, lstm.inside(next, b) ? x.dz + lstm.at(next, b) * 4 * n : zeros);
    for (index_t p = panels.begin; p < panels.end; ++p)
      backward_panel(lstm, x, active, t, p * WIDTH, packed + p * 4 * n * WIDTH, product.data());
    for (index_t b = own.begin; b < own.end; ++b)
      if (!lstm.inside(t, b)) fill_zero(x.dz + lstm.at(t, b) * 4 * n, 4 * n);
    team.wait(size);
  }
  active.clear();
  for (index_t b = 0; b < lstm.batch; ++b)
    if (lstm.lengths[b])
      active.add(b, x.dz + lstm.at(lstm.direction > 0 ? 0 : lstm.lengths[b] - 1, b) * 4 * n);
  for (index_t p = panels.begin; p < panels.end; ++p)
    initial_gradient(lstm, active, p * WIDTH, packed + p * 4 * n * WIDTH, product.data(), dy0);
}

// dc enters as the gradient of the final cells and leaves as that of the initial ones; dy0 and dw
// enter as zeros, which stay where no sequence has a frame.
KERNEL lstm_backward(const float* dy, const float* w, const int* lengths, const float* y,
                     const float* y0, const float* c0, const float* gates, const float* cells,
                     float* dz, float* dw, float* dy0, float* dc,
                     index_t time, index_t batch, index_t units, index_t direction,
                     index_t workers) {
  Lstm lstm = {lengths, time, batch, units, direction};
  BackwardArrays arrays = {dy, gates, cells, c0, dz, dc};
  std::vector<float> zeros(4 * units);
  Space packed(ceil_div(units, WIDTH) * 4 * units * WIDTH);
  Space space(TransposedProduct::space(units, workers));
  Team team;
#pragma omp parallel num_threads(workers) if (workers > 1)
  {
    backward_member(lstm, arrays, w, dy0, packed.data(), zeros.data(), team);
    weight_gradient(lstm, y, y0, dz, dw, space.data(), team);
  }
}
