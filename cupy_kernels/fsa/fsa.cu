// Sum over all paths of automata, with the posteriors of the labels (Baum 1972; "fast Baum-Welch").
//
// scores, result [time, batch, vocab], contiguous; automata as plan.py lays them out. With w_e the
// weight e^-cost of edge e, k_e its label and p_t(k) = e^score, or softmax(scores) if `softmax`,
//
//   alpha_t+1(s) = sum over edges e into s:     alpha_t(source) w_e p_t(k_e)
//   beta_t(s)    = sum over edges e that leave: beta_t+1(target) w_e p_t(k_e)
//
// fsa_frames, a block per frame: the probabilities of a sequence's labels; result = the softmax, or
// zero. fsa_sums, a block per sequence, its threads over the states: a forward sweep that is kept,
// then a backward sweep that adds the posterior of each label to the zeros, or takes it off the
// softmax. Two barriers per frame and none between rounds: position i of a row is always the
// same thread's.
//
// Limits: sums lie within e^(+-3.7e8), 4000 frames of the largest scores there may be. A thread
// walks the edges of one state in turn, so a state with thousands of them is slow on a GPU.
#include "automaton.h"
#include "extended.h"

#define LARGEST_SCORE 90000.0f

// Probabilities of frame t of sequence b; behind the last label a mark, NaN where the frame is.
DEVICE Extendeds emission_row(Extendeds emissions, index_t b, index_t t, index_t time,
                              index_t width) {
  return row(emissions, (b * time + t) * width);
}

// Writes softmax(x) to y; returns log(sum e^x), NaN where that is not a number.
DEVICE double softmax_frame(const float* x, float* y, int vocab) {
  float top = block_max(x, vocab);
  THREADS(k, vocab) y[k] = exp_fast(x[k] - top);
  BARRIER;
  float sum = block_sum(y, vocab);
  float scale = 1.0f / sum;
  THREADS(k, vocab) y[k] *= scale;
  return sum >= 1.0f ? top + log((double)sum) : NAN;
}

// Writes zeros to y; returns 0, or NaN where a score is too large or NaN.
DEVICE double clear_frame(const float* x, float* y, int vocab) {
  THREADS(k, vocab) y[k] = x[k] <= LARGEST_SCORE ? 0.0f : 1.0f;
  BARRIER;
  return block_sum(y, vocab) > 0.0f ? NAN : 0.0;
}

KERNEL fsa_frames(const float* scores, const int* lengths, const index_t* offsets,
                  const int* label_ids, float* emission_mantissas, int* emission_exponents,
                  float* result, index_t time, index_t batch, index_t vocab, index_t width,
                  index_t softmax, index_t workers) {
  Extendeds emissions = {emission_mantissas, emission_exponents};
  BLOCKS(frame, time * batch) {
    index_t t = frame / batch, b = frame % batch;
    const float* x = scores + frame * vocab;
    float* y = result + frame * vocab;
    if (t >= lengths[b]) {
      THREADS(k, vocab) y[k] = 0.0f;
      continue;
    }
    double norm = softmax ? softmax_frame(x, y, (int)vocab) : clear_frame(x, y, (int)vocab);
    Span labels = part(offsets, LABELS, b, batch);
    const int* ids = label_ids + labels.begin;
    Extendeds p = emission_row(emissions, b, t, time, width);
    THREADS(l, labels.count) store(p, l, extended_exp((double)x[ids[l]] - norm));
    store(p, labels.count, extended((float)norm, 0));
  }
}

// A sequence, and a worker's space for it.
struct Sums {
  Sweep sweeps[2];
  Extendeds weights[2];      // of the edges
  Extendeds prefix, suffix;  // rows of the states: time + 1 of them, and two used in turn
  float *posteriors, *piece_sums;
};

// A sweep over one frame, `from` -> `to`. The backward one leaves the posteriors of the edges too:
// `prefix` is the forward sweep before the frame, by `across`.
DEVICE void advance(Sums s, int direction, Extendeds from, Extendeds to, Extendeds p,
                    Extendeds prefix, const int* across, Extended total) {
  Sweep edges = s.sweeps[direction];
  THREADS(i, edges.states) store(to, i, extended_zero());
  for (int r = 0; r < edges.round_count; ++r) {
    Span round = round_edges(edges, r);
    const int *neighbour = edges.neighbour + round.begin, *label = edges.label + round.begin;
    Extendeds weights = row(s.weights[direction], round.begin);
    float* posterior = s.posteriors + round.begin;
    THREADS(i, round.count) {
      Extended x = load(from, neighbour[i]), w = load(weights, i), y = load(p, label[i]);
      int exponent = x.exponent + w.exponent + y.exponent;
      exponent = exponent < ZERO_EXPONENT ? ZERO_EXPONENT : exponent;
      Extended way = extended(x.mantissa * w.mantissa * y.mantissa, exponent);
      store(to, i, add(load(to, i), way));
      if (direction == BACKWARD) posterior[i] = ratio(load(prefix, across[i]), way, total);
    }
  }
  THREADS(i, edges.states) {
    Extended sum = load(to, i);
    store(to, i, normalised(sum.mantissa, sum.exponent));
  }
  BARRIER;
}

// The weights, and the rows before the first frame and behind the last.
DEVICE void prepare(Sums s, int length, const float* start, const float* final) {
  for (int direction = FORWARD; direction <= BACKWARD; ++direction) {
    const float* cost = s.sweeps[direction].cost;
    THREADS(e, s.sweeps[direction].edges)
      store(s.weights[direction], e, extended_exp(-(double)cost[e]));
  }
  int states = s.sweeps[FORWARD].states;
  Extendeds end = row(s.suffix, length % 2 * states);
  THREADS(i, states) {
    store(s.prefix, i, extended_exp(-(double)start[i]));
    store(end, i, extended_exp(-(double)final[i]));
  }
  BARRIER;
}

DEVICE Extended all_paths(Sums s, int length, const int* across) {
  int states = s.sweeps[FORWARD].states;
  Extendeds paths = row(s.prefix, (index_t)length * states);
  Extendeds end = row(s.suffix, length % 2 * states);
  Extended total = extended_zero();
  for (int i = 0; i < states; ++i)
    total = add(total, multiply(load(paths, across[i]), load(end, i)));
  BARRIER;
  return normalised(total.mantissa, total.exponent);
}

// Sums the posteriors of the edges of each label: a thread a piece, then a thread the pieces of a
// label, in order, so that the result does not depend on the order of threads.
DEVICE void add_posteriors(Sums s, Automata a, index_t b, float sign, float* result) {
  Span labels = part(a.offsets, LABELS, b, a.batch), pieces = part(a.offsets, PIECES, b, a.batch);
  const int* ids = a.label_ids + labels.begin;
  THREADS(i, pieces.count) {
    Span members = span(a.pieces, pieces.begin + i);
    float sum = 0.0f;
    for (int m = 0; m < members.count; ++m) sum += s.posteriors[a.members[members.begin + m]];
    s.piece_sums[i] = sum;
  }
  BARRIER;
  THREADS(l, labels.count) {
    Span parts = span(a.label_pieces, labels.begin + l);
    const float* sums = s.piece_sums + (parts.begin - pieces.begin);
    float sum = 0.0f;
    for (int i = 0; i < parts.count; ++i) sum += sums[i];
    result[ids[l]] += sign * sum;
  }
}

// A sequence without a path has loss inf and result 0; one with NaN has NaN in both.
DEVICE void fill(float* result, int length, index_t vocab, index_t stride, float value) {
  for (int t = 0; t < length; ++t) THREADS(k, vocab) result[t * stride + k] = value;
}

// space [workers, (time + 3) most_states + 2 most_edges]; sums [workers, most_edges + most pieces].
KERNEL fsa_sums(const int* lengths, AUTOMATA_PARAMETERS, float* emission_mantissas,
                int* emission_exponents, float* space_mantissas, int* space_exponents,
                index_t space_size, float* sums, index_t sums_size, float* loss, float* result,
                index_t time, index_t vocab, index_t width, index_t most_edges, index_t softmax,
                index_t workers) {
  Automata a = AUTOMATA;
  Extendeds emissions = {emission_mantissas, emission_exponents};
  Extendeds spaces = {space_mantissas, space_exponents};
  BLOCKS(b, batch) {
    Span states = part(offsets, STATES, b, batch), labels = part(offsets, LABELS, b, batch);
    const int* over = across + states.begin;
    int length = lengths[b], count = states.count;
    Sums s;
    s.sweeps[FORWARD] = sweep(a, FORWARD, b), s.sweeps[BACKWARD] = sweep(a, BACKWARD, b);
    s.weights[FORWARD] = row(spaces, WORKER * space_size);
    s.weights[BACKWARD] = row(s.weights[FORWARD], most_edges);
    s.suffix = row(s.weights[BACKWARD], most_edges);
    s.prefix = row(s.suffix, 2 * count);
    s.posteriors = sums + WORKER * sums_size, s.piece_sums = s.posteriors + most_edges;
    prepare(s, length, start + states.begin, final + states.begin);
    bool valid = true;
    for (index_t t = 0; t < length; ++t) {
      Extendeds p = emission_row(emissions, b, t, time, width);
      valid = valid && !isnan(p.mantissa[labels.count]);
      Extendeds from = row(s.prefix, t * count);
      advance(s, FORWARD, from, row(from, count), p, from, over, extended_one());
    }
    Extended total = all_paths(s, length, over);
    bool possible = total.mantissa > 0.0f;
    loss[b] = valid ? possible ? (float)-extended_log(total) : INFINITY : NAN;
    index_t stride = batch * vocab;
    float* first = result + b * vocab;
    if (!valid || !possible) {
      fill(first, length, vocab, stride, valid ? 0.0f : NAN);
      continue;
    }
    for (index_t t = length - 1; t >= 0; --t) {
      Extendeds p = emission_row(emissions, b, t, time, width);
      Extendeds later = row(s.suffix, (t + 1) % 2 * count), now = row(s.suffix, t % 2 * count);
      advance(s, BACKWARD, later, now, p, row(s.prefix, t * count), over, total);
      add_posteriors(s, a, b, softmax ? -1.0f : 1.0f, first + t * stride);
    }
  }
}
