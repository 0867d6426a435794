// The backward pass; included by lstm_host.h.
#pragma once

struct BackwardArrays {
  const float *dy, *gates, *cells, *c0;
  float *dz, *dc, *dx;  // dc [batch, units]: gradient of the cells, frame by frame
};

template <class P>
DEVICE void backward_cells(const Lstm& lstm, const BackwardArrays& x, const WordRows<P>& words,
                           index_t t, index_t b, index_t unit, int count, const float* product) {
  index_t n = lstm.units, at = lstm.at(t, b);
  const float* gates = x.gates + at * 4 * n + unit;
  const float *cells = x.cells + at * n + unit, *dy = x.dy + at * n + unit;
  const float* old = lstm.row(x.cells, x.c0, t - lstm.direction, b) + unit;
  float *dc = x.dc + b * n + unit, *dz = x.dz + at * 4 * n + unit;
  THREADS(i, count)
    cell_backward(dy[i] + product[i], gates + i, n, cells[i], old[i], dc + i, dz + i);
  for (int gate = 0; gate < 4; ++gate) words.convert(at * 4 + gate, unit, count);
}

// The units of one panel, WIDTH of them, at frame t; the rows are dz of the next frame.
template <class P>
DEVICE void backward_panel(const Lstm& lstm, const BackwardArrays& x, const WordRows<P>& dz,
                           const Active<P>& active, index_t t, index_t unit, Panel<P> panel,
                           float* product) {
  int count = valid_lanes(unit, lstm.units, WIDTH);
  for (index_t b : active.sequence) {
    prefetch_gates(x.gates + lstm.at(t, b) * 4 * lstm.units + unit, lstm.units, count);
    prefetch(x.cells + lstm.at(t, b) * lstm.units + unit, count);
    prefetch(x.dy + lstm.at(t, b) * lstm.units + unit, count);
  }
  panel_product<P>(active.rows, panel, false, product);
  for (index_t b : active.sequence) {
    if (count == WIDTH)
      backward_cells(lstm, x, dz, t, b, unit, WIDTH, product);
    else
      backward_cells(lstm, x, dz, t, b, unit, count, product);
    product += WIDTH;
  }
}

// Rows of dz, each with the row that its product with a transposed matrix goes to.
template <class P>
struct Pending {
  std::vector<const typename P::Word*> rows;
  std::vector<float*> outs;

  void clear() { rows.clear(), outs.clear(); }
  void add(const typename P::Word* row, float* out) { rows.push_back(row), outs.push_back(out); }

  // The products with the panels begin to end; space: WIDTH floats a row.
  void multiply(Share panels, typename P::Word* packed, index_t words, index_t columns,
                float* space) const {
    for (index_t p = panels.begin; p < panels.end; ++p) {
      panel_product<P>(rows, {packed + p * words * WIDTH, words}, false, space);
      int count = valid_lanes(p * WIDTH, columns, WIDTH);
      for (size_t i = 0; i < outs.size(); ++i)
        memcpy(outs[i] + p * WIDTH, space + i * WIDTH, count * sizeof(float));
    }
  }
};

// The matrices transposed, in panels. The depth is four gates, each in words of its own.
template <class P>
struct BackwardPanels {
  Space<typename P::Word> state, input;

  explicit BackwardPanels(const Lstm& lstm)
      : state(space(lstm.units, lstm.units)), input(space(lstm.units, lstm.inputs)) {}
  static index_t space(index_t units, index_t columns) {
    return ceil_div(columns, WIDTH) * 4 * P::words(units) * WIDTH;
  }
};

// One member of the team.
template <class P>
class Backward {
 public:
  typedef typename P::Word Word;

  // dz: the rows of the array's dz, one for each gate.
  Backward(const Lstm& lstm, const BackwardArrays& arrays, const WordRows<P>& dz,
           const BackwardPanels<P>& panels, Team& team)
      : lstm_(lstm),
        x_(arrays),
        dz_(dz),
        panels_(panels),
        team_(team),
        size_(team_size()),
        own_(share(lstm.batch, team_index(), size_)),
        states_(share(ceil_div(lstm.units, WIDTH), team_index(), size_)),
        inputs_(share(ceil_div(lstm.inputs, WIDTH), team_index(), size_)),
        words_(4 * P::words(lstm.units)),
        together_(frames_at_once(lstm.batch)),
        product_(together_ * lstm.batch * WIDTH),
        zeros_(words_) {}

  void run(const float* w, const float* w_re, float* dy0) {
    pack(states_, w_re, lstm_.units, panels_.state.data());
    pack(inputs_, w, lstm_.inputs, panels_.input.data());
    for (index_t step = lstm_.time - 1; step >= 0; --step) {
      index_t t = lstm_.frame(step);
      frame(t);
      team_.wait(size_);
      input_gradient(t, step % together_ == 0);
    }
    initial_gradient(dy0);
    team_.wait(size_);
  }

 private:
  void pack(Share panels, const float* matrix, index_t columns, Word* to) const {
    index_t n = lstm_.units;
    for (index_t p = panels.begin; p < panels.end; ++p)
      for (int gate = 0; gate < 4; ++gate)
        pack_columns<P>(matrix + p * WIDTH * 4 * n + gate * n, 4 * n, n,
                        valid_lanes(p * WIDTH, columns, WIDTH), {to + p * words_ * WIDTH, words_},
                        gate * P::words(n));
  }

  // dz of sequence b at frame t.
  const Word* row(index_t t, index_t b) const { return dz_.row(lstm_.at(t, b) * 4); }

  void frame(index_t t) {
    index_t n = lstm_.units, next = t + lstm_.direction;
    active_.clear();
    for (index_t b = 0; b < lstm_.batch; ++b)
      if (lstm_.inside(t, b))
        active_.add(b, lstm_.inside(next, b) ? row(next, b) : zeros_.data());
    for (index_t p = states_.begin; p < states_.end; ++p)
      backward_panel<P>(lstm_, x_, dz_, active_, t, p * WIDTH,
                        {panels_.state.data() + p * words_ * WIDTH, words_}, product_.data());
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
        pending_.add(row(t, b), x_.dx + lstm_.at(t, b) * lstm_.inputs);
    if (!now) return;
    pending_.multiply(inputs_, panels_.input.data(), words_, lstm_.inputs, product_.data());
    pending_.clear();
  }

  // dy0: what dz of the first frame of each sequence gives to the state before it.
  void initial_gradient(float* dy0) {
    for (index_t b = 0; b < lstm_.batch; ++b) {
      index_t first = lstm_.direction > 0 ? 0 : lstm_.lengths[b] - 1;
      if (lstm_.inside(first, b)) pending_.add(row(first, b), dy0 + b * lstm_.units);
    }
    pending_.multiply(states_, panels_.state.data(), words_, lstm_.units, product_.data());
  }

  const Lstm& lstm_;
  const BackwardArrays& x_;
  const WordRows<P>& dz_;
  const BackwardPanels<P>& panels_;
  Team& team_;
  int size_;
  Share own_, states_, inputs_;
  index_t words_, together_;  // of a row of dz; frames
  Space<float> product_;
  std::vector<Word> zeros_;
  Active<P> active_;
  Pending<P> pending_;
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

template <class P>
static void backward(const Lstm& lstm, const BackwardArrays& arrays, const float* x,
                     const float* w, const float* w_re, const float* y, const float* y0,
                     float* dw, float* dbias, float* dw_re, float* dy0, index_t workers) {
  index_t units = lstm.units, inputs = lstm.inputs;
  WordRows<P> dz(arrays.dz, lstm.time * lstm.batch * 4, units);
  BackwardPanels<P> panels(lstm);
  Space<typename P::Word> state(Factor<P>::space(units)), input(Factor<P>::space(inputs));
  Rows rows(lstm, arrays.dz, y, y0, x);
  std::vector<Factor<P>> factors = {{units, rows.state.data(), state.data(), dw_re}};
  if (inputs) factors.push_back({inputs, rows.input.data(), input.data(), dw});
  Team team;
#pragma omp parallel num_threads(workers) if (workers > 1)
  {
    Backward<P>(lstm, arrays, dz, panels, team).run(w, w_re, dy0);
    add_transposed_products<P>(factors, rows.dz.data(), (index_t)rows.dz.size(), 4 * units, dbias,
                               team);
  }
}

// Either inputs 0 and no x, w, dx, dw; or all. dc enters as the gradient of the final cells and
// leaves as that of the initial ones; dw, dbias, dw_re and dy0 enter as zeros.
KERNEL lstm_backward(const float* dy, const float* x, const float* w, const float* w_re,
                     const int* lengths, const float* y, const float* y0, const float* c0,
                     const float* gates, const float* cells, float* dz, float* dx, float* dw,
                     float* dbias, float* dw_re, float* dy0, float* dc, index_t time,
                     index_t batch, index_t units, index_t inputs, index_t direction,
                     index_t bfloat16, index_t workers) {
  Lstm lstm = {lengths, time, batch, units, inputs, direction};
  BackwardArrays arrays = {dy, gates, cells, c0, dz, dc, dx};
  auto run = bfloat16 ? backward<Bfloat16> : backward<Float32>;
  run(lstm, arrays, x, w, w_re, y, y0, dw, dbias, dw_re, dy0, workers);
}
