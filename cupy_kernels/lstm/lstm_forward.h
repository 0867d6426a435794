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

// What the products take the rows of.
template <class P>
struct ForwardRows {
  WordRows<P> x, y, y0;
};

// The cells of one sequence for the units of one panel, product [4, LANES].
template <class P>
DEVICE void forward_cells(const Lstm& lstm, const ForwardArrays& x, const WordRows<P>& words,
                          index_t t, index_t b, index_t unit, int count, const float* product) {
  index_t n = lstm.units, at = lstm.at(t, b);
  const float* z = x.offset(lstm, t, b) + unit;
  const float* old = lstm.row(x.cells, x.c0, t - lstm.direction, b) + unit;
  float *gates = x.gates + at * 4 * n + unit, *cells = x.cells + at * n + unit;
  float* y = x.y + at * n + unit;
  THREADS(i, count)
    cell_forward(z[i] + product[i], z[i + n] + product[i + LANES],
                 z[i + 2 * n] + product[i + 2 * LANES], z[i + 3 * n] + product[i + 3 * LANES],
                 old[i], gates + i, n, cells + i, y + i);
  words.convert(at, unit, count);
}

// The units of one panel, LANES of them, at frame t. product: [active, WIDTH], what the input adds.
template <class P>
DEVICE void forward_panel(const Lstm& lstm, const ForwardArrays& x, const WordRows<P>& y,
                          const Active<P>& active, index_t t, index_t unit, Panel<P> panel,
                          float* product) {
  int count = valid_lanes(unit, lstm.units, LANES);
  for (index_t b : active.sequence)
    prefetch_gates(x.offset(lstm, t, b) + unit, lstm.units, count);
  panel_product<P>(active.rows, panel, lstm.inputs > 0, product);
  for (index_t b : active.sequence) {
    if (count == LANES)  // a constant count becomes plain vector code
      forward_cells(lstm, x, y, t, b, unit, LANES, product);
    else
      forward_cells(lstm, x, y, t, b, unit, count, product);
    product += WIDTH;
  }
}

// The panels of w and w_re for the four gates of LANES units.
template <class P>
struct GatePanels {
  Panel<P> input, state;

  // The i-th ones of `packed`.
  GatePanels(const Lstm& lstm, typename P::Word* packed, index_t i)
      : input{packed + i * words(lstm) * WIDTH, P::words(lstm.inputs)},
        state{input.data + input.words * WIDTH, P::words(lstm.units)} {}

  static index_t words(const Lstm& lstm) { return P::words(lstm.inputs) + P::words(lstm.units); }

  void pack(const Lstm& lstm, const float* w, const float* w_re, index_t unit) const {
    index_t n = lstm.units;
    int count = valid_lanes(unit, n, LANES);
    pack_rows<P>(w + unit, 4 * n, lstm.inputs, n, count, input);
    pack_rows<P>(w_re + unit, 4 * n, n, n, count, state);
  }
};

// One member of the team.
template <class P>
class Forward {
 public:
  typedef typename P::Word Word;

  Forward(const Lstm& lstm, const ForwardArrays& arrays, const ForwardRows<P>& rows, Word* packed,
          Team& team)
      : lstm_(lstm),
        x_(arrays),
        rows_(rows),
        packed_(packed),
        team_(team),
        size_(team_size()),
        own_(share(lstm.batch, team_index(), size_)),
        panels_(share(ceil_div(lstm.units, LANES), team_index(), size_)),
        together_(frames_at_once(lstm.batch)),
        products_((panels_.end - panels_.begin) * together_ * lstm.batch * WIDTH) {}

  void run(const float* w, const float* w_re, float* c_final) {
    for (index_t p = panels_.begin; p < panels_.end; ++p)
      panels(p).pack(lstm_, w, w_re, p * LANES);
    rows_.x.convert(share(lstm_.inputs ? lstm_.time * lstm_.batch : 0, team_index(), size_));
    rows_.y0.convert(own_);
    team_.wait(size_);
    for (index_t step = 0; step < lstm_.time; ++step) {
      if (step % together_ == 0) input_products(step);
      frame(lstm_.frame(step));
      team_.wait(size_);
    }
    for (index_t b = own_.begin; b < own_.end; ++b) {
      index_t last = lstm_.direction > 0 ? lstm_.lengths[b] - 1 : 0;
      memcpy(c_final + b * lstm_.units, lstm_.row(x_.cells, x_.c0, last, b),
             lstm_.units * sizeof(float));
    }
  }

 private:
  GatePanels<P> panels(index_t i) const { return {lstm_, packed_, i}; }

  // Where the product of a panel with the first row of the frames that are taken together is.
  float* product(index_t panel) const {
    return products_.data() + (panel - panels_.begin) * together_ * lstm_.batch * WIDTH;
  }

  // What the input adds, for the frames from a step on.
  void input_products(index_t step) {
    done_ = 0;
    if (!lstm_.inputs) return;
    std::vector<const Word*> rows;
    for (index_t i = step; i < step + together_ && i < lstm_.time; ++i)
      for (index_t b = 0, t = lstm_.frame(i); b < lstm_.batch; ++b)
        if (lstm_.inside(t, b)) rows.push_back(rows_.x.row(lstm_.at(t, b)));
    for (index_t p = panels_.begin; p < panels_.end; ++p)
      panel_product<P>(rows, panels(p).input, false, product(p));
  }

  void frame(index_t t) {
    index_t n = lstm_.units, old = t - lstm_.direction;
    active_.clear();
    for (index_t b = 0; b < lstm_.batch; ++b)
      if (lstm_.inside(t, b))
        active_.add(b, lstm_.inside(old, b) ? rows_.y.row(lstm_.at(old, b)) : rows_.y0.row(b));
    for (index_t p = panels_.begin; p < panels_.end; ++p)
      forward_panel<P>(lstm_, x_, rows_.y, active_, t, p * LANES, panels(p).state,
                       product(p) + done_ * WIDTH);
    done_ += active_.size();
    for (index_t b = own_.begin; b < own_.end; ++b)
      if (!lstm_.inside(t, b)) {
        fill_zero(x_.gates + lstm_.at(t, b) * 4 * n, 4 * n);
        fill_zero(x_.cells + lstm_.at(t, b) * n, n);
        fill_zero(x_.y + lstm_.at(t, b) * n, n);
      }
  }

  const Lstm& lstm_;
  const ForwardArrays& x_;
  const ForwardRows<P>& rows_;
  Word* packed_;
  Team& team_;
  int size_;
  Share own_, panels_;
  index_t together_;
  Space<float> products_;  // [panels, rows of the frames that are taken together, WIDTH]
  index_t done_ = 0;       // rows of these frames that are done
  Active<P> active_;
};

template <class P>
static void forward(const Lstm& lstm, const ForwardArrays& arrays, const float* w,
                    const float* w_re, float* c_final, index_t workers) {
  index_t rows = lstm.time * lstm.batch;
  ForwardRows<P> words = {{arrays.x, rows, lstm.inputs},
                          {arrays.y, rows, lstm.units},
                          {arrays.y0, lstm.batch, lstm.units}};
  Space<typename P::Word> packed(ceil_div(lstm.units, LANES) * GatePanels<P>::words(lstm) * WIDTH);
  Team team;
#pragma omp parallel num_threads(workers) if (workers > 1)
  Forward<P>(lstm, arrays, words, packed.data(), team).run(w, w_re, c_final);
}

// Either z [time, batch, 4 units], inputs 0 and no x, w, bias; or x [time, batch, inputs],
// w [inputs, 4 units], bias [4 units] and no z.
KERNEL lstm_forward(const float* z, const float* x, const float* w, const float* bias,
                    const float* w_re, const int* lengths, const float* y0, const float* c0,
                    float* y, float* c_final, float* gates, float* cells, index_t time,
                    index_t batch, index_t units, index_t inputs, index_t direction,
                    index_t bfloat16, index_t workers) {
  Lstm lstm = {lengths, time, batch, units, inputs, direction};
  ForwardArrays arrays = {z, x, bias, y0, c0, y, gates, cells};
  auto run = bfloat16 ? forward<Bfloat16> : forward<Float32>;
  run(lstm, arrays, w, w_re, c_final, workers);
}
