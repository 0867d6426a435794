// A pair of label sequences, and its labels, any 32 bits, as small numbers.
#pragma once
#include "lanes.h"

struct Pair {
  const int *a, *b;
  int a_length, b_length;
};

// What a and b begin and end with alike costs nothing.
DEVICE Pair without_affixes(Pair p) {
  while (p.a_length && p.b_length && *p.a == *p.b) ++p.a, ++p.b, --p.a_length, --p.b_length;
  while (p.a_length && p.b_length && p.a[p.a_length - 1] == p.b[p.b_length - 1])
    --p.a_length, --p.b_length;
  return p;
}

DEVICE Pair longer_second(Pair p) {
  Pair swapped = {p.b, p.a, p.b_length, p.a_length};
  return p.a_length > p.b_length ? swapped : p;
}

// Where the numbers of a pair go, LANES apart, and what it takes to find them: `first`, zero
// before and after, has the number at the label's slot; `taken` has the slots of b.
struct Numbers {
  int *a, *b;
  int* first;  // [slots]
  int* taken;  // [most labels of b]
  unsigned slots;
};

// The number of a label is 1 + the first place in b that has it, or 0. Labels of b that lie close
// together have a slot each. Loops that only write and loops that only read: a processor that has
// to wait for a store before it can load takes three times as long.
DEVICE void number_by_place(Pair p, Numbers n, unsigned lowest) {
  for (int i = p.b_length - 1; i >= 0; --i) n.first[(unsigned)p.b[i] - lowest] = i + 1;
  for (int i = 0; i < p.b_length; ++i)
    n.b[i * (index_t)LANES] = n.first[(unsigned)p.b[i] - lowest];
  for (int j = 0; j < p.a_length; ++j) {
    unsigned slot = (unsigned)p.a[j] - lowest;
    bool inside = slot < n.slots;
    int number = n.first[inside ? slot : 0];
    n.a[j * (index_t)LANES] = inside ? number : 0;
  }
  for (int i = 0; i < p.b_length; ++i) n.first[(unsigned)p.b[i] - lowest] = 0;
}

// The slot that has the label, or the free one where it would be. Slots, a power of two, are more
// than the labels of b.
DEVICE unsigned find_slot(Pair p, Numbers n, int label) {
  unsigned slot = (unsigned)label * 2654435769u;  // 2^32 / golden ratio (Knuth 1973, 6.4)
  slot = (slot ^ slot >> 16) & (n.slots - 1);
  while (n.first[slot] && p.b[n.first[slot] - 1] != label) slot = (slot + 1) & (n.slots - 1);
  return slot;
}

DEVICE void number_by_hash(Pair p, Numbers n) {
  for (int i = 0; i < p.b_length; ++i) {
    unsigned slot = find_slot(p, n, p.b[i]);
    int number = n.first[slot] ? n.first[slot] : i + 1;
    n.b[i * (index_t)LANES] = n.first[slot] = number;
    n.taken[i] = (int)slot;
  }
  for (int j = 0; j < p.a_length; ++j)
    n.a[j * (index_t)LANES] = n.first[find_slot(p, n, p.a[j])];
  for (int i = 0; i < p.b_length; ++i) n.first[n.taken[i]] = 0;
}

DEVICE void number_labels(Pair p, Numbers n) {
  int lowest = p.b_length ? p.b[0] : 0, highest = lowest;
  for (int i = 0; i < p.b_length; ++i) {
    lowest = p.b[i] < lowest ? p.b[i] : lowest;
    highest = p.b[i] > highest ? p.b[i] : highest;
  }
  if ((unsigned)highest - (unsigned)lowest < n.slots)
    number_by_place(p, n, (unsigned)lowest);
  else
    number_by_hash(p, n);
}
