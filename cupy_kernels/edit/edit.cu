// Edit distances of whole batches of pairs (a, b), and what follows from their table.
//
// a [batch, max_a], b [batch, max_b] with lengths [batch]: int32, any values. D[i, j] is the
// distance between the first i labels of b and the first j of a:
//   D[i, j] = min(D[i - 1, j - 1] + (b[i] != a[j]), D[i - 1, j] + 1, D[i, j - 1] + 1).
// edit_distance, edit_rows and edit_counts compute whole tables in bits, LANES pairs to a thread,
// `threads` threads to a block (columns.h). edit_next_row and edit_completion work on one column
// of it, which the caller knows as the row of a hypothesis, with a block per row.
#include "columns.h"
#include "functions.h"

struct Batch {
  const int *a, *a_lengths, *b, *b_lengths;
  const index_t* order;  // in which the pairs are taken: such of similar lengths go together
  index_t size, max_a, max_b;
};

DEVICE Pair get_pair(Batch batch, index_t place) {
  Pair none = {batch.a, batch.b, 0, 0};
  if (place >= batch.size) return none;
  index_t n = batch.order[place];
  Pair p = {batch.a + n * batch.max_a, batch.b + n * batch.max_b, batch.a_lengths[n],
            batch.b_lengths[n]};
  return p;
}

// The space of a thread has max_columns, max_rows of the bundle at most: numbers
// [slots + max_rows + LANES (max_columns + max_rows)], words
// [LANES (max_rows + 1 + 2 ceil(max_columns / 64))].
DEVICE Bundle get_bundle(index_t slots, int* numbers, word_t* words, index_t max_columns,
                         index_t max_rows, index_t space) {
  index_t chunks = (max_columns + 63) / 64;
  numbers += space * (slots + max_rows + LANES * (max_columns + max_rows));
  words += space * LANES * (max_rows + 1 + 2 * chunks);
  Bundle s;
  s.columns = s.rows = 0;
  s.slots = (unsigned)slots;
  s.first = numbers, s.taken = s.first + slots;
  s.a_numbers = s.taken + max_rows, s.b_numbers = s.a_numbers + LANES * max_columns;
  s.masks = words, s.steps = (Column*)(words + LANES * (max_rows + 1));
  return s;
}

DEVICE void put_pair(Bundle* s, int lane, Pair p) {
  s->pairs[lane] = p;
  s->columns = p.a_length > s->columns ? p.a_length : s->columns;
  s->rows = p.b_length > s->rows ? p.b_length : s->rows;
}

#define BUNDLES(batch, threads) (((batch) + LANES * (threads) - 1) / (LANES * (threads)))

KERNEL edit_distance(const int* a, const int* a_lengths, const int* b, const int* b_lengths,
                     const index_t* order, int* distances, int* numbers, word_t* words,
                     index_t batch, index_t max_a, index_t max_b, index_t slots, index_t threads,
                     index_t workers) {
  Batch all = {a, a_lengths, b, b_lengths, order, batch, max_a, max_b};
  index_t columns = max_a < max_b ? max_a : max_b, rows = max_a < max_b ? max_b : max_a;
  BLOCKS(block, BUNDLES(batch, threads)) {
    THREADS(t, threads) {
      index_t place = (block * threads + t) * LANES;
      Bundle s = get_bundle(slots, numbers, words, columns, rows, WORKER * threads + t);
      for (int lane = 0; lane < LANES; ++lane)
        put_pair(&s, lane, longer_second(without_affixes(get_pair(all, place + lane))));
      prepare(&s);
      int distance[LANES];
      for (int lane = 0; lane < LANES; ++lane) distance[lane] = s.pairs[lane].a_length;
      for (int top = 0; top < s.rows; top += 64) {
        Column end = sweep(&s, top, 0);
        for (int lane = 0; lane < LANES; ++lane) {
          word_t used = low_bits(s.pairs[lane].b_length - top);
          distance[lane] += count_bits(get_lane(end.plus, lane) & used);
          distance[lane] -= count_bits(get_lane(end.minus, lane) & used);
        }
      }
      for (int lane = 0; lane < LANES && place + lane < batch; ++lane)
        distances[order[place + lane]] = distance[lane];
    }
  }
}

// rows [batch, max_b + 1]: D[i, length of a] for all i; behind the length of b its last value.
KERNEL edit_rows(const int* a, const int* a_lengths, const int* b, const int* b_lengths,
                 const index_t* order, int* rows, int* numbers, word_t* words, index_t batch,
                 index_t max_a, index_t max_b, index_t slots, index_t threads, index_t workers) {
  Batch all = {a, a_lengths, b, b_lengths, order, batch, max_a, max_b};
  BLOCKS(block, BUNDLES(batch, threads)) {
    THREADS(t, threads) {
      index_t place = (block * threads + t) * LANES;
      Bundle s = get_bundle(slots, numbers, words, max_a, max_b, WORKER * threads + t);
      for (int lane = 0; lane < LANES; ++lane) put_pair(&s, lane, get_pair(all, place + lane));
      prepare(&s);
      for (int lane = 0; lane < LANES && place + lane < batch; ++lane)
        rows[order[place + lane] * (max_b + 1)] = s.pairs[lane].a_length;
      for (int top = 0; top < max_b; top += 64) {
        Column end = {lanes_t{}, lanes_t{}};
        if (top < s.rows) end = sweep(&s, top, 0);
        int count = max_b - top < 64 ? (int)(max_b - top) : 64;
        for (int lane = 0; lane < LANES && place + lane < batch; ++lane) {
          int* row = rows + order[place + lane] * (max_b + 1) + top;
          word_t used = low_bits(s.pairs[lane].b_length - top);
          word_t plus = get_lane(end.plus, lane) & used, minus = get_lane(end.minus, lane) & used;
          for (int i = 0; i < count; ++i)
            row[i + 1] = row[i] + (int)(plus >> i & 1) - (int)(minus >> i & 1);
        }
      }
    }
  }
}

// From the end: a deletion where it is among the best steps; else an insertion where it is and a
// substitution is not, which is where D[i, j - 1] < D[i - 1, j - 1]; else a match or a
// substitution.
DEVICE void trace_back(Pair p, const Column* trace, int columns, int lane, int* counts) {
  int i = p.b_length, j = p.a_length, start = columns - p.a_length;
  counts[0] = counts[1] = counts[2] = 0;
  while (i && j) {
    int row = i - 1;
    const Column* strip = trace + row / 64 * (index_t)columns + start;
    if (get_lane(strip[j - 1].plus, lane) >> row % 64 & 1) {
      --i, ++counts[1];
      continue;
    }
    --j;
    if (j && get_lane(strip[j - 1].minus, lane) >> row % 64 & 1)
      ++counts[2];
    else
      --i, counts[0] += p.b[i] != p.a[j];
  }
  counts[1] += i, counts[2] += j;
}

// counts [batch, 3]: substitutions, deletions, insertions. trace [threads of all workers,
// ceil(max_b / 64), max_a, 2 LANES].
KERNEL edit_counts(const int* a, const int* a_lengths, const int* b, const int* b_lengths,
                   const index_t* order, int* counts, int* numbers, word_t* words, word_t* trace,
                   index_t batch, index_t max_a, index_t max_b, index_t slots, index_t threads,
                   index_t workers) {
  Batch all = {a, a_lengths, b, b_lengths, order, batch, max_a, max_b};
  BLOCKS(block, BUNDLES(batch, threads)) {
    THREADS(t, threads) {
      index_t place = (block * threads + t) * LANES, space = WORKER * threads + t;
      Bundle s = get_bundle(slots, numbers, words, max_a, max_b, space);
      Column* table = (Column*)trace + space * ((max_b + 63) / 64) * max_a;
      for (int lane = 0; lane < LANES; ++lane)
        put_pair(&s, lane, without_affixes(get_pair(all, place + lane)));
      prepare(&s);
      for (int top = 0; top < s.rows; top += 64)
        sweep(&s, top, table + top / 64 * (index_t)s.columns);
      for (int lane = 0; lane < LANES && place + lane < batch; ++lane)
        trace_back(s.pairs[lane], table, s.columns, lane, counts + 3 * order[place + lane]);
    }
  }
}

// The row after one more label of each hypothesis. The steps along the row,
// next[i] <= next[i - 1] + 1, are a running minimum of next[i] - i, by doubling (Hillis and Steele
// 1986). space [workers, 2, max_b + 1].
KERNEL edit_next_row(const int* rows, const int* labels, const bool* ended, const int* b,
                     const int* b_lengths, int* next_rows, int* space, index_t batch,
                     index_t max_b, index_t workers) {
  index_t width = max_b + 1;
  BLOCKS(n, batch) {
    const int *row = rows + n * width, *target = b + n * max_b;
    int *next = next_rows + n * width, *from = space + WORKER * 2 * width, *to = from + width;
    int length = b_lengths[n], label = labels[n];
    if (ended[n]) {
      THREADS(i, width) next[i] = row[i];
      continue;
    }
    THREADS(i, length + 1) {
      int best = row[i] + 1, diagonal = i ? row[i - 1] + (target[i - 1] != label) : best;
      from[i] = (diagonal < best ? diagonal : best) - i;
    }
    BARRIER;
    for (int step = 1; step > 0 && step <= length; step *= 2) {
      THREADS(i, length + 1) {
        int before = i < step ? from[i] : from[i - step];
        to[i] = before < from[i] ? before : from[i];
      }
      BARRIER;
      int* other = from;
      from = to, to = other;
    }
    THREADS(i, width) {
      int place = i < length ? i : length;
      next[i] = from[place] + place;
    }
    BARRIER;
  }
}

// The place of a label in increasing successors, or -1.
DEVICE index_t find_successor(const int* successors, index_t count, int label) {
  if (!count || label < successors[0] || label > successors[count - 1]) return -1;
  index_t lowest = successors[0], highest = successors[count - 1];
  if (highest - lowest == count - 1) return label - lowest;
  index_t low = 0, high = count - 1;
  while (low < high) {
    index_t middle = (low + high) / 2;
    if (successors[middle] < label)
      low = middle + 1;
    else
      high = middle;
  }
  return successors[low] == label ? low : -1;
}

// distances [batch, count]. After a label s the least of the next row is the least of the row
// where b goes on with s from there, and one more otherwise (Sabour et al. 2018).
KERNEL edit_completion(const int* rows, const int* b, const int* b_lengths, const int* successors,
                       int* distances, index_t batch, index_t max_b, index_t count,
                       index_t workers) {
  BLOCKS(n, batch) {
    const int *row = rows + n * (max_b + 1), *target = b + n * max_b;
    int *out = distances + n * count, length = b_lengths[n];
    int least = block_min(row, length + 1);
    THREADS(k, count) out[k] = least + 1;
    BARRIER;
    THREADS(i, length) {
      index_t k = row[i] == least ? find_successor(successors, count, target[i]) : -1;
      if (k >= 0) out[k] = least;  // of several threads, the same
    }
  }
}
