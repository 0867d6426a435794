// Where the numbers of self-attention lie, and which keys a query sees.
#pragma once
#include "frames.h"
#include "functions.h"

// qkv [batch, time, heads, columns]: of a head its query, its key, and its value. A head of one of
// the sequences has one number n = b heads + h. Arrays of values are [batch, time, heads,
// value_size].
struct Attention {
  const float *qkv, *key_shift;  // key_shift may be null, see shift_row
  const int* lengths;            // null: all frames count
  index_t batch, time, heads, key_size, value_size, left_only, every_query, clipping;

  index_t columns() const { return 2 * key_size + value_size; }
  index_t row() const { return heads * columns(); }
  index_t value_row() const { return heads * value_size; }
  index_t all_heads() const { return batch * heads; }
  float scale() const { return 1.0f / sqrtf((float)key_size); }
  index_t length(index_t b) const { return length_of(lengths, b, time); }
  // Those behind the end of a sequence see all of its keys, if there are any.
  index_t queries(index_t b) const {
    index_t frames = length(b);
    return every_query && frames ? time : frames;
  }
  // Those that query i of so many frames sees.
  index_t keys(index_t i, index_t length) const {
    return left_only && i < length ? i + 1 : length;
  }

  index_t at(index_t n, index_t t) const {
    return (n / heads * time + t) * row() + n % heads * columns();
  }
  index_t value_at(index_t n, index_t t) const {
    return ((n / heads * time + t) * heads + n % heads) * value_size;
  }
  const float* query(index_t n, index_t t) const { return qkv + at(n, t); }
  const float* key(index_t n, index_t t) const { return query(n, t) + key_size; }
  const float* value(index_t n, index_t t) const { return key(n, t) + key_size; }

  bool by_pair() const { return key_shift && clipping < 0; }
  bool by_distance() const { return key_shift && clipping >= 0; }
  // Which of the shifts is added to key j for query i: one of [time, time] pairs or, where clipping
  // is not below 0, of the distances from -clipping to clipping.
  index_t shift_row(index_t i, index_t j) const {
    if (clipping < 0) return i * time + j;
    index_t distance = j - i < -clipping ? -clipping : j - i;
    return clipping + (distance > clipping ? clipping : distance);
  }
  const float* shift(index_t i, index_t j) const { return key_shift + shift_row(i, j) * key_size; }
};
