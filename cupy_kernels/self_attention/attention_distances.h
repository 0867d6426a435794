// Shifts of keys on the host, one for each distance: a product of queries with all of them has what
// they add to energies, and slopes are summed up by distance before they become gradients.
#pragma once
#ifndef __CUDACC__

#include "attention_tiles.h"

// The shifts of distances that some pair of frames has, packed once, and what each thread needs.
class Distances {
 public:
  index_t reach, rows;  // the largest distance, and how many there are

  Distances(const Attention& a, index_t workers)
      : reach(a.by_distance() && a.time ? least(a.clipping, a.time - 1) : -1),
        rows(reach < 0 ? 0 : 2 * reach + 1),
        a_(a),
        products_(QUERIES * padded(rows)),
        size_(products_ + padded(rows) + 2 * WIDTH),
        across_(padded(rows) * a.key_size),
        along_(of_head()),
        data_(rows ? workers * size_ : 0) {
    if (rows == 0) return;
    const float* first = a.key_shift + (a.clipping - reach) * a.key_size;
    pack_transposed(first, a.key_size, rows, a.key_size, across_.data());
    pack(rows_of(first, a.key_size, rows), a.key_size, along_.data());
  }

  // What the shifts add to the energies of a tile, in panels of its keys.
  void energies(Tile t, const Rows& queries, float* energies) const {
    float *products = data(), *row = products + products_, *from = row + WIDTH;
    for (index_t d = 0; d < rows; d += WIDTH)
      panel_product<P>({queries.data(), 0, 1}, t.count,
                       {across_.data() + d * a_.key_size, a_.key_size}, a_.key_size, false,
                       products + d * t.count, rows - d);
    for (index_t r = 0; r < t.count; ++r) {
      // The first and the last are repeated, so that any panel of keys is a piece of the row.
      for (index_t d = 0; d < rows; d += WIDTH)
        memcpy(from + d, products + d * t.count + r * WIDTH, WIDTH * sizeof(float));
      float first = from[0], last = from[rows - 1];
      THREADS(j, WIDTH) row[j] = first;
      THREADS(j, WIDTH) from[rows + j] = last;
      index_t i = t.first + r, seen = a_.keys(i, a_.length(t.n / a_.heads));
      float* to = energies + r * WIDTH;
      for (index_t key = 0; key < seen; key += WIDTH, to += t.count * WIDTH) {
        index_t d = key - i + reach;
        memcpy(to, from + (d < -WIDTH ? -WIDTH : least(d, rows)), WIDTH * sizeof(float));
      }
    }
  }

  // Sums up the slopes of a tile by distance.
  void sum_up(Tile t, const float* slopes, index_t stride) const {
    float* to = data();
    for (index_t r = 0; r < t.count; ++r, slopes += stride, to += padded(rows)) {
      index_t i = t.first + r, seen = a_.keys(i, a_.length(t.n / a_.heads));
      index_t near = i < reach ? 0 : least(i - reach + 1, seen);  // keys before: all the first
      index_t far = i + reach < near ? near : least(i + reach, seen);
      memset(to, 0, rows * sizeof(float));
      memcpy(to + near - i + reach, slopes + near, (far - near) * sizeof(float));
      to[0] += block_sum(slopes, (int)near);
      to[rows - 1] += block_sum(slopes + far, (int)(seen - far));
    }
  }
  // sums [count, WIDTH] += the shifts from `column` on by what `sum_up` has found.
  void add_to_queries(Tile t, index_t column, float* sums) const {
    Rows by_distance = rows_of(data(), padded(rows), t.count);
    panel_product<P>({by_distance.data(), 0, 1}, t.count, {along_.data() + column * rows, rows},
                     rows, true, sums);
  }
  // d_shifts (in panels) += the packed queries by what `sum_up` has found.
  void add_to_shifts(Tile t, const float* queries, float* d_shifts) const {
    add_by_columns({data(), padded(rows), rows}, queries, t.count, a_.key_size, d_shifts, rows);
  }

  // The gradient of all shifts: what heads have added, [all_heads, of_head()], one after the other.
  void total(const float* d_shifts, float* d_key_shift, index_t workers) const {
    BLOCKS(k, 2 * a_.clipping + 1) {
      float* to = d_key_shift + k * a_.key_size;
      index_t row = k - a_.clipping + reach;
      memset(to, 0, a_.key_size * sizeof(float));
      for (index_t n = 0; n < a_.all_heads() && row >= 0 && row < rows; ++n) {
        const float* from = d_shifts + n * of_head() + row * WIDTH;
        for (index_t column = 0; column < a_.key_size; column += WIDTH)
          copy_rows(from + column * rows, 1, (int)least(a_.key_size - column, WIDTH), to + column,
                    0, true);
      }
    }
  }
  index_t of_head() const { return rows * padded(a_.key_size); }

 private:
  float* data() const { return data_.data() + team_index() * size_; }

  const Attention& a_;
  index_t products_, size_;
  Space<float> across_, along_, data_;
};

#endif
