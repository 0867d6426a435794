// The forward pass; included by lstm_host.h.
#pragma once

struct ForwardArrays {
  const float *z, *x, *bias, *y0, *c0;
  float *y, *gates, *cells;

  // What is added to the product: z of a frame, or the bias.
  const float* offset(const Lstm& lstm, index_t t, index_t b) const {
    return lstm.inputs ? bias : z + lstm.at(t, b) * 4 * lstm.units;
  }
};

// The cells of one sequence for the units of one panel, product [4, LANES].
DEVICE void forward_cells(const Lstm& lstm, const ForwardArrays& x, index_t t, index_t b,
                          index_t unit, int count, const float* product) {
  index_t n = lstm.units, at = lstm.at(t, b);
  const float* z = x.offset(lstm, t, b) + unit;
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
    prefetch_gates(x.offset(lstm, t, b) + unit, lstm.units, count);
  panel_product(active.inputs.data(), active.size(), panel, lstm.inputs, false, product);
  panel_product(active.rows.data(), active.size(), panel + lstm.inputs * WIDTH, lstm.units,
                lstm.inputs > 0, product);
  for (index_t b : active.sequence) {
    if (count == LANES)  // a constant count becomes plain vector code
      forward_cells(lstm, x, t, b, unit, LANES, product);
    else
      forward_cells(lstm, x, t, b, unit, count, product);
    product += WIDTH;
  }
}

// The sequences with a frame t, with the state before it and the input of it.
DEVICE void gather_states(const Lstm& lstm, const ForwardArrays& x, index_t t, Active& active) {
  active.clear();
  for (index_t b = 0; b < lstm.batch; ++b) {
    if (!lstm.inside(t, b)) continue;
    active.sequence.push_back(b);
    active.rows.push_back(lstm.row(x.y, x.y0, t - lstm.direction, b));
    active.inputs.push_back(x.x + lstm.at(t, b) * lstm.inputs);
  }
}

// A panel: the rows of w, then those of w_re, for the four gates of LANES units.
DEVICE void pack_gates(const Lstm& lstm, const float* w, const float* w_re, index_t unit,
                       float* panel) {
  index_t n = lstm.units;
  int count = valid_lanes(unit, n, LANES);
  pack_rows(w + unit, 4 * n, lstm.inputs, n, count, panel);
  pack_rows(w_re + unit, 4 * n, n, n, count, panel + lstm.inputs * WIDTH);
}

static void forward_member(const Lstm& lstm, const ForwardArrays& x, const float* w,
                           const float* w_re, float* c_final, float* packed, Team& team) {
  index_t n = lstm.units, height = (lstm.inputs + n) * WIDTH;
  int size = team_size();
  Share panels = share(ceil_div(n, LANES), team_index(), size);
  Share own = share(lstm.batch, team_index(), size);
  for (index_t p = panels.begin; p < panels.end; ++p)
    pack_gates(lstm, w, w_re, p * LANES, packed + p * height);
  Space product(lstm.batch * WIDTH);
  Active active;
  for (index_t step = 0; step < lstm.time; ++step) {
    index_t t = lstm.frame(step);
    gather_states(lstm, x, t, active);
    for (index_t p = panels.begin; p < panels.end; ++p)
      forward_panel(lstm, x, active, t, p * LANES, packed + p * height, product.data());
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

// Either z [time, batch, 4 units], inputs 0 and no x, w, bias; or x [time, batch, inputs],
// w [inputs, 4 units], bias [4 units] and no z.
KERNEL lstm_forward(const float* z, const float* x, const float* w, const float* bias,
                    const float* w_re, const int* lengths, const float* y0, const float* c0,
                    float* y, float* c_final, float* gates, float* cells, index_t time,
                    index_t batch, index_t units, index_t inputs, index_t direction,
                    index_t workers) {
  Lstm lstm = {lengths, time, batch, units, inputs, direction};
  ForwardArrays arrays = {z, x, bias, y0, c0, y, gates, cells};
  Space packed(ceil_div(units, LANES) * (inputs + units) * WIDTH);
  Team team;
#pragma omp parallel num_threads(workers) if (workers > 1)
  forward_member(lstm, arrays, w, w_re, c_final, packed.data(), team);
}
