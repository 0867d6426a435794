// Best path over the lattice of lattice.h. Included by transducer.cu.
//
// State 2 u is the one after a blank, 2 u - 1 the one after label u. A sweep keeps the best step
// into each state, then the way back. Sums are double: a tie in the scores stays one.
#pragma once
#include "lattice.h"

#define IMPOSSIBLE (-INFINITY)

// One sequence, and a worker's space for it.
struct Alignment {
  Lattice shape;
  const float *blank, *label, *repeat;  // scores of its first frame
  const int* labels;
  index_t max_labels;
  double* best;       // two rows of max_states + 2: the best path into a state, from -2 on
  signed char* back;  // [steps, max_states]: how many states the best step into a state leads
};

DEVICE index_t max_states(Alignment a) { return 2 * a.max_labels + 1; }

DEVICE double* best_row(Alignment a, int d) {
  return a.best + (d % 2) * (max_states(a) + 2) + 2;
}

// The score of a step d from u; NaN and +inf count as impossible, as does what is no frame.
DEVICE double score(Alignment a, const float* scores, index_t width, int d, int u) {
  int t = d - a.shape.diagonal * u;
  if (t < 0 || t >= a.shape.frames) return IMPOSSIBLE;
  float x = scores[t * width + u];
  return x < INFINITY ? x : IMPOSSIBLE;
}

// A tie goes to the shorter step: the path that is further along at the step before.
DEVICE void align_step(Alignment a, int d) {
  const double* from = best_row(a, d);
  double* to = best_row(a, d + 1);
  signed char* back = a.back + d * max_states(a);
  THREADS(s, 2 * a.shape.count + 1) {
    int u = (s + 1) / 2;  // of the state itself
    double stay = IMPOSSIBLE, next = from[s - 1], skip = IMPOSSIBLE;
    if (s % 2 == 0) {
      double x = score(a, a.blank, a.max_labels + 1, d, u);
      stay = from[s] + x;
      next += x;
    } else {
      bool same = u > 1 && a.labels[u - 1] == a.labels[u - 2];
      double x = score(a, a.label, a.max_labels, d, u - 1);
      if (a.shape.repetition) stay = from[s] + score(a, a.repeat, a.max_labels, d, u - 1);
      if (!(a.shape.repetition && same)) skip = from[s - 2] + x;
      next += x;
    }
    double best = next > stay ? next : stay;
    back[s] = skip > best ? 2 : next > stay;
    to[s] = skip > best ? skip : best;
  }
  BARRIER;
}

DEVICE void trace_back(Alignment a, int state, index_t blank, int* alignment) {
  for (int d = step_count(a.shape) - 1; d >= 0; --d) {
    alignment[d] = state % 2 ? a.labels[state / 2] : (int)blank;
    state -= a.back[d * max_states(a) + state];
  }
}

KERNEL transducer_align(const float* blank_scores, const float* label_scores,
                        const float* repeat_scores, const int* frames, const int* labels,
                        const int* label_lengths, const int* feasible, int* alignment,
                        float* path_scores, signed char* back, double* best, index_t time,
                        index_t batch, index_t max_labels, index_t diagonal, index_t repetition,
                        index_t blank, index_t workers) {
  index_t steps = time + diagonal * max_labels;
  BLOCKS(b, batch) {
    Alignment a;
    a.shape = lattice(frames[b], label_lengths[b], diagonal, repetition);
    a.blank = blank_scores + b * time * (max_labels + 1);
    a.label = label_scores + b * time * max_labels;
    a.repeat = repeat_scores + b * time * max_labels;
    a.labels = labels + b * max_labels;
    a.max_labels = max_labels;
    a.best = best + WORKER * 2 * (max_states(a) + 2);
    a.back = back + WORKER * steps * max_states(a);
    THREADS(d, steps) alignment[b * steps + d] = (int)blank;
    path_scores[b] = IMPOSSIBLE;
    BARRIER;
    if (!feasible[b]) continue;
    THREADS(s, 2 * a.shape.count + 3) {
      best_row(a, 0)[s - 2] = s == 2 ? 0.0 : IMPOSSIBLE;
      best_row(a, 1)[s - 2] = IMPOSSIBLE;
    }
    BARRIER;
    for (int d = 0; d < step_count(a.shape); ++d) align_step(a, d);
    const double* last = best_row(a, step_count(a.shape));
    int end = 2 * a.shape.count;
    if (last[end - 1] > last[end]) --end;
    path_scores[b] = (float)last[end];
    THREADS(once, last[end] > IMPOSSIBLE) trace_back(a, end, blank, alignment + b * steps);
    BARRIER;
  }
}
