// Best path through automata, with the way back (Viterbi).
//
// scores [time, batch, vocab], alignment, states [batch, time]; automata as plan.py lays them out.
// One block per sequence, its threads over the states: a sweep that keeps the best edge into each
// state, then the way back. A state's edges come in the order of ties, and a later one must be
// better. Sums are double: a tie in the scores stays one.
#include "automaton.h"

#define IMPOSSIBLE (-INFINITY)

// Best ways into the states over one frame of scores; `edge` gets the last edge of each.
DEVICE void advance(Sweep s, const int* ids, const float* x, const double* from, double* to,
                    int* edge) {
  THREADS(i, s.states) to[i] = IMPOSSIBLE;
  for (int r = 0; r < s.round_count; ++r) {
    Span round = round_edges(s, r);
    const int *neighbour = s.neighbour + round.begin, *label = s.label + round.begin;
    const float* cost = s.cost + round.begin;
    THREADS(i, round.count) {
      float score = x[ids[label[i]]];
      double frame = (score < INFINITY ? (double)score : IMPOSSIBLE) - cost[i];
      double way = from[neighbour[i]] + frame;
      bool better = way > to[i];
      to[i] = better ? way : to[i];
      edge[i] = better ? (int)round.begin + i : edge[i];
    }
  }
  BARRIER;
}

struct End {
  int position;
  double score;
};

// The best state to end in; of equally good ones the highest.
DEVICE End best_end(Automata a, Span states, const double* best) {
  const int *across = a.across + states.begin, *number = a.state + states.begin;
  End end = {0, IMPOSSIBLE};
  for (int i = 0; i < states.count; ++i) {
    int position = across[i];
    double score = best[position] - a.final[states.begin + i];
    bool higher = number[position] > number[end.position];
    if (score > end.score || (score == end.score && higher)) {
      end.position = position, end.score = score;
    }
  }
  return end;
}

// edge [workers, time, most_states], best [workers, 2, most_states].
KERNEL fsa_best_path(const float* scores, const int* lengths, AUTOMATA_PARAMETERS, int* alignment,
                     int* path_states, float* path_scores, int* edge, double* best, index_t time,
                     index_t vocab, index_t most_states, index_t workers) {
  Automata a = AUTOMATA;
  BLOCKS(b, batch) {
    Sweep s = sweep(a, FORWARD, b);
    Span states = part(offsets, STATES, b, batch);
    const int *ids = label_ids + part(offsets, LABELS, b, batch).begin;
    const int *number = state + states.begin;
    int* edges_into = edge + WORKER * time * most_states;
    double* rows = best + WORKER * 2 * most_states;
    int length = lengths[b];
    THREADS(t, time) alignment[b * time + t] = path_states[b * time + t] = -1;
    THREADS(i, states.count) rows[i] = -(double)start[states.begin + i];
    BARRIER;
    for (index_t t = 0; t < length; ++t) {
      const double* from = rows + t % 2 * most_states;
      double* to = rows + (t + 1) % 2 * most_states;
      const float* x = scores + (t * batch + b) * vocab;
      advance(s, ids, x, from, to, edges_into + t * most_states);
    }
    End end = best_end(a, states, rows + length % 2 * most_states);
    path_scores[b] = (float)end.score;
    THREADS(once, end.score > IMPOSSIBLE) {
      int position = end.position;
      for (index_t t = length - 1; t >= 0; --t) {
        int e = edges_into[t * most_states + position];
        alignment[b * time + t] = ids[s.label[e]];
        path_states[b * time + t] = number[position];
        position = s.neighbour[e];
      }
    }
    BARRIER;
  }
}
