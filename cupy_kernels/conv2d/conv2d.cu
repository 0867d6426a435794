// Convolution of images with filters [rows, columns, in, out] of any size, which move by any steps
// (windows.h), and its gradients: all passes of the host (conv2d_host.h), and what a GPU needs
// around the products of a library (stepwise.py): the pixels of all windows side by side.
#include "windows.h"

// to [batch, out_height, out_width, taps, in]. A block per output, a thread per channel.
KERNEL conv2d_columns(const float* x, const int* lengths, const int* tops, float* to, SIZES) {
  Windows w = WINDOWS;
  BLOCKS(output, batch * out_height * out_width) {
    index_t b = output / (out_height * out_width), i = output / out_width % out_height;
    for (index_t tap = 0; tap < w.taps(); ++tap) {
      index_t row = w.row_at(b, i, tap), column = w.column_at(output % out_width, tap);
      bool inside = row >= 0 && row < w.length(b) && column >= 0 && column < width;
      const float* from = x + ((b * height + row) * width + column) * in;
      float* y = to + (output * w.taps() + tap) * in;
      THREADS(c, in) y[c] = inside ? from[c] : 0.0f;
    }
  }
}

// dx [batch, height, width, in] of the gradient of these columns. A block per pixel.
KERNEL conv2d_images(const float* d_columns, const int* lengths, const int* tops, float* dx,
                     SIZES) {
  Windows w = WINDOWS;
  BLOCKS(pixel, batch * height * width) {
    index_t b = pixel / (height * width), row = pixel / width % height, column = pixel % width;
    bool counts = row < w.length(b);
    THREADS(c, in) {
      float sum = 0.0f;
      for (index_t tap = 0; counts && tap < w.taps(); ++tap) {
        index_t i = w.line_of(b, row, tap), j = w.output_of(column, tap);
        if (i >= 0 && j >= 0)
          sum += d_columns[(((b * out_height + i) * out_width + j) * w.taps() + tap) * in + c];
      }
      dx[pixel * in + c] = sum;
    }
  }
}

#include "conv2d_host.h"
