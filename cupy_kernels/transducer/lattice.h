// The lattice of a transducer, along the axis of its alignments.
//
// A path takes D steps, each of which emits the blank or a label: D = T frames in the topologies
// RNA and CTC, D = T + U in RNN-T. After d steps it is in a state: u labels are out, and the last
// step was a label or not. Its next step sees frame t = d (RNA, CTC), or t = d - u (RNN-T, where
// only blanks go on to the next frame). So all topologies have the same steps, from d to d + 1,
//
//   blank:   u, any state   -> u, blank
//   label:   u, any state   -> u + 1, label   (CTC: not from label u where label u + 1 is the same)
//   repeat:  u, label state -> u, label       (CTC alone)
//
// and a row of states depends on the row before it alone: for RNN-T that is an anti-diagonal of
// the plane of t and u. Label u stands in labels[u - 1].
#pragma once
#include "extended.h"

struct Lattice {
  int frames, count;  // T, U
  int diagonal;       // 1 for RNN-T
  int repetition;     // 1 for CTC
};

DEVICE Lattice lattice(int frames, int count, index_t diagonal, index_t repetition) {
  Lattice l = {frames, count, (int)diagonal, (int)repetition};
  return l;
}

DEVICE int step_count(Lattice l) { return l.frames + l.diagonal * l.count; }

// Whether a path may pass u at frame t: the labels so far and those to come find their frames.
DEVICE bool inside(Lattice l, int t, int u) {
  bool exists = t >= 0 && t < l.frames && u >= 0 && u <= l.count;
  return exists && (l.diagonal || (u <= t && l.count - u <= l.frames - t));
}

// Rows of max_labels + 3 numbers, to be read from -1 to max_labels + 1.
struct States {
  Extendeds blank, label;
};

// Weights of the steps from u.
struct Steps {
  Extendeds blank, label, repeat;
};

DEVICE States state_row(Extendeds space, index_t d, index_t width) {
  States r = {row(space, 2 * d * width + 1), row(space, (2 * d + 1) * width + 1)};
  return r;
}

DEVICE Steps step_row(Extendeds space, index_t d, index_t width) {
  Steps r = {row(space, 3 * d * width + 1), row(space, (3 * d + 1) * width + 1),
             row(space, (3 * d + 2) * width + 1)};
  return r;
}

DEVICE void clear(States r, int count) {
  THREADS(u, count + 3) {
    store(r.blank, u - 1, extended_zero());
    store(r.label, u - 1, extended_zero());
  }
}

// One sequence as the sweeps see it.
struct Sweep {
  Lattice shape;
  Extendeds steps;   // weights; the backward sweep leaves posteriors in their mantissas
  Extendeds prefix;  // rows 0 to D: sum of the paths from the start into each state
  Extendeds suffix;  // two rows in turn: sum of the paths from each state to the end
  const int* direct;  // per label: may follow the one before it without a blank between
  index_t width;
};

DEVICE Extended plain(Extended x) { return normalised(x.mantissa, x.exponent); }

DEVICE void forward(Sweep s) {
  store(state_row(s.prefix, 0, s.width).blank, 0, extended_one());
  BARRIER;
  for (int d = 0; d < step_count(s.shape); ++d) {
    States from = state_row(s.prefix, d, s.width), to = state_row(s.prefix, d + 1, s.width);
    Steps w = step_row(s.steps, d, s.width);
    THREADS(u, s.shape.count + 1) {
      Extended label = load(from.label, u);
      store(to.blank, u, multiply(add(load(from.blank, u), label), load(w.blank, u)));
      Extended before = load(from.label, u - 1);
      Extended enter = add(load(from.blank, u - 1), where(s.direct[u], before));
      store(to.label, u, plain(add(multiply(enter, load(w.label, u - 1)),
                                   multiply(label, load(w.repeat, u)))));
    }
    BARRIER;
  }
}

// From the suffixes after step d to those before it; the posteriors of step d replace its weights.
DEVICE void backward_step(Sweep s, int d, States later, States now, Extended total) {
  States prefix = state_row(s.prefix, d, s.width);
  Steps w = step_row(s.steps, d, s.width);
  THREADS(u, s.shape.count + 1) {
    int direct = s.direct[u + 1];
    Extended blank = multiply(load(w.blank, u), load(later.blank, u));
    Extended label = multiply(load(w.label, u), load(later.label, u + 1));
    Extended repeat = multiply(load(w.repeat, u), load(later.label, u));
    Extended after_blank = load(prefix.blank, u), after_label = load(prefix.label, u);
    w.blank.mantissa[u] = ratio(add(after_blank, after_label), blank, total);
    w.label.mantissa[u] = ratio(add(after_blank, where(direct, after_label)), label, total);
    w.repeat.mantissa[u] = ratio(after_label, repeat, total);
    store(now.blank, u, plain(add(blank, label)));
    store(now.label, u, plain(add(add(blank, where(direct, label)), repeat)));
  }
  BARRIER;
}

DEVICE void backward(Sweep s, Extended total) {
  int steps = step_count(s.shape), count = s.shape.count;
  States end = state_row(s.suffix, steps % 2, s.width);
  store(end.blank, count, extended_one());
  store(end.label, count, extended_one());
  BARRIER;
  for (int d = steps - 1; d >= 0; --d)
    backward_step(s, d, state_row(s.suffix, (d + 1) % 2, s.width),
                  state_row(s.suffix, d % 2, s.width), total);
}
