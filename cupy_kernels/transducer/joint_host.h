// The joint network on the host: nodes and matrix products in one (product.h), so that logits are
// used while they are in the nearest cache. Only nodes that are asked for cost anything.
#pragma once
#include "joint.h"
#include "product.h"

#define CHUNK (16 * Float32::ROWS)               // nodes that take turns with a panel of the weight
#define SLICE (2 * Factor<Float32>::MOST_WORDS)  // nodes between two barriers

struct Network {
  const float *encoder, *predictor, *weight, *bias;
  const index_t *dropout, *nodes;
  index_t count, time, inputs, joint, vocab, activation;
  Outputs y;

  Node node(index_t i) const { return node_at(nodes[i], time, y.max_labels); }
  const float* e(Node n) const { return encoder + n.frame * inputs; }
  const float* p(Node n) const { return predictor + n.row * inputs; }
  index_t panels() const { return ceil_div(vocab, WIDTH); }
  void hidden(Node n, float* h) const {
    hidden_row(activation, e(n), p(n), joint, h);
    drop(n, 0, joint, h);
  }
  void drop(Node n, index_t column, index_t columns, float* x) const {
    if (dropout[THRESHOLD]) drop_row(dropout, dropout_place(dropout, n) + column, columns, x);
  }
};

DEVICE int panel_width(index_t panel, index_t columns) {
  index_t rest = columns - panel * WIDTH;
  return (int)(rest < WIDTH ? rest : WIDTH);
}

// The weight in panels, and the bias in as many numbers, -inf where there is no column.
class Weight {
 public:
  Weight(const Network& net, index_t workers)
      : joint_(net.joint), panels_(net.panels() * net.joint * WIDTH), bias_(net.panels() * WIDTH) {
    std::vector<const float*> rows;
    for (index_t j = 0; j < net.joint; ++j) rows.push_back(net.weight + j * net.vocab);
    BLOCKS(p, net.panels()) {
      int valid = panel_width(p, net.vocab);
      Gathered<Float32> all = {rows.data(), net.joint};
      gather_panel(all, p * WIDTH, valid, panel(p));
      for (int i = 0; i < WIDTH; ++i)
        bias_.data()[p * WIDTH + i] = i < valid ? net.bias[p * WIDTH + i] : -INFINITY;
    }
  }
  Panel<Float32> panel(index_t p) const { return {panels_.data() + p * joint_ * WIDTH, joint_}; }
  const float* bias(index_t p) const { return bias_.data() + p * WIDTH; }

 private:
  index_t joint_;
  Space<float> panels_, bias_;
};

// Softmax's denominators, column by column: a maximum and a sum per lane.
struct Norm {
  float top[LANES], sum[LANES];

  void clear() {
    for (int i = 0; i < LANES; ++i) top[i] = -3e38f, sum[i] = 0.0f;
  }
  void add(const float* x) {  // WIDTH numbers
    THREADS(i, LANES) {
      float m = top[i];
      for (int j = 0; j < 4; ++j) m = x[i + j * LANES] > m ? x[i + j * LANES] : m;
      float s = sum[i] * exp_fast(top[i] - m);
      for (int j = 0; j < 4; ++j) s += exp_fast(x[i + j * LANES] - m);
      top[i] = m, sum[i] = s;
    }
  }
  float highest() const { return block_max(top, LANES); }
  float log_sum() const {
    float part[LANES], most = highest();
    for (int i = 0; i < LANES; ++i) part[i] = sum[i] * exp_fast(top[i] - most);
    return logf(block_sum(part, LANES));
  }
};

// The scores of up to CHUNK nodes, panel by panel.
class ScoreChunk {
 public:
  ScoreChunk(const Network& net, index_t first) : net_(net), hidden_(CHUNK * net.joint) {
    count_ = (int)(net.count - first < CHUNK ? net.count - first : CHUNK);
    for (int i = 0; i < count_; ++i) {
      node_[i] = net.node(first + i);
      rows_[i] = hidden_.data() + i * net.joint;
      net.hidden(node_[i], hidden_.data() + i * net.joint);
      norm_[i].clear();
      column_[i][0] = net.y.blank_column;
      column_[i][1] = next_label(net.y, node_[i]);
      column_[i][2] = last_label(net.y, node_[i]);
    }
  }

  void run(const Weight& weight) {
    for (index_t p = 0; p < net_.panels(); ++p) {
      panel_product<Float32>(rows_, count_, weight.panel(p), false, tile_);
      for (int i = 0; i < count_; ++i) absorb(i, p, weight.bias(p), tile_ + i * WIDTH);
    }
    for (int i = 0; i < count_; ++i)
      write_scores(net_.y, node_[i], norm_[i].highest(), norm_[i].log_sum(), logit_[i][0],
                   logit_[i][1], logit_[i][2]);
  }

 private:
  void absorb(int i, index_t p, const float* bias, float* x) {
    THREADS(k, WIDTH) x[k] += bias[k];
    for (int kind = 0; kind < 3; ++kind) {
      index_t k = column_[i][kind] - p * WIDTH;
      if (k >= 0 && k < WIDTH) logit_[i][kind] = x[k];
    }
    index_t blank = net_.y.blank_column - p * WIDTH;
    if (net_.y.separate && blank >= 0 && blank < WIDTH) x[blank] = -INFINITY;
    norm_[i].add(x);
  }

  const Network& net_;
  Space<float> hidden_;
  int count_;
  Node node_[CHUNK];
  const float* rows_[CHUNK];
  Norm norm_[CHUNK];
  index_t column_[CHUNK][3];  // of the blank, of the next label, of the last one
  float logit_[CHUNK][3];
  float tile_[CHUNK * WIDTH] __attribute__((aligned(64)));
};

KERNEL joint_forward(const float* encoder, const float* predictor, const float* weight,
                     const float* bias, const index_t* dropout, const index_t* nodes,
                     const int* labels, const int* label_lengths, float* blank, float* label,
                     float* repeat, float* log_norm,
                     index_t count, index_t time, index_t max_labels,
                     index_t inputs, index_t joint, index_t vocab, index_t activation,
                     index_t blank_column, index_t separate, index_t repetition,
                     index_t workers) {
  Outputs y = {labels, label_lengths, blank, label, repeat, log_norm,
               max_labels, blank_column, separate, repetition};
  Network net = {encoder, predictor, weight, bias, dropout, nodes, count,
                 time, inputs, joint, vocab, activation, y};
  Weight panels(net, workers);
  BLOCKS(chunk, ceil_div(count, CHUNK)) ScoreChunk(net, chunk * CHUNK).run(panels);
}

// A slice of nodes on the way back: each row is made by one member of the team, then each column
// of the sums over rows, in the order of the rows.
class JointBackward {
 public:
  JointBackward(const Network& net, const Weight& weight, index_t workers)
      : net_(net),
        weight_(weight),
        transposed_(ceil_div(net.joint, WIDTH) * net.vocab * WIDTH),
        hidden_(SLICE * net.joint),
        dx_(SLICE * net.vocab),
        dz_(SLICE * net.inputs),
        packed_(Factor<Float32>::space(net.joint)) {
    BLOCKS(p, ceil_div(net.joint, WIDTH))
      pack_columns<Float32>(net.weight + p * WIDTH * net.vocab, net.vocab, net.vocab,
                            panel_width(p, net.joint), transposed(p));
    for (index_t i = 0; i < SLICE; ++i) {
      hidden_rows_.push_back(hidden_.data() + i * net.joint);
      dx_rows_.push_back(dx_.data() + i * net.vocab);
    }
  }

  // Every member of a team calls it.
  void run(float* d_encoder, float* d_predictor, float* d_weight, float* d_bias, Team& team) {
    std::vector<Factor<Float32>> factors = {
        {net_.joint, hidden_rows_.data(), packed_.data(), d_weight}};
    Space<float> tile(CHUNK * WIDTH);
    int size = team_size(), member = team_index();
    for (index_t first = 0; first < net_.count; first += SLICE) {
      index_t count = net_.count - first < SLICE ? net_.count - first : SLICE;
      const int height = Float32::ROWS;
      Share rows = share(ceil_div(count, height), member, size);
      rows.begin *= height, rows.end *= height;
      if (rows.end > count) rows.end = count;
      for (index_t i = rows.begin; i < rows.end; i += CHUNK)
        chunk(first, i, rows.end - i < CHUNK ? rows.end - i : CHUNK, tile.data());
      team.wait(size);
      add_transposed_products(factors, dx_rows_.data(), count, net_.vocab, d_bias, team);
      add_inputs(first, count, share(net_.inputs, member, size), d_encoder, d_predictor);
      team.wait(size);
    }
  }

 private:
  Panel<Float32> transposed(index_t p) const {
    return {transposed_.data() + p * net_.vocab * WIDTH, net_.vocab};
  }

  // Rows start to start + count of the slice from node `first` on: h, dx and dz.
  void chunk(index_t first, index_t start, index_t count, float* tile) {
    index_t joint = net_.joint, vocab = net_.vocab;
    for (index_t i = start; i < start + count; ++i)
      net_.hidden(net_.node(first + i), hidden_.data() + i * joint);
    for (index_t p = 0; p < net_.panels(); ++p) {
      panel_product<Float32>(hidden_rows_.data() + start, count, weight_.panel(p), false, tile);
      for (index_t i = 0; i < count; ++i)
        logit_gradient(net_.node(first + start + i), p, tile + i * WIDTH,
                       dx_.data() + (start + i) * vocab);
    }
    for (index_t i = start; i < start + count; ++i) {
      Node n = net_.node(first + i);
      float* dx = dx_.data() + i * vocab;
      finish_gradient(net_.y, n, node_gradient(net_.y, n), dx[net_.y.blank_column], dx);
    }
    for (index_t p = 0; p < ceil_div(joint, WIDTH); ++p) {
      panel_product<Float32>(dx_rows_.data() + start, count, transposed(p), false, tile);
      for (index_t i = 0; i < count; ++i)
        hidden_gradient(net_.node(first + start + i), p, start + i, tile + i * WIDTH);
    }
  }

  // With a gate of its own, the blank's column holds its logit until the row is finished.
  void logit_gradient(Node n, index_t p, const float* x, float* dx) const {
    const float* bias = weight_.bias(p);
    float mass = node_gradient(net_.y, n).mass, norm = net_.y.log_norm[n.at];
    THREADS(k, panel_width(p, net_.vocab))
      dx[p * WIDTH + k] = mass * exp_fast(x[k] + bias[k] - norm);
    index_t blank = net_.y.blank_column - p * WIDTH;
    if (net_.y.separate && blank >= 0 && blank < WIDTH)
      dx[p * WIDTH + blank] = x[blank] + bias[blank];
  }

  void hidden_gradient(Node n, index_t p, index_t i, float* dh) {
    index_t column = p * WIDTH, input = column * net_.inputs / net_.joint;
    net_.drop(n, column, panel_width(p, net_.joint), dh);
    input_gradient(net_.activation, net_.e(n) + input, net_.p(n) + input,
                   hidden_.data() + i * net_.joint + column, dh, kept_scale(net_.dropout),
                   panel_width(p, net_.joint), dz_.data() + i * net_.inputs + input);
  }

  void add_inputs(index_t first, index_t count, Share columns, float* d_encoder,
                  float* d_predictor) const {
    for (index_t i = 0; i < count; ++i) {
      Node n = net_.node(first + i);
      const float* dz = dz_.data() + i * net_.inputs + columns.begin;
      float* to_encoder = d_encoder + n.frame * net_.inputs + columns.begin;
      float* to_predictor = d_predictor + n.row * net_.inputs + columns.begin;
      THREADS(j, columns.end - columns.begin) {
        to_encoder[j] += dz[j];
        to_predictor[j] += dz[j];
      }
    }
  }

  const Network& net_;
  const Weight& weight_;
  Space<float> transposed_, hidden_, dx_, dz_, packed_;
  std::vector<const float*> hidden_rows_, dx_rows_;
};

// The gradients enter as zeros. blank, label and repeat: the gradient of the scores.
KERNEL joint_backward(const float* encoder, const float* predictor, const float* weight,
                      const float* bias, const index_t* dropout, const index_t* nodes,
                      const int* labels, const int* label_lengths, float* blank, float* label,
                      float* repeat, float* log_norm,
                      float* d_encoder, float* d_predictor, float* d_weight,
                      float* d_bias, index_t count, index_t time, index_t max_labels,
                      index_t inputs, index_t joint, index_t vocab, index_t activation,
                      index_t blank_column, index_t separate, index_t repetition,
                      index_t workers) {
  Outputs y = {labels, label_lengths, blank, label, repeat, log_norm,
               max_labels, blank_column, separate, repetition};
  Network net = {encoder, predictor, weight, bias, dropout, nodes, count,
                 time, inputs, joint, vocab, activation, y};
  Weight panels(net, workers);
  JointBackward backward(net, panels, workers);
  Team team;
#pragma omp parallel num_threads(workers) if (workers > 1)
  backward.run(d_encoder, d_predictor, d_weight, d_bias, team);
}
