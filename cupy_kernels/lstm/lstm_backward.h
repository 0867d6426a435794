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

// The sequences with a frame t; their rows: dz of the frame after it, zeros where there is none.
DEVICE void gather_next(const Lstm& lstm, const float* dz, const float* zeros, index_t t,
                        Active& active) {
  active.clear();
  index_t next = t + lstm.direction;
  for (index_t b = 0; b < lstm.batch; ++b)
    if (lstm.inside(t, b))
      active.add(b, lstm.inside(next, b) ? dz + lstm.at(next, b) * 4 * lstm.units : zeros);
}

// Rows of dz, each with the row that its product with a transposed matrix goes to.
struct Pending {
  std::vector<const float*> rows;
  std::vector<float*> outs;

  void clear() { rows.clear(), outs.clear(); }
  void add(const float* row, float* out) { rows.push_back(row), outs.push_back(out); }

  // The products with the panels begin to end; space: WIDTH floats a row.
  void multiply(Share panels, const float* packed, index_t depth, index_t columns,
                float* space) const {
    for (index_t p = panels.begin; p < panels.end; ++p) {
      panel_product(rows.data(), (index_t)rows.size(), packed + p * depth * WIDTH, depth, false,
                    space);
      int count = valid_lanes(p * WIDTH, columns, WIDTH);
      for (size_t i = 0; i < outs.size(); ++i)
        memcpy(outs[i] + p * WIDTH, space + i * WIDTH, count * sizeof(float));
    }
  }
};

// The matrices transposed, in panels.
struct BackwardPanels {
  float *state, *input;

  static index_t space(index_t units, index_t columns) {
    return ceil_div(columns, WIDTH) * 4 * units * WIDTH;
  }
};

// One member of the team.
class Backward {
 public:
  Backward(const Lstm& lstm, const BackwardArrays& arrays, BackwardPanels panels, Team& team)
      : lstm_(lstm),
        x_(arrays),
        panels_(panels),
        team_(team),
        size_(team_size()),
        own_(share(lstm.batch, team_index(), size_)),
        states_(share(ceil_div(lstm.units, WIDTH), team_index(), size_)),
        inputs_(share(ceil_div(lstm.inputs, WIDTH), team_index(), size_)),
        together_(frames_at_once(lstm.batch)),
        product_(together_ * lstm.batch * WIDTH) {}

  void run(const float* w, const float* w_re, float* dy0, const float* zeros) {
    pack(states_, w_re, lstm_.units, panels_.state);
    pack(inputs_, w, lstm_.inputs, panels_.input);
    for (index_t step = lstm_.time - 1; step >= 0; --step) {
      index_t t = lstm_.frame(step);
      frame(t, zeros);
      team_.wait(size_);
      input_gradient(t, step % together_ == 0);
    }
    initial_gradient(dy0);
    team_.wait(size_);
  }

 private:
  void pack(Share panels, const float* matrix, index_t columns, float* to) const {
    index_t depth = 4 * lstm_.units;
    for (index_t p = panels.begin; p < panels.end; ++p)
      pack_columns(matrix + p * WIDTH * depth, depth, depth,
                   valid_lanes(p * WIDTH, columns, WIDTH), to + p * depth * WIDTH);
  }

  void frame(index_t t, const float* zeros) {
    index_t n = lstm_.units;
    gather_next(lstm_, x_.dz, zeros, t, active_);
    for (index_t p = states_.begin; p < states_.end; ++p)
      backward_panel(lstm_, x_, active_, t, p * WIDTH, panels_.state + p * 4 * n * WIDTH,
                     product_.data());
    for (index_t b = own_.begin; b < own_.end; ++b)
      if (!lstm_.inside(t, b)) {
        fill_zero(x_.dz + lstm_.at(t, b) * 4 * n, 4 * n);
        fill_zero(x_.dx + lstm_.at(t, b) * lstm_.inputs, lstm_.inputs);
      }
  }

  // dx of the frames since the last time, once enough are pending.
  void input_gradient(index_t t, bool now) {
    if (!lstm_.inputs) return;
    for (index_t b = 0; b < lstm_.batch; ++b)
      if (lstm_.inside(t, b))
        pending_.add(x_.dz + lstm_.at(t, b) * 4 * lstm_.units,
                     x_.dx + lstm_.at(t, b) * lstm_.inputs);
    if (!now) return;
    pending_.multiply(inputs_, panels_.input, 4 * lstm_.units, lstm_.inputs, product_.data());
    pending_.clear();
  }

  // dy0: what dz of the first frame of each sequence gives to the state before it.
  void initial_gradient(float* dy0) {
    for (index_t b = 0; b < lstm_.batch; ++b) {
      index_t first = lstm_.direction > 0 ? 0 : lstm_.lengths[b] - 1;
      if (lstm_.inside(first, b))
        pending_.add(x_.dz + lstm_.at(first, b) * 4 * lstm_.units, dy0 + b * lstm_.units);
    }
    pending_.multiply(states_, panels_.state, 4 * lstm_.units, lstm_.units, product_.data());
  }

  const Lstm& lstm_;
  const BackwardArrays& x_;
  BackwardPanels panels_;
  Team& team_;
  int size_;
  Share own_, states_, inputs_;
  index_t together_;
  Space product_;
  Active active_;
  Pending pending_;
};

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
  BackwardPanels panels = {state.data(), input.data()};
  Rows rows(lstm, dz, y, y0, x);
  std::vector<Factor> factors = {{units, rows.state.data(), packed_state.data(), dw_re}};
  if (inputs) factors.push_back({inputs, rows.input.data(), packed_input.data(), dw});
  Team team;
#pragma omp parallel num_threads(workers) if (workers > 1)
  {
    Backward(lstm, arrays, panels, team).run(w, w_re, dy0, zeros.data());
    add_transposed_products(factors, rows.dz.data(), (index_t)rows.dz.size(), 4 * units, dbias,
                            team);
  }
}
