// The backward pass; included by lstm_host.h.
#pragma once

struct BackwardArrays {
  const float *dy, *gates, *cells, *c0;
  float *dz, *dc, *dx;  // dc [batch, units]: gradient of the cells, frame by frame
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
  panel_product(active.rows.data(), active.size(), panel, 4 * lstm.units, false, product);
  for (index_t b : active.sequence) {
    if (count == WIDTH)
      backward_cells(lstm, x, t, b, unit, WIDTH, product);
    else
      backward_cells(lstm, x, t, b, unit, count, product);
    product += WIDTH;
  }
}

// One panel of out [batch, columns] = the active rows of dz times a transposed matrix: dx of a
// frame, or dy0.
DEVICE void product_of_dz(const Lstm& lstm, const Active& active, index_t column,
                          index_t columns, const float* panel, float* product, float* out) {
  int count = valid_lanes(column, columns, WIDTH);
  panel_product(active.rows.data(), active.size(), panel, 4 * lstm.units, false, product);
  for (index_t b : active.sequence) {
    memcpy(out + b * columns + column, product, count * sizeof(float));
    product += WIDTH;
  }
}

// The sequences with a frame t; their rows: dz of the frame after it, zeros where there is none.
DEVICE void gather_next(const Lstm& lstm, const float* dz, const float* zeros, index_t t,
                        Active& active) {
  active.clear();
  index_t next = t + lstm.direction;
  for (index_t b = 0; b < lstm.batch; ++b) {
    if (!lstm.inside(t, b)) continue;
    active.sequence.push_back(b);
    active.rows.push_back(lstm.inside(next, b) ? dz + lstm.at(next, b) * 4 * lstm.units : zeros);
  }
}

// The sequences with a frame; their rows: dz of frame t, or, for t = -1, of the first one.
DEVICE void gather_dz(const Lstm& lstm, const float* dz, index_t t, Active& active) {
  active.clear();
  for (index_t b = 0; b < lstm.batch; ++b) {
    index_t own = t >= 0 ? t : lstm.direction > 0 ? 0 : lstm.lengths[b] - 1;
    if (!lstm.inside(own, b)) continue;
    active.sequence.push_back(b);
    active.rows.push_back(dz + lstm.at(own, b) * 4 * lstm.units);
  }
}

// The matrices transposed, in panels, and a member's part of each.
struct BackwardPanels {
  float *state, *input;
  Share states, inputs;

  static index_t space(index_t units, index_t columns) {
    return ceil_div(columns, WIDTH) * 4 * units * WIDTH;
  }
  static void pack(Share panels, const float* matrix, index_t units, index_t columns, float* to) {
    for (index_t p = panels.begin; p < panels.end; ++p)
      pack_columns(matrix + p * WIDTH * 4 * units, 4 * units, 4 * units,
                   valid_lanes(p * WIDTH, columns, WIDTH), to + p * 4 * units * WIDTH);
  }
};

static void backward_member(const Lstm& lstm, const BackwardArrays& x, const float* w,
                            const float* w_re, float* dy0, BackwardPanels panels,
                            const float* zeros, Team& team) {
  index_t n = lstm.units, panel = 4 * n * WIDTH;
  int size = team_size(), member = team_index();
  panels.states = share(ceil_div(n, WIDTH), member, size);
  panels.inputs = share(ceil_div(lstm.inputs, WIDTH), member, size);
  BackwardPanels::pack(panels.states, w_re, n, n, panels.state);
  BackwardPanels::pack(panels.inputs, w, n, lstm.inputs, panels.input);
  Share own = share(lstm.batch, member, size);
  Space product(lstm.batch * WIDTH);
  Active active;
  for (index_t step = lstm.time - 1; step >= 0; --step) {
    index_t t = lstm.frame(step);
    gather_next(lstm, x.dz, zeros, t, active);
    for (index_t p = panels.states.begin; p < panels.states.end; ++p)
      backward_panel(lstm, x, active, t, p * WIDTH, panels.state + p * panel, product.data());
    for (index_t b = own.begin; b < own.end; ++b)
      if (!lstm.inside(t, b)) {
        fill_zero(x.dz + lstm.at(t, b) * 4 * n, 4 * n);
        fill_zero(x.dx + lstm.at(t, b) * lstm.inputs, lstm.inputs);
      }
    team.wait(size);
    gather_dz(lstm, x.dz, t, active);
    for (index_t p = panels.inputs.begin; p < panels.inputs.end; ++p)
      product_of_dz(lstm, active, p * WIDTH, lstm.inputs, panels.input + p * panel,
                    product.data(), x.dx + t * lstm.batch * lstm.inputs);
  }
  gather_dz(lstm, x.dz, -1, active);
  for (index_t p = panels.states.begin; p < panels.states.end; ++p)
    product_of_dz(lstm, active, p * WIDTH, n, panels.state + p * panel, product.data(), dy0);
}

// The rows of all frames: dz, and the state and the input that it came from.
struct Rows {
  std::vector<const float*> dz, state, input;

  Rows(const Lstm& lstm, const float* dz_all, const float* y, const float* y0, const float* x) {
    for (index_t t = 0; t < lstm.time; ++t)
      for (index_t b = 0; b < lstm.batch; ++b)
        if (lstm.inside(t, b)) {
          dz.push_back(dz_all + lstm.at(t, b) * 4 * lstm.units);
          state.push_back(lstm.row(y, y0, t - lstm.direction, b));
          input.push_back(x + lstm.at(t, b) * lstm.inputs);
        }
  }
};

// Either inputs 0 and no x, w, dx, dw; or all. dc enters as the gradient of the final cells and
// leaves as that of the initial ones; dw, dbias, dw_re and dy0 enter as zeros.
KERNEL lstm_backward(const float* dy, const float* x, const float* w, const float* w_re,
                     const int* lengths, const float* y, const float* y0, const float* c0,
                     const float* gates, const float* cells, float* dz, float* dx, float* dw,
                     float* dbias, float* dw_re, float* dy0, float* dc, index_t time,
                     index_t batch, index_t units, index_t inputs, index_t direction,
                     index_t workers) {
  Lstm lstm = {lengths, time, batch, units, inputs, direction};
  BackwardArrays arrays = {dy, gates, cells, c0, dz, dc, dx};
  std::vector<float> zeros(4 * units);
  Space state(BackwardPanels::space(units, units)), input(BackwardPanels::space(units, inputs));
  Space packed_state(Factor::space(units)), packed_input(Factor::space(inputs));
  BackwardPanels panels = {state.data(), input.data(), {0, 0}, {0, 0}};
  Rows rows(lstm, dz, y, y0, x);
  std::vector<Factor> factors = {{units, rows.state.data(), packed_state.data(), dw_re}};
  if (inputs) factors.push_back({inputs, rows.input.data(), packed_input.data(), dw});
  Team team;
#pragma omp parallel num_threads(workers) if (workers > 1)
  {
    backward_member(lstm, arrays, w, w_re, dy0, panels, zeros.data(), team);
    team.wait(team_size());
    add_transposed_products(factors, rows.dz.data(), (index_t)rows.dz.size(), 4 * units, dbias,
                            team);
  }
}
