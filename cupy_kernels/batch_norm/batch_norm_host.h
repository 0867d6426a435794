// All that a pass of batch normalisation does, in one call on the host.
#pragma once

#include <vector>

// to [2, channels]: the sums of all blocks.
DEVICE void add_up(const std::vector<float>& sums, float* to, index_t channels) {
  for (index_t i = 0; i < 2 * channels; ++i) to[i] = 0.0f;
  for (size_t at = 0; at < sums.size(); at += 2 * channels)
    THREADS(i, 2 * channels) to[i] += sums[at + i];
}

DEVICE std::vector<float> sums_for(index_t count, index_t channels) {
  return std::vector<float>(blocks_of(rows_of(count, channels)) * 2 * channels);
}

// dparameters [2, channels]: of factor and of offset.
KERNEL scale_shift_gradients(const float* dy, const float* x, const float* factor, float* dx,
                             float* dparameters, index_t count, index_t channels,
                             index_t workers) {
  std::vector<float> sums = sums_for(count, channels);
  scale_shift_backward(dy, x, factor, dx, sums.data(), count, channels, workers);
  add_up(sums, dparameters, channels);
}

KERNEL batch_norm_forward(const float* x, const float* gamma, const float* beta,
                          const float* epsilon, const int* lengths, float* y, float* moments,
                          index_t first, index_t second, index_t time_axis, index_t count,
                          index_t channels, index_t workers) {
  std::vector<float> sums = sums_for(count, channels);
  batch_norm_parts(x, lengths, sums.data(), first, second, time_axis, count, channels, workers);
  batch_norm_moments(sums.data(), epsilon, lengths, moments, first, second, time_axis, count,
                     channels, 1);
  batch_norm_normalised(x, gamma, beta, moments, y, count, channels, workers);
}

// dparameters [2, channels]: of gamma and of beta.
KERNEL batch_norm_gradients(const float* dy, const float* x, const float* gamma,
                            const float* moments, const int* lengths, float* dx,
                            float* dparameters, index_t first, index_t second, index_t time_axis,
                            index_t count, index_t channels, index_t workers) {
  std::vector<float> sums = sums_for(count, channels);
  batch_norm_sums(dy, x, moments, sums.data(), count, channels, workers);
  add_up(sums, dparameters, channels);
  batch_norm_input_gradient(dy, x, gamma, moments, lengths, dparameters, dx, first, second,
                            time_axis, count, channels, workers);
}
