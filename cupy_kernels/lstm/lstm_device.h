// All frames of an LSTM in one launch on a GPU: each block keeps the recurrent weights of OWN units
// in shared memory, all blocks run at once (a cooperative launch) and meet after every frame. A
// warp takes every WARPS-th part of the depth of a product, a lane one gate of one unit.
#pragma once

#define OWN 8       // units of a block
#define COLUMNS 32  // their gates, gate by gate: a lane each
#define WARPS 16

extern __shared__ float shared_memory[];

// Until all blocks are here for the n-th time, target = n * blocks.
DEVICE void wait_for_all(unsigned* arrived, unsigned target) {
  __syncthreads();
  if (threadIdx.x == 0) {
    __threadfence();
    atomicAdd(arrived, 1u);
    while (*(volatile unsigned*)arrived < target) {
    }
    __threadfence();
  }
  __syncthreads();
}

// The products of ROWS sequences at a time with the block's weights. Forward: of the output before,
// with the four gates. Backward (GATES 4): each lane of its own gate of dz.
template <int ROWS, int GATES>
struct Recurrence {
  index_t units;
  int depth;  // units, rounded up to whole float4
  float *weights, *rows, *parts, *sums;

  __device__ explicit Recurrence(index_t units)
      : units(units), depth((int)(units + 3) / 4 * 4), weights(shared_memory) {
    rows = weights + depth * COLUMNS;
    parts = rows + ROWS * GATES * depth;
    sums = parts + WARPS * ROWS * COLUMNS;
  }

  // stride: between the numbers of w_re that belong to neighbouring units of the depth; of the own.
  __device__ void pack(const float* w_re, index_t depth_stride, index_t own_stride) {
    index_t first = blockIdx.x * OWN;
    THREADS(i, depth * COLUMNS) {
      index_t k = i / COLUMNS, gate = i % COLUMNS / OWN, unit = first + i % OWN;
      bool inside = k < units && unit < units;
      weights[i] = inside ? w_re[gate * units + k * depth_stride + unit * own_stride] : 0.0f;
    }
  }

  // from: [sequences, GATES units], written by other blocks. sums: [ROWS, COLUMNS].
  __device__ void product(const float* from, index_t sequences) {
    THREADS(i, ROWS * GATES * depth) {
      int k = i % depth, row = i / depth;
      bool inside = k < units && row < sequences * GATES;
      rows[i] = inside ? __ldcg(from + row * units + k) : 0.0f;
    }
    __syncthreads();
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const float* own = rows + (GATES == 1 ? 0 : lane / OWN) * depth;
    float sum[ROWS] = {};
    for (int k = 4 * warp; k < depth; k += 4 * WARPS) {
      const float* w = weights + k * COLUMNS + lane;
      float w0 = w[0], w1 = w[COLUMNS], w2 = w[2 * COLUMNS], w3 = w[3 * COLUMNS];
#pragma unroll
      for (int r = 0; r < ROWS; ++r) {
        float4 x = *(const float4*)(own + r * GATES * depth + k);
        sum[r] += x.x * w0 + x.y * w1 + x.z * w2 + x.w * w3;
      }
    }
#pragma unroll
    for (int r = 0; r < ROWS; ++r) parts[(warp * ROWS + r) * COLUMNS + lane] = sum[r];
    __syncthreads();
    THREADS(i, ROWS * COLUMNS) {
      float total = 0.0f;
      for (int j = 0; j < WARPS; ++j) total += parts[j * ROWS * COLUMNS + i];
      sums[i] = total;
    }
    __syncthreads();
  }
};

// h [2, batch, units]: the outputs before the frame and after it, in turn. c is updated.
KERNEL __launch_bounds__(32 * WARPS)
    lstm_sequence(const float* z, const float* w_re, const int* lengths, float* h, float* c,
                  float* y, float* gates, float* cells, unsigned* arrived, index_t time,
                  index_t batch, index_t units, index_t direction, index_t workers) {
  const int ROWS = 8;
  Recurrence<ROWS, 1> recurrence(units);
  recurrence.pack(w_re, 4 * units, 1);
  for (index_t step = 0; step < time; ++step) {
    index_t t = direction > 0 ? step : time - 1 - step;
    const float* old = h + step % 2 * batch * units;
    float* out = h + (1 - step % 2) * batch * units;
    for (index_t first = 0; first < batch; first += ROWS) {
      recurrence.product(old + first * units, batch - first);
      THREADS(i, ROWS * OWN) {
        index_t b = first + i / OWN, unit = blockIdx.x * OWN + i % OWN;
        if (b >= batch || unit >= units) continue;
        index_t at = t * batch + b, state = b * units + unit;
        float* gate = gates + at * 4 * units + unit;
        if (t >= lengths[b]) {
          gate[0] = gate[units] = gate[2 * units] = gate[3 * units] = 0.0f;
          cells[at * units + unit] = y[at * units + unit] = 0.0f;
          out[state] = __ldcg(old + state);
          continue;
        }
        const float* x = z + at * 4 * units + unit;
        const float* sum = recurrence.sums + i / OWN * COLUMNS + i % OWN;
        float cell, output;
        cell_forward(x[0] + sum[0], x[units] + sum[OWN], x[2 * units] + sum[2 * OWN],
                     x[3 * units] + sum[3 * OWN], c[state], gate, units, &cell, &output);
        c[state] = cells[at * units + unit] = cell;
        y[at * units + unit] = out[state] = output;
      }
    }
    wait_for_all(arrived, (unsigned)((step + 1) * gridDim.x));
  }
}

// dc enters as the gradient of the final cells and leaves as that of the initial ones.
KERNEL __launch_bounds__(32 * WARPS)
    lstm_sequence_backward(const float* dy, const float* w_re, const int* lengths,
                           const float* gates, const float* cells, const float* c0, float* dc,
                           float* dz, unsigned* arrived, index_t time, index_t batch,
                           index_t units, index_t direction, index_t workers) {
  const int ROWS = 4;
  Recurrence<ROWS, 4> recurrence(units);
  recurrence.pack(w_re, 1, 4 * units);
  for (index_t step = 0; step < time; ++step) {
    index_t t = direction > 0 ? time - 1 - step : step, before = t - direction;
    for (index_t first = 0; first < batch; first += ROWS) {
      if (step > 0)
        recurrence.product(dz + ((t + direction) * batch + first) * 4 * units, batch - first);
      THREADS(i, ROWS * OWN) {
        index_t b = first + i / OWN, unit = blockIdx.x * OWN + i % OWN;
        if (b >= batch || unit >= units) continue;
        index_t at = t * batch + b;
        float* d = dz + at * 4 * units + unit;
        if (t >= lengths[b]) {
          d[0] = d[units] = d[2 * units] = d[3 * units] = 0.0f;
          continue;
        }
        const float* sum = recurrence.sums + i / OWN * COLUMNS + i % OWN;
        float dh = step > 0 ? sum[0] + sum[OWN] + sum[2 * OWN] + sum[3 * OWN] : 0.0f;
        bool inside = before >= 0 && before < lengths[b];
        const float* old = inside ? cells + (before * batch + b) * units : c0 + b * units;
        cell_backward(dy[at * units + unit] + dh, gates + at * 4 * units + unit, units,
                      cells[at * units + unit], old[unit], dc + b * units + unit, d);
      }
    }
    wait_for_all(arrived, (unsigned)((step + 1) * gridDim.x));
  }
}
