// One unit of an LSTM at one frame (Hochreiter and Schmidhuber 1997, with forget gate), and its
// derivative. Gates lie `units` apart, in the order cell input, input, forget, output.
#pragma once
#include "functions.h"

// Writes the activated gates, the cell and the output.
DEVICE void cell_forward(float z_cell, float z_input, float z_forget, float z_output,
                         float old_cell, float* gates, index_t units, float* cell, float* output) {
  float input = tanh_fast(z_cell), in = sigmoid(z_input);
  float forget = sigmoid(z_forget), out = sigmoid(z_output);
  float state = input * in + old_cell * forget;
  gates[0] = input;
  gates[units] = in;
  gates[2 * units] = forget;
  gates[3 * units] = out;
  *cell = state;
  *output = tanh_fast(state) * out;
}

// From the gradient of the output (d_output, all of it) and of the cell (d_cell, from the next
// frame) to that of the four inputs and of the old cell.
DEVICE void cell_backward(float d_output, const float* gates, index_t units, float cell,
                          float old_cell, float* d_cell, float* dz) {
  float input = gates[0], in = gates[units], forget = gates[2 * units], out = gates[3 * units];
  float squashed = tanh_fast(cell);
  float d_state = *d_cell + d_output * out * (1.0f - squashed * squashed);
  dz[0] = d_state * in * (1.0f - input * input);
  dz[units] = d_state * input * in * (1.0f - in);
  dz[2 * units] = d_state * old_cell * forget * (1.0f - forget);
  dz[3 * units] = d_output * squashed * out * (1.0f - out);
  *d_cell = d_state * forget;
}
