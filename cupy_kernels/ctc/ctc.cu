// CTC and RNA loss from logits, with its gradient (Graves et al. 2006; Sak et al. 2017 for RNA).
//
// logits, grad [time, batch, vocab]; labels [batch, max_labels]; all contiguous.
// A sequence with U labels has 2 U + 1 states: blank 0, label 1, blank 1, ..., label U, blank U.
// Label u is entered from blank u-1, from label u-1 where `skip` allows it, and, with repetition,
// from itself; blank u from itself and from label u. A path starts in blank 0 or label 1 and ends
// in blank U or label U.
//
// ctc_frames, a block per frame: grad = softmax(logits), and the probabilities that the sums need.
// ctc_sums, a block per sequence: a forward sweep that is kept, then a backward sweep that
// subtracts the posterior of each label from grad as it goes. ctc_device.h has the form for GPUs,
// which the sums of targets of up to 511 labels take there.
#include "extended.h"

// Probabilities of frame t of sequence b: label u at u, nothing at 0, blank at max_labels + 1.
DEVICE Extendeds emission_row(Extendeds emissions, index_t b, index_t t, index_t time,
                              index_t max_labels) {
  return row(emissions, (b * time + t) * (max_labels + 2));
}

KERNEL ctc_frames(const float* logits, const int* lengths, const int* labels,
                  const int* label_lengths, const int* feasible, float* grad,
                  float* emission_mantissas, int* emission_exponents, index_t time, index_t batch,
                  index_t vocab, index_t max_labels, index_t blank, index_t workers) {
  Extendeds emissions = {emission_mantissas, emission_exponents};
  BLOCKS(frame, time * batch) {
    index_t t = frame / batch, b = frame % batch;
    const float* x = logits + frame * vocab;
    float* y = grad + frame * vocab;
    if (t >= lengths[b] || !feasible[b]) {
      THREADS(k, vocab) y[k] = 0.0f;
      continue;
    }
    float top = block_max(x, (int)vocab);
    THREADS(k, vocab) y[k] = exp_fast(x[k] - top);
    BARRIER;
    float sum = block_sum(y, (int)vocab);
    float scale = 1.0f / sum;
    THREADS(k, vocab) y[k] *= scale;
    double log_sum = top + log((double)sum);
    const int* label = labels + b * max_labels;
    Extendeds p = emission_row(emissions, b, t, time, max_labels);
    THREADS(u, label_lengths[b]) store(p, u + 1, extended_exp((double)x[label[u]] - log_sum));
    store(p, 0, extended_zero());
    Extended e = extended_exp((double)x[blank] - log_sum);
    store(p, max_labels + 1, sum >= 1.0f ? e : extended(NAN, 0));  // marks a frame with NaN
  }
}

// A worker's space holds pairs of rows of max_labels + 3 numbers, to be read from -1 to count + 1.
// Pairs 0..time: the forward sweep; two more for the backward sweep in turn; one for posteriors
// (mantissas); two for facts about the labels (exponents).
struct Rows {
  Extendeds blank, label;
};

DEVICE Rows rows(Extendeds space, index_t pair, index_t width) {
  Rows r = {row(space, 2 * pair * width + 1), row(space, (2 * pair + 1) * width + 1)};
  return r;
}

// One sequence as the sweeps see it. Label u stands in labels[u - 1].
struct Sweep {
  Extendeds emissions, space;
  const int* labels;
  int *skip, *next, *first;  // per label: may follow label u-1 directly; its next and first place
  int length, count, repetition;
  index_t b, time, max_labels, width;
};

DEVICE void clear(Rows r, int count) {
  THREADS(u, count + 3) {
    store(r.blank, u - 1, extended_zero());
    store(r.label, u - 1, extended_zero());
  }
}

// The first place of label i, and its next one, above count where there is none.
DEVICE void find_places(const int* labels, int count, int i, int* first, int* next) {
  int label = labels[i - 1], before = 1, after = i + 1;
  while (labels[before - 1] != label) ++before;
  while (after <= count && labels[after - 1] != label) ++after;
  first[i] = before;
  next[i] = after;
}

// The state before the first frame, the edges of all rows, and the facts about the labels.
DEVICE void prepare(Sweep s) {
  clear(rows(s.space, 0, s.width), s.count);
  clear(rows(s.space, s.time + 1, s.width), s.count);
  clear(rows(s.space, s.time + 2, s.width), s.count);
  THREADS(t, s.length) {
    Rows r = rows(s.space, t + 1, s.width);
    store(r.blank, -1, extended_zero());
    store(r.label, -1, extended_zero());
  }
  THREADS(i, s.count + 2) {
    bool inside = i > 0 && i <= s.count;
    bool repeats = i > 1 && inside && s.labels[i - 2] == s.labels[i - 1];
    s.skip[i] = !(s.repetition && repeats);
    if (inside) find_places(s.labels, s.count, i, s.first, s.next);
  }
  BARRIER;
}

// Pair t + 1: probability of all paths up to frame t that end in a state. False: NaN in a frame.
DEVICE bool forward(Sweep s) {
  bool valid = true;
  store(rows(s.space, 0, s.width).blank, 0, extended_one());
  BARRIER;
  for (int t = 0; t < s.length; ++t) {
    Rows from = rows(s.space, t, s.width), to = rows(s.space, t + 1, s.width);
    Extendeds p = emission_row(s.emissions, s.b, t, s.time, s.max_labels);
    Extended p_blank = load(p, s.max_labels + 1);
    valid = valid && !isnan(p_blank.mantissa);
    THREADS(u, s.count + 1) {
      Extended label = load(from.label, u);
      store(to.blank, u, multiply(add(load(from.blank, u), label), p_blank));
      Extended enter = add(load(from.blank, u - 1), where(s.skip[u], load(from.label, u - 1)));
      store(to.label, u, multiply(add(where(s.repetition, label), enter), load(p, u)));
    }
    BARRIER;
  }
  return valid;
}

// One frame backward: from later (paths from the next frame on, its emission included) to now;
// leaves the posteriors of the states of frame t.
DEVICE void backward_frame(Sweep s, int t, Rows later, Rows now, Extended total) {
  Rows prefix = rows(s.space, t + 1, s.width), posterior = rows(s.space, s.time + 3, s.width);
  Extendeds p = emission_row(s.emissions, s.b, t, s.time, s.max_labels);
  Extended p_blank = load(p, s.max_labels + 1);
  THREADS(u, s.count + 1) {
    Extended next = load(later.label, u + 1), stay = load(later.blank, u);
    Extended from_blank = add(stay, next);
    Extended from_label =
        add(add(where(s.repetition, load(later.label, u)), stay), where(s.skip[u + 1], next));
    posterior.blank.mantissa[u] = ratio(load(prefix.blank, u), from_blank, total);
    posterior.label.mantissa[u] = ratio(load(prefix.label, u), from_label, total);
    store(now.blank, u, multiply(from_blank, p_blank));
    store(now.label, u, multiply(from_label, load(p, u)));
  }
  BARRIER;
}

// A label that stands in several places is summed by the thread of its first one, in order, so
// that the result never depends on the order of threads.
DEVICE void subtract_posteriors(Sweep s, float* grad, index_t blank) {
  Rows posterior = rows(s.space, s.time + 3, s.width);
  float blanks = block_sum(posterior.blank.mantissa, s.count + 1);
  THREADS(i, s.count + 1) {
    if (i == 0) {
      grad[blank] -= blanks;
    } else if (s.first[i] == i) {
      float sum = 0.0f;
      for (int u = i; u <= s.count; u = s.next[u]) sum += posterior.label.mantissa[u];
      grad[s.labels[i - 1]] -= sum;
    }
  }
  BARRIER;
}

DEVICE void backward(Sweep s, Extended total, float* grad, index_t stride, index_t blank) {
  store(rows(s.space, s.time + 1 + s.length % 2, s.width).blank, s.count, extended_one());
  BARRIER;
  for (int t = s.length - 1; t >= 0; --t) {
    Rows later = rows(s.space, s.time + 1 + (t + 1) % 2, s.width);
    Rows now = rows(s.space, s.time + 1 + t % 2, s.width);
    backward_frame(s, t, later, now, total);
    subtract_posteriors(s, grad + t * stride, blank);
  }
}

// A sequence without a path has loss inf and gradient 0; one with NaN has NaN in both.
DEVICE void fill_gradient(float* grad, int length, index_t vocab, index_t stride, float value) {
  for (int t = 0; t < length; ++t) THREADS(k, vocab) grad[t * stride + k] = value;
}

KERNEL ctc_sums(const int* lengths, const int* labels, const int* label_lengths,
                const int* feasible, float* emission_mantissas, int* emission_exponents,
                float* space_mantissas, int* space_exponents, float* loss, float* grad,
                index_t time, index_t batch, index_t vocab, index_t max_labels, index_t blank,
                index_t repetition, index_t workers) {
  Extendeds emissions = {emission_mantissas, emission_exponents};
  Extendeds spaces = {space_mantissas, space_exponents};
  index_t width = max_labels + 3, stride = batch * vocab;
  BLOCKS(b, batch) {
    if (!feasible[b]) {
      loss[b] = INFINITY;
      continue;
    }
    Sweep s;
    s.emissions = emissions;
    s.space = row(spaces, WORKER * 2 * (time + 6) * width);
    s.labels = labels + b * max_labels;
    s.skip = rows(s.space, time + 4, width).blank.exponent;
    s.next = rows(s.space, time + 4, width).label.exponent;
    s.first = rows(s.space, time + 5, width).blank.exponent;
    s.length = lengths[b], s.count = label_lengths[b], s.repetition = (int)repetition;
    s.b = b, s.time = time, s.max_labels = max_labels, s.width = width;
    prepare(s);
    bool valid = forward(s);
    Rows last = rows(s.space, s.length, width);
    Extended total = add(load(last.blank, s.count), load(last.label, s.count));
    bool possible = total.mantissa > 0.0f;
    loss[b] = valid ? possible ? (float)-extended_log(total) : INFINITY : NAN;
    if (valid && possible)
      backward(s, total, grad + b * vocab, stride, blank);
    else
      fill_gradient(grad + b * vocab, s.length, vocab, stride, valid ? 0.0f : NAN);
  }
}

#ifdef __CUDACC__
#include "ctc_device.h"
#endif
