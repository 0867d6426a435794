// The sums of ctc.cu on a GPU: both sweeps of a sequence at once, each a block with a thread per
// label and the current frame in shared memory; then a block per frame for the posteriors.
#pragma once

#define LABEL_LIMIT 511  // with the state before the first label, a thread each
#define FRAMES_AHEAD 4   // whose emissions are under way while a frame is computed

// The two sums of each state, [batch, time, max_labels + 1]: paths up to frame t, its emission
// included; and paths behind it.
struct States {
  Extendeds blank, label;
};

DEVICE States states(float* mantissas, int* exponents, index_t batch, index_t time,
                     index_t max_labels) {
  index_t size = batch * time * (max_labels + 1);
  Extendeds all = {mantissas, exponents};
  States s = {all, row(all, size)};
  return s;
}

// The states of one frame, double-buffered, with a zero before the first and one behind the last.
struct Frame {
  float mantissa[2][2][LABEL_LIMIT + 3];
  int exponent[2][2][LABEL_LIMIT + 3];

  __device__ Extendeds at(int buffer, int kind) {
    Extendeds x = {mantissa[buffer][kind] + 1, exponent[buffer][kind] + 1};
    return x;
  }

  __device__ void clear(int count) {
    for (int buffer = 0; buffer < 2; ++buffer)
      for (int kind = 0; kind < 2; ++kind)
        THREADS(u, count + 3) store(at(buffer, kind), u - 1, extended_zero());
  }
};

// A sequence, seen by the thread of label u; u above count: it only waits.
struct Thread {
  Extendeds emissions;
  index_t b, time, max_labels;
  int u, count, length;
  bool repetition, skip;  // into this label from the one before (forward), from this to the next

  __device__ bool active() const { return u <= count; }

  __device__ index_t place(int t) const { return (b * time + t) * (max_labels + 1) + u; }

  // Calls step(t, emission of the label, emission of the blank, buffer to read) frame by frame.
  template <class Step>
  __device__ void sweep(int first, int direction, Step step) const {
    Extended label[FRAMES_AHEAD], blank[FRAMES_AHEAD];
    fetch(first, direction, 0, label, blank);
    for (int i = 0; i < length; i += FRAMES_AHEAD) {
      Extended label_now[FRAMES_AHEAD], blank_now[FRAMES_AHEAD];
#pragma unroll
      for (int k = 0; k < FRAMES_AHEAD; ++k) label_now[k] = label[k], blank_now[k] = blank[k];
      fetch(first, direction, i + FRAMES_AHEAD, label, blank);
#pragma unroll
      for (int k = 0; k < FRAMES_AHEAD; ++k) {
        if (i + k >= length) break;
        if (active()) step(first + (i + k) * direction, label_now[k], blank_now[k], (i + k) % 2);
        __syncthreads();
      }
    }
  }

  __device__ void fetch(int first, int direction, int i, Extended* label, Extended* blank) const {
#pragma unroll
    for (int k = 0; k < FRAMES_AHEAD; ++k) {
      if (i + k >= length || !active()) break;
      Extendeds p = emission_row(emissions, b, first + (i + k) * direction, time, max_labels);
      label[k] = load(p, u);
      blank[k] = load(p, max_labels + 1);
    }
  }
};

// Two blocks per sequence. total [batch]: probability of all paths; first, next [batch,
// max_labels + 2]: as find_places has them. Loss NaN: a frame has NaN.
KERNEL __launch_bounds__(LABEL_LIMIT + 1)
    ctc_sweeps(const int* lengths, const int* labels, const int* label_lengths,
               const int* feasible, float* emission_mantissas, int* emission_exponents,
               float* prefix_mantissas, int* prefix_exponents, float* suffix_mantissas,
               int* suffix_exponents, float* total_mantissas, int* total_exponents, int* first,
               int* next, float* loss, index_t time, index_t batch, index_t max_labels,
               index_t repetition, index_t workers) {
  __shared__ Frame frame;
  index_t b = blockIdx.x / 2;
  bool forward = blockIdx.x % 2 == 0;
  if (!feasible[b]) {
    if (forward) loss[b] = INFINITY;
    return;
  }
  const int* label = labels + b * max_labels;
  Extendeds emissions = {emission_mantissas, emission_exponents};
  int u = threadIdx.x, count = label_lengths[b], length = lengths[b];
  int pair = forward ? u : u + 1;  // the labels pair - 1 and pair
  bool repeats = pair > 1 && pair <= count && label[pair - 2] == label[pair - 1];
  Thread self = {emissions, b, time, max_labels, u, count, length, repetition != 0,
                 !(repetition && repeats)};
  frame.clear(count);
  __syncthreads();
  store(frame.at(0, 0), forward ? 0 : count, extended_one());
  __syncthreads();

  if (!forward) {
    States suffix = states(suffix_mantissas, suffix_exponents, batch, time, max_labels);
    self.sweep(length - 1, -1, [&](int t, Extended p_label, Extended p_blank, int from) {
      Extended next_label = load(frame.at(from, 1), u + 1), stay = load(frame.at(from, 0), u);
      Extended own = where(self.repetition, load(frame.at(from, 1), u));
      Extended from_blank = add(stay, next_label);
      Extended from_label = add(add(own, stay), where(self.skip, next_label));
      store(suffix.blank, self.place(t), from_blank);
      store(suffix.label, self.place(t), from_label);
      store(frame.at(1 - from, 0), u, multiply(from_blank, p_blank));
      store(frame.at(1 - from, 1), u, multiply(from_label, p_label));
    });
    return;
  }
  States prefix = states(prefix_mantissas, prefix_exponents, batch, time, max_labels);
  bool valid = true;
  self.sweep(0, 1, [&](int t, Extended p_label, Extended p_blank, int from) {
    valid = valid && !isnan(p_blank.mantissa);
    Extended own = load(frame.at(from, 1), u), old_blank = load(frame.at(from, 0), u);
    Extended before = where(self.skip, load(frame.at(from, 1), u - 1));
    Extended enter = add(load(frame.at(from, 0), u - 1), before);
    Extended blank = multiply(add(old_blank, own), p_blank);
    Extended here = multiply(add(where(self.repetition, own), enter), p_label);
    store(prefix.blank, self.place(t), blank);
    store(prefix.label, self.place(t), here);
    store(frame.at(1 - from, 0), u, blank);
    store(frame.at(1 - from, 1), u, here);
  });
  index_t places = b * (max_labels + 2);
  THREADS(i, count) find_places(label, count, i + 1, first + places, next + places);
  if (u == 0) {
    Extended total =
        add(load(frame.at(length % 2, 0), count), load(frame.at(length % 2, 1), count));
    total_mantissas[b] = total.mantissa;
    total_exponents[b] = total.exponent;
    loss[b] = !valid ? NAN : total.mantissa > 0.0f ? (float)-extended_log(total) : INFINITY;
  }
}

// A block per frame: subtracts the posteriors from grad; or NaN, or 0 where no path has a chance.
KERNEL ctc_posteriors(const int* lengths, const int* labels, const int* label_lengths,
                      const int* feasible, float* prefix_mantissas, int* prefix_exponents,
                      float* suffix_mantissas, int* suffix_exponents, float* total_mantissas,
                      int* total_exponents, const int* first, const int* next, const float* loss,
                      float* grad, index_t time, index_t batch, index_t vocab,
                      index_t max_labels, index_t blank, index_t workers) {
  __shared__ float blanks[LABEL_LIMIT + 1], posterior[LABEL_LIMIT + 1];
  index_t t = blockIdx.x / batch, b = blockIdx.x % batch;
  if (t >= lengths[b] || !feasible[b]) return;
  float* y = grad + (t * batch + b) * vocab;
  if (!(loss[b] < INFINITY)) {
    THREADS(k, vocab) y[k] = isnan(loss[b]) ? NAN : 0.0f;
    return;
  }
  States prefix = states(prefix_mantissas, prefix_exponents, batch, time, max_labels);
  States suffix = states(suffix_mantissas, suffix_exponents, batch, time, max_labels);
  Extendeds totals = {total_mantissas, total_exponents};
  Extended total = load(totals, b);
  int count = label_lengths[b];
  index_t at = (b * time + t) * (max_labels + 1);
  THREADS(u, count + 1) {
    blanks[u] = ratio(load(prefix.blank, at + u), load(suffix.blank, at + u), total);
    posterior[u] = ratio(load(prefix.label, at + u), load(suffix.label, at + u), total);
  }
  BARRIER;
  float sum = block_sum(blanks, count + 1);
  const int *starts = first + b * (max_labels + 2), *follow = next + b * (max_labels + 2);
  THREADS(i, count + 1) {
    if (i == 0) {
      y[blank] -= sum;
    } else if (starts[i] == i) {
      float labelled = 0.0f;
      for (int u = i; u <= count; u = follow[u]) labelled += posterior[u];
      y[labels[b * max_labels + i - 1]] -= labelled;
    }
  }
}
