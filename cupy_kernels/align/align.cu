// Best path over the CTC or RNA topology, with its labels.
//
// scores [time, batch, vocab], alignment [batch, time]. The states of ctc.cu in one row: state
// 2 u is blank u, state 2 u - 1 is label u; a step leads from a state to itself (labels: only with
// repetition), to the next one, or from label u-1 to label u (where they differ, or without
// repetition). One block per sequence: a sweep that keeps the best step into each state, then the
// way back. Sums are double: a tie in the scores stays one.
#include "kernel.h"

#define IMPOSSIBLE (-INFINITY)

// One sequence, and a worker's space for it.
struct Alignment {
  const int* labels;
  int length, states, repetition;
  index_t blank;
  const float* scores;  // of its first frame
  index_t stride;       // from one frame to the next
  double* best;         // two rows of states + 2: the best path into a state, from -2 on
  int *label, *skip;    // per state: its label; may be reached from the state before the last
  signed char* steps;   // [length, states]: how many states the best step into a state leads
};

DEVICE double* best_row(Alignment a, int t) { return a.best + (t % 2) * (a.states + 2) + 2; }

DEVICE void prepare(Alignment a) {
  THREADS(s, a.states + 2) {
    best_row(a, 0)[s - 2] = s == 2 ? 0.0 : IMPOSSIBLE;  // before the first frame: blank 0
    best_row(a, 1)[s - 2] = IMPOSSIBLE;
  }
  THREADS(s, a.states) {
    bool is_label = s % 2;
    bool repeats = is_label && s > 1 && a.labels[s / 2] == a.labels[s / 2 - 1];
    a.label[s] = is_label ? a.labels[s / 2] : (int)a.blank;
    a.skip[s] = is_label && !(a.repetition && repeats);
  }
  BARRIER;
}

// A tie goes to the shorter step: the path that is further along at the frame before.
DEVICE void align_frame(Alignment a, int t) {
  const float* x = a.scores + t * a.stride;
  signed char* step = a.steps + (index_t)t * a.states;
  const double* from = best_row(a, t);
  double* to = best_row(a, t + 1);
  THREADS(s, a.states) {
    double stay = s % 2 == 0 || a.repetition ? from[s] : IMPOSSIBLE;
    double next = from[s - 1], skip = a.skip[s] ? from[s - 2] : IMPOSSIBLE;
    float score = x[a.label[s]];
    double best = next > stay ? next : stay;
    step[s] = skip > best ? 2 : next > stay;
    best = skip > best ? skip : best;
    to[s] = best + (score < INFINITY ? score : IMPOSSIBLE);
  }
  BARRIER;
}

DEVICE void trace_back(Alignment a, int state, int* alignment) {
  for (int t = a.length - 1; t >= 0; --t) {
    alignment[t] = a.label[state];
    state -= a.steps[(index_t)t * a.states + state];
  }
}

// steps [workers, time, most states], best [workers, 2, most states + 2], facts [workers, 2, most
// states], with most states = 2 max_labels + 1.
KERNEL ctc_align(const float* scores, const int* lengths, const int* labels,
                 const int* label_lengths, const int* feasible, int* alignment,
                 float* path_scores, signed char* steps, double* best, int* facts, index_t time,
                 index_t batch, index_t vocab, index_t max_labels, index_t blank,
                 index_t repetition, index_t workers) {
  index_t most = 2 * max_labels + 1;
  BLOCKS(b, batch) {
    Alignment a;
    a.labels = labels + b * max_labels;
    a.length = lengths[b], a.states = 2 * label_lengths[b] + 1, a.repetition = (int)repetition;
    a.blank = blank;
    a.scores = scores + b * vocab, a.stride = batch * vocab;
    a.best = best + WORKER * 2 * (most + 2);
    a.label = facts + WORKER * 2 * most, a.skip = a.label + most;
    a.steps = steps + WORKER * time * most;
    THREADS(t, time) alignment[b * time + t] = (int)blank;
    path_scores[b] = IMPOSSIBLE;
    BARRIER;
    if (!feasible[b]) continue;
    prepare(a);
    for (int t = 0; t < a.length; ++t) align_frame(a, t);
    const double* last = best_row(a, a.length);
    int end = a.states - 1;
    if (last[end - 1] > last[end]) --end;
    path_scores[b] = (float)last[end];
    THREADS(once, last[end] > IMPOSSIBLE) trace_back(a, end, alignment + b * time);
    BARRIER;
  }
}
