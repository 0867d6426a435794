// Transducer full-sum and best path in the label topologies RNN-T (Graves 2012), RNA (Sak et al.
// 2017) and CTC, from the scores of the steps of paths (lattice.h).
//
// log_probs, grad [batch, time, max_labels + 1, vocab]; blank [batch, time, max_labels + 1]: score
// of the blank where u labels are out; label [batch, time, max_labels]: of label u + 1 where u are
// out; repeat, like label: of label u + 1 once more where u + 1 are out. All contiguous.
//
// transducer_pick and transducer_spread, a block per frame: from log_probs to scores of steps, and
// from their gradient to that of log_probs.
// transducer_steps, a block per step of an alignment: scores as weights, on rows of the lattice.
// transducer_sums, a block per sequence, a thread per u, a barrier per step: the sums over paths.
// transducer_gradient, a block per frame: back from rows of the lattice to frames.
// transducer_align (align.h): a block per sequence, as the sums.
// joint_* (joint.h, joint_host.h): the joint network that scores may come from.
#include "lattice.h"

KERNEL transducer_pick(const float* log_probs, const int* frames, const int* labels,
                       const int* label_lengths, float* blank_scores, float* label_scores,
                       float* repeat_scores, index_t time, index_t batch, index_t max_labels,
                       index_t vocab, index_t blank, index_t repetition, index_t workers) {
  BLOCKS(frame, batch * time) {
    index_t b = frame / time;
    if (frame % time >= frames[b]) continue;
    const float* x = log_probs + frame * (max_labels + 1) * vocab;
    const int* label = labels + b * max_labels;
    float* blank_row = blank_scores + frame * (max_labels + 1);
    float *label_row = label_scores + frame * max_labels;
    float *repeat_row = repeat_scores + frame * max_labels;
    THREADS(u, label_lengths[b] + 1) {
      blank_row[u] = x[u * vocab + blank];
      if (u < label_lengths[b]) label_row[u] = x[u * vocab + label[u]];
      if (repetition && u > 0) repeat_row[u - 1] = x[u * vocab + label[u - 1]];
    }
  }
}

// grad enters as zeros. The next label and the last one may be the same.
KERNEL transducer_spread(const float* blank_grad, const float* label_grad,
                         const float* repeat_grad, const int* frames, const int* labels,
                         const int* label_lengths, float* grad, index_t time, index_t batch,
                         index_t max_labels, index_t vocab, index_t blank, index_t repetition,
                         index_t workers) {
  BLOCKS(frame, batch * time) {
    index_t b = frame / time;
    if (frame % time >= frames[b]) continue;
    float* y = grad + frame * (max_labels + 1) * vocab;
    const int* label = labels + b * max_labels;
    const float* blank_row = blank_grad + frame * (max_labels + 1);
    const float *label_row = label_grad + frame * max_labels;
    const float *repeat_row = repeat_grad + frame * max_labels;
    THREADS(u, label_lengths[b] + 1) {
      y[u * vocab + blank] = blank_row[u];
      if (u < label_lengths[b]) y[u * vocab + label[u]] = label_row[u];
      if (repetition && u > 0) y[u * vocab + label[u - 1]] += repeat_row[u - 1];
    }
  }
}

// e^score; NaN for NaN, and for what is too large to be the score of a step.
DEVICE Extended weight(float score) {
  bool valid = score < 90000.0f;
  Extended w = extended_exp(valid ? (double)score : 0.0);
  return extended(valid ? w.mantissa : NAN, w.exponent);
}

// marks [batch, steps]: NaN where a weight is.
KERNEL transducer_steps(const float* blank_scores, const float* label_scores,
                        const float* repeat_scores, const int* frames, const int* label_lengths,
                        const int* feasible, float* mantissas, int* exponents, float* marks,
                        index_t time, index_t batch, index_t max_labels, index_t diagonal,
                        index_t repetition, index_t workers) {
  Extendeds space = {mantissas, exponents};
  index_t steps = time + diagonal * max_labels, width = max_labels + 3;
  BLOCKS(step, batch * steps) {
    index_t b = step / steps, d = step % steps;
    if (!feasible[b]) continue;
    Lattice l = lattice(frames[b], label_lengths[b], diagonal, repetition);
    Steps w = step_row(space, step, width);
    THREADS(i, width) {
      int u = i - 1, t = (int)(d - diagonal * u);
      bool here = inside(l, t, u), more = here && u < l.count, again = here && u && repetition;
      index_t row = b * time + t, at = row * max_labels + u;
      store(w.blank, u, here ? weight(blank_scores[row + at]) : extended_zero());
      store(w.label, u, more ? weight(label_scores[at]) : extended_zero());
      store(w.repeat, u, again ? weight(repeat_scores[at - 1]) : extended_zero());
    }
    BARRIER;
    float mark = block_sum(w.blank.mantissa - 1, (int)(3 * width));
    marks[step] = mark;
  }
}

// A worker's space: rows 0 to D of prefixes, two rows of suffixes, one for `direct`.
KERNEL transducer_sums(const float* marks, const int* frames, const int* labels,
                       const int* label_lengths, const int* feasible, float* mantissas,
                       int* exponents, float* space_mantissas, int* space_exponents, float* loss,
                       index_t time, index_t batch, index_t max_labels, index_t diagonal,
                       index_t repetition, index_t workers) {
  Extendeds weights = {mantissas, exponents}, spaces = {space_mantissas, space_exponents};
  index_t steps = time + diagonal * max_labels, width = max_labels + 3;
  BLOCKS(b, batch) {
    if (!feasible[b]) {
      loss[b] = INFINITY;
      continue;
    }
    Sweep s;
    s.shape = lattice(frames[b], label_lengths[b], diagonal, repetition);
    s.steps = row(weights, b * 3 * steps * width);
    s.prefix = row(spaces, WORKER * 2 * (steps + 4) * width);
    s.suffix = row(s.prefix, 2 * (steps + 1) * width);
    int* direct = row(s.prefix, 2 * (steps + 3) * width).exponent;
    s.direct = direct;
    s.width = width;
    const int* label = labels + b * max_labels;
    int count = s.shape.count;
    THREADS(u, count + 2) {
      bool same = u > 1 && u <= count && label[u - 1] == label[u - 2];
      direct[u] = !(repetition && same);
    }
    for (int d = 0; d <= step_count(s.shape); ++d) clear(state_row(s.prefix, d, width), count);
    for (int d = 0; d < 2; ++d) clear(state_row(s.suffix, d, width), count);
    BARRIER;
    bool valid = !isnan(block_sum(marks + b * steps, step_count(s.shape)));
    forward(s);
    States end = state_row(s.prefix, step_count(s.shape), width);
    Extended total = add(load(end.blank, count), load(end.label, count));
    bool possible = total.mantissa > 0.0f;
    loss[b] = valid ? possible ? (float)-extended_log(total) : INFINITY : NAN;
    if (valid && possible) backward(s, total);
    BARRIER;
  }
}

// Minus the posterior that the backward sweep left; NaN where the loss is, else 0.
KERNEL transducer_gradient(const float* mantissas, const float* loss, const int* frames,
                           const int* label_lengths, float* blank_grad, float* label_grad,
                           float* repeat_grad, index_t time, index_t batch, index_t max_labels,
                           index_t diagonal, index_t repetition, index_t workers) {
  index_t steps = time + diagonal * max_labels, width = max_labels + 3;
  BLOCKS(frame, batch * time) {
    index_t b = frame / time;
    int t = (int)(frame % time);
    Lattice l = lattice(frames[b], label_lengths[b], diagonal, repetition);
    bool finite = loss[b] < INFINITY;
    float other = isnan(loss[b]) ? NAN : 0.0f;
    const float* posterior = mantissas + b * 3 * steps * width + 1;
    float* blank_row = blank_grad + frame * (max_labels + 1);
    float *label_row = label_grad + frame * max_labels;
    float *repeat_row = repeat_grad + frame * max_labels;
    THREADS(u, max_labels + 1) {
      bool here = t < l.frames && u <= l.count;
      const float* p = posterior + (t + diagonal * u) * 3 * width + u;
      bool read = finite && inside(l, t, u);
      float rest = here ? other : 0.0f;
      blank_row[u] = read ? -p[0] : rest;
      if (u < max_labels) label_row[u] = u >= l.count ? 0.0f : read ? -p[width] : rest;
      if (u > 0) repeat_row[u - 1] = !repetition ? 0.0f : read ? -p[2 * width] : rest;
    }
  }
}

#include "align.h"
#include "joint.h"
#ifndef __CUDACC__
#include "joint_host.h"
#endif
