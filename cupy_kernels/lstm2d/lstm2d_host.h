// 2D LSTM on the host: all diagonals in one call, with the matrices packed once.
//
// For each diagonal the threads share the panels of the product of all its cells (product.h), then
// the cells. Rows are read where they lie on the grid; where a cell has no neighbour, zeros.
#pragma once
#include "cell2d.h"
#include "product.h"

// Diagonal d has the numbers bounds[d] to bounds[d + 1] - 1.
struct Diagonals {
  Grid grid;
  const index_t* bounds;
  index_t count;

  index_t total() const { return bounds[count]; }
  index_t widest() const {
    index_t most = 0;
    for (index_t d = 0; d < count; ++d)
      if (bounds[d + 1] - bounds[d] > most) most = bounds[d + 1] - bounds[d];
    return most;
  }
};

// For each of some cells the row in `values` [grid, width] of a neighbour, which lies `distance`
// places away, or zeros.
struct NeighbourRows {
  std::vector<const float*> rows;
  bool any;

  void gather(const Grid& grid, Share cells, const index_t* neighbour, const float* values,
              index_t width, index_t distance, const float* zeros) {
    rows.clear();
    any = false;
    for (index_t i = cells.begin; i < cells.end; ++i) {
      bool exists = neighbour[i] >= 0;
      any = any || exists;
      rows.push_back(exists ? values + (grid.place[i] + distance) * width : zeros);
    }
  }
};

// Both recurrent matrices, or both transposed, in panels [depth, WIDTH], and products with them.
class Panels {
 public:
  Panels(index_t depth, index_t columns)
      : depth_(depth),
        columns_(columns),
        h_(count() * depth * WIDTH),
        v_(count() * depth * WIDTH) {}

  index_t count() const { return ceil_div(columns_, WIDTH); }

  // The matrices are [depth, columns], or, transposed, [columns, depth].
  void pack(Share mine, const float* v_h, const float* v_v, bool transposed) const {
    for (index_t p = mine.begin; p < mine.end; ++p) {
      pack_panel(p, v_h, transposed, panel(h_, p));
      pack_panel(p, v_v, transposed, panel(v_, p));
    }
  }

  // Some panels of out [cells, columns] = a rows times V_h + b rows times V_v; space: WIDTH floats
  // a cell.
  void multiply(Share mine, const NeighbourRows& a, const NeighbourRows& b, float* space,
                float* out) const {
    index_t cells = (index_t)a.rows.size();
    for (index_t p = mine.begin; p < mine.end; ++p) {
      memset(space, 0, cells * WIDTH * sizeof(float));
      if (a.any) panel_product<Float32>(a.rows.data(), cells, panel(h_, p), true, space);
      if (b.any) panel_product<Float32>(b.rows.data(), cells, panel(v_, p), true, space);
      for (index_t i = 0; i < cells; ++i)
        memcpy(out + i * columns_ + p * WIDTH, space + i * WIDTH, valid(p) * sizeof(float));
    }
  }

 private:
  int valid(index_t p) const {
    return (int)(columns_ - p * WIDTH < WIDTH ? columns_ - p * WIDTH : WIDTH);
  }

  Panel<Float32> panel(const Space<float>& packed, index_t p) const {
    return {packed.data() + p * depth_ * WIDTH, depth_};
  }

  void pack_panel(index_t p, const float* matrix, bool transposed, Panel<Float32> to) const {
    index_t column = p * WIDTH;
    if (transposed)
      return pack_columns<Float32>(matrix + column * depth_, depth_, depth_, valid(p), to);
    std::vector<const float*> rows;
    for (index_t k = 0; k < depth_; ++k) rows.push_back(matrix + k * columns_);
    gather_panel<Float32>({rows.data(), depth_}, column, valid(p), to);
  }

  index_t depth_, columns_;
  Space<float> h_, v_;
};

// bounds [diagonals + 1]; zeros [5 units]; y, gates, cells enter as zeros.
KERNEL lstm2d_forward(const float* z, const float* v_h, const float* v_v, const float* zeros,
                      const index_t* bounds, const index_t* place, const index_t* left,
                      const index_t* below, const index_t* right, const index_t* above, float* y,
                      float* gates, float* cells, index_t diagonals, index_t row, index_t batch,
                      index_t units, index_t workers) {
  Diagonals all = {{place, left, below, right, above, row, batch, units}, bounds, diagonals};
  ForwardArrays arrays = {z, zeros, y, gates, cells};
  index_t widest = all.widest(), columns = 5 * units;
  Panels panels(units, columns);
  Space<float> product(widest * columns);
  Team team;
#pragma omp parallel num_threads(workers) if (workers > 1)
  {
    int member = team_index(), size = team_size();
    Share mine = share(panels.count(), member, size);
    Space<float> space(widest * WIDTH);
    NeighbourRows h, v;
    panels.pack(mine, v_h, v_v, false);
    for (index_t d = 0; d < diagonals; ++d) {
      Share numbers = {bounds[d], bounds[d + 1]};
      h.gather(all.grid, numbers, left, y, units, -batch, zeros);
      v.gather(all.grid, numbers, below, y, units, -row, zeros);
      panels.multiply(mine, h, v, space.data(), product.data());
      team.wait(size);
      Share part = share(numbers.end - numbers.begin, member, size);
      for (index_t i = part.begin; i < part.end; ++i)
        forward_cell(all.grid, arrays, numbers.begin + i, product.data() + i * columns, zeros);
      team.wait(size);
    }
  }
}

// dz, dv_h and dv_v enter as zeros.
KERNEL lstm2d_backward(const float* dy, const float* v_h, const float* v_v, const float* zeros,
                       const index_t* bounds, const index_t* place, const index_t* left,
                       const index_t* below, const index_t* right, const index_t* above,
                       const float* y, const float* gates, const float* cells, float* dz,
                       float* dv_h, float* dv_v, index_t diagonals, index_t row, index_t batch,
                       index_t units, index_t workers) {
  Diagonals all = {{place, left, below, right, above, row, batch, units}, bounds, diagonals};
  BackwardArrays arrays = {dy, gates, cells, zeros, dz};
  index_t widest = all.widest(), depth = 5 * units;
  Panels panels(depth, units);
  Space<float> product(widest * units), carry(2 * widest * 2 * units);
  Space<float> factor_h(Factor<Float32>::space(units)), factor_v(Factor<Float32>::space(units));
  NeighbourRows before_h, before_v, dz_rows;
  Share every = {0, all.total()};
  before_h.gather(all.grid, every, left, y, units, -batch, zeros);
  before_v.gather(all.grid, every, below, y, units, -row, zeros);
  dz_rows.gather(all.grid, every, place, dz, depth, 0, zeros);
  std::vector<Factor<Float32>> factors = {{units, before_h.rows.data(), factor_h.data(), dv_h},
                                 {units, before_v.rows.data(), factor_v.data(), dv_v}};
  std::vector<float> sums(depth);  // of dz: nobody asked for them
  Team team;
#pragma omp parallel num_threads(workers) if (workers > 1)
  {
    int member = team_index(), size = team_size();
    Share mine = share(panels.count(), member, size);
    Space<float> space(widest * WIDTH);
    NeighbourRows h, v;
    panels.pack(mine, v_h, v_v, true);
    for (index_t d = diagonals - 1; d >= 0; --d) {
      Share numbers = {bounds[d], bounds[d + 1]};
      h.gather(all.grid, numbers, right, dz, depth, batch, zeros);
      v.gather(all.grid, numbers, above, dz, depth, row, zeros);
      panels.multiply(mine, h, v, space.data(), product.data());
      team.wait(size);
      Carry given = {carry.data() + (d + 1) % 2 * widest * 2 * units, numbers.end};
      float* give = carry.data() + d % 2 * widest * 2 * units;
      Share part = share(numbers.end - numbers.begin, member, size);
      for (index_t i = part.begin; i < part.end; ++i)
        backward_cell(all.grid, arrays, numbers.begin + i, product.data() + i * units, zeros, given,
                      give + i * 2 * units);
      team.wait(size);
    }
    add_transposed_products(factors, dz_rows.rows.data(), all.total(), depth, sums.data(), team);
  }
}
