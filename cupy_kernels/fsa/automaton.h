// A batch of automata as plan.py lays them out, and one sequence of it.
#pragma once
#include "kernel.h"

enum { FORWARD, BACKWARD };
// Rows of the offsets: where the edges, states, ... of a sequence begin, and those of the next.
enum { EDGES, STATES, ROUNDS, BACKWARD_ROUNDS, LABELS, PIECES };

struct Automata {
  const index_t *offsets, *rounds;
  const int *neighbour, *label;
  const float *cost, *start, *final;
  const int *across, *state, *label_ids;
  const index_t *label_pieces, *pieces;
  const int* members;
  index_t edges, batch;
};

// The parameters of a kernel over automata, and what makes an Automata of them.
#define AUTOMATA_PARAMETERS                                                              \
  const index_t *offsets, const index_t *rounds, const int *neighbour, const int *label, \
      const float *cost, const float *start, const float *final, const int *across,      \
      const int *state, const int *label_ids, const index_t *label_pieces,               \
      const index_t *pieces, const int *members, index_t edges, index_t batch
#define AUTOMATA                                                                         \
  {offsets, rounds,    neighbour,    label,  cost,    start, final, across,              \
   state,   label_ids, label_pieces, pieces, members, edges, batch}

struct Span {
  index_t begin;
  int count;
};

DEVICE Span span(const index_t* begins, index_t i) {
  Span s = {begins[i], (int)(begins[i + 1] - begins[i])};
  return s;
}

DEVICE Span part(const index_t* offsets, int row, index_t b, index_t batch) {
  return span(offsets + row * (batch + 1), b);
}

// A sequence in the order of one sweep; edges count from its first one.
struct Sweep {
  const index_t* rounds;
  index_t first;
  int states, edges, round_count;
  const int *neighbour, *label;
  const float* cost;
};

DEVICE Sweep sweep(Automata a, int direction, index_t b) {
  Span edges = part(a.offsets, EDGES, b, a.batch);
  Span rounds = part(a.offsets, ROUNDS + direction, b, a.batch);
  index_t skip = direction * a.edges + edges.begin;
  Sweep s;
  s.rounds = a.rounds + rounds.begin, s.round_count = rounds.count;
  s.first = edges.begin, s.edges = edges.count;
  s.states = part(a.offsets, STATES, b, a.batch).count;
  s.neighbour = a.neighbour + skip, s.label = a.label + skip, s.cost = a.cost + skip;
  return s;
}

// The edges of round r: edge begin + i is one of the state at position i.
DEVICE Span round_edges(Sweep s, int r) {
  Span round = span(s.rounds, r);
  round.begin -= s.first;
  return round;
}
