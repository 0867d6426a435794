// The joint network of a transducer: at each node (frame t, u labels out) of the lattice,
//
//   h = dropout(activation(encoder[t] + predictor[u])),   x = h weight + bias,
//
// and the scores of the steps from there. Either the blank is a class of one softmax; or its column
// is the logit e of a gate: the blank has log sigmoid(-e), label k log sigmoid(e) + log softmax(k),
// the softmax being that of the other columns.
//
// Here: what is done for a single node; and, for use with a library's matrix product, kernels for a
// slice of nodes (joint_host.h has nodes and products in one). encoder [batch, time, inputs];
// predictor [batch, max_labels + 1, inputs]; h, dh [slice, joint]; x [slice, vocab]; inputs is
// 2 joint for maxout, else joint. nodes [slice]: (b time + t) (max_labels + 1) + u.
#pragma once
#include "activation.h"
#include "dropout.h"

struct Node {
  index_t frame, row, b, at;  // row of the encoder, row of the predictor, sequence, the node
  index_t t, u;
};

DEVICE Node node_at(index_t at, index_t time, index_t max_labels) {
  index_t rows = max_labels + 1, frame = at / rows, b = frame / time, u = at % rows;
  Node n = {frame, b * rows + u, b, at, frame % time, u};
  return n;
}

// Its first entry's number in the stream of dropout.
DEVICE index_t dropout_place(const index_t* dropout, Node n) {
  return n.b * dropout[BATCH] + n.t * dropout[TIME] + n.u * dropout[ROW];
}

// The scale of what dropout keeps, 1 without.
DEVICE float kept_scale(const index_t* dropout) {
  return dropout[THRESHOLD] ? dropout_scale(dropout) : 1.0f;
}

// What the steps from a node need: the sequences, and the scores or their gradient.
struct Outputs {
  const int *labels, *label_lengths;
  float *blank, *label, *repeat;  // as in transducer.cu
  float* log_norm;                // [batch, time, max_labels + 1]: log of the softmax's denominator
  index_t max_labels, blank_column, separate, repetition;
};

// Columns of the next label and of the last one, -1 where there is none to be emitted.
DEVICE index_t next_label(Outputs y, Node n) {
  return n.u < y.label_lengths[n.b] ? y.labels[n.b * y.max_labels + n.u] : -1;
}

DEVICE index_t last_label(Outputs y, Node n) {
  return y.repetition && n.u > 0 ? y.labels[n.b * y.max_labels + n.u - 1] : -1;
}

// Where the score of the next label stands; that of the last one is one before.
DEVICE index_t place(Outputs y, Node n) { return n.frame * y.max_labels + n.u; }

// From the logits of the blank, of the next label and of the last one; log_norm = top + log_sum.
DEVICE void write_scores(Outputs y, Node n, float top, float log_sum, float blank, float next,
                         float last) {
  float gate = y.separate ? log_sigmoid(blank) : 0.0f;
  y.log_norm[n.at] = top + log_sum;
  y.blank[n.at] = y.separate ? log_sigmoid(-blank) : blank - top - log_sum;
  if (next_label(y, n) >= 0) y.label[place(y, n)] = next - top - log_sum + gate;
  if (last_label(y, n) >= 0) y.repeat[place(y, n) - 1] = last - top - log_sum + gate;
}

// The gradient of the scores of a node; minus their sum, of those that the softmax is part of.
struct NodeGradient {
  float blank, next, last, mass;
};

DEVICE NodeGradient node_gradient(Outputs y, Node n) {
  NodeGradient g;
  g.blank = y.blank[n.at];
  g.next = next_label(y, n) >= 0 ? y.label[place(y, n)] : 0.0f;
  g.last = last_label(y, n) >= 0 ? y.repeat[place(y, n) - 1] : 0.0f;
  g.mass = -(g.next + g.last + (y.separate ? 0.0f : g.blank));
  return g;
}

// Turns mass * softmax into the gradient of the logits; blank: the blank's logit.
DEVICE void finish_gradient(Outputs y, Node n, NodeGradient g, float blank, float* dx) {
  if (y.separate)
    dx[y.blank_column] = -g.blank * sigmoid(blank) - g.mass * sigmoid(-blank);
  else
    dx[y.blank_column] += g.blank;
  if (next_label(y, n) >= 0) dx[next_label(y, n)] += g.next;
  if (last_label(y, n) >= 0) dx[last_label(y, n)] += g.last;
}

KERNEL joint_hidden(const float* encoder, const float* predictor, const index_t* dropout,
                    const index_t* nodes, float* h, index_t count, index_t time,
                    index_t max_labels, index_t inputs, index_t joint, index_t activation,
                    index_t workers) {
  BLOCKS(i, count) {
    Node n = node_at(nodes[i], time, max_labels);
    hidden_row(activation, encoder + n.frame * inputs, predictor + n.row * inputs, joint,
               h + i * joint);
    BARRIER;
    if (dropout[THRESHOLD]) drop_row(dropout, dropout_place(dropout, n), joint, h + i * joint);
  }
}

// x enters without bias.
KERNEL joint_scores(float* x, const float* bias, const index_t* nodes, const int* labels,
                    const int* label_lengths, float* blank, float* label, float* repeat,
                    float* log_norm, index_t count, index_t time, index_t max_labels,
                    index_t vocab, index_t blank_column, index_t separate, index_t repetition,
                    index_t workers) {
  Outputs y = {labels, label_lengths, blank, label, repeat, log_norm,
               max_labels, blank_column, separate, repetition};
  BLOCKS(i, count) {
    Node n = node_at(nodes[i], time, max_labels);
    float* row = x + i * vocab;
    THREADS(k, vocab) row[k] += bias[k];
    BARRIER;
    float at_blank = row[blank_column];
    float next = next_label(y, n) < 0 ? 0.0f : row[next_label(y, n)];
    float last = last_label(y, n) < 0 ? 0.0f : row[last_label(y, n)];
    BARRIER;
    if (separate) row[blank_column] = -INFINITY;
    BARRIER;
    float top = block_max(row, (int)vocab);
    THREADS(k, vocab) row[k] = exp_fast(row[k] - top);
    BARRIER;
    float sum = block_sum(row, (int)vocab);
    write_scores(y, n, top, logf(sum), at_blank, next, last);
  }
}

// x enters without bias, and leaves as its gradient.
KERNEL joint_gradient(float* x, const float* bias, const index_t* nodes, const int* labels,
                      const int* label_lengths, float* blank, float* label, float* repeat,
                      float* log_norm, index_t count, index_t time, index_t max_labels,
                      index_t vocab, index_t blank_column, index_t separate, index_t repetition,
                      index_t workers) {
  Outputs y = {labels, label_lengths, blank, label, repeat, log_norm,
               max_labels, blank_column, separate, repetition};
  BLOCKS(i, count) {
    Node n = node_at(nodes[i], time, max_labels);
    float* row = x + i * vocab;
    NodeGradient g = node_gradient(y, n);
    float norm = log_norm[n.at], at_blank = row[blank_column] + bias[blank_column];
    BARRIER;
    THREADS(k, vocab) row[k] = g.mass * exp_fast(row[k] + bias[k] - norm);
    BARRIER;
    THREADS(once, 1) finish_gradient(y, n, g, at_blank, row);
  }
}

// dh leaves as that before dropout.
KERNEL joint_input_gradient(const float* encoder, const float* predictor, const index_t* dropout,
                            const index_t* nodes, const float* h, float* dh, float* dz,
                            index_t count, index_t time, index_t max_labels, index_t inputs,
                            index_t joint, index_t activation, index_t workers) {
  BLOCKS(i, count) {
    Node n = node_at(nodes[i], time, max_labels);
    if (dropout[THRESHOLD]) drop_row(dropout, dropout_place(dropout, n), joint, dh + i * joint);
    BARRIER;
    input_gradient(activation, encoder + n.frame * inputs, predictor + n.row * inputs,
                   h + i * joint, dh + i * joint, kept_scale(dropout), (int)joint,
                   dz + i * inputs);
  }
}

// out [segments, width] += the rows order[starts[s]] to order[starts[s + 1] - 1] of x, in order.
KERNEL joint_segment_sums(const float* x, const index_t* order, const index_t* starts, float* out,
                          index_t segments, index_t width, index_t workers) {
  BLOCKS(s, segments) {
    THREADS(j, width) {
      float sum = out[s * width + j];
      for (index_t i = starts[s]; i < starts[s + 1]; ++i) sum += x[order[i] * width + j];
      out[s * width + j] = sum;
    }
  }
}
