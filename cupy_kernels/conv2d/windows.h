// Which pixels of an image meet which part of a filter, and where their product goes.
//
// Images [batch, height, width, channels]; of the rows of image b the first lengths[b] count, and
// what lies behind them, or around the image, is zero. Output (i, j) begins at row i * down - top,
// column j * right - left of its image; `tap` p * columns + q of a filter [rows, columns] is
// p * dilation_down rows and q * dilation_right columns further. tops: `top` of each image.
#pragma once
#include "frames.h"

struct Windows {
  const int *lengths, *tops;  // may be null: all rows count; `top` is that of all
  index_t batch, height, width, in, out_height, out_width, out;
  index_t rows, columns, down, right, dilation_down, dilation_right, top, left;

  index_t taps() const { return rows * columns; }
  index_t length(index_t b) const { return length_of(lengths, b, height); }
  index_t top_of(index_t b) const { return tops ? tops[b] : top; }

  // The row of an image at which a tap of output line i is; it need not exist.
  index_t row_at(index_t b, index_t i, index_t tap) const {
    return i * down - top_of(b) + tap / columns * dilation_down;
  }
  index_t column_at(index_t j, index_t tap) const {
    return j * right - left + tap % columns * dilation_right;
  }
  // The output line of which row y of an image is at a tap, or -1.
  index_t line_of(index_t b, index_t y, index_t tap) const {
    index_t i = y + top_of(b) - tap / columns * dilation_down;
    return i < 0 || i % down || i / down >= out_height ? -1 : i / down;
  }
  index_t output_of(index_t x, index_t tap) const {
    index_t j = x + left - tap % columns * dilation_right;
    return j < 0 || j % right || j / right >= out_width ? -1 : j / right;
  }
};

// The last parameters of kernels, and what is made of them.
#define SIZES                                                                                    \
  index_t batch, index_t height, index_t width, index_t in, index_t out_height,                  \
      index_t out_width, index_t out, index_t rows, index_t columns, index_t down, index_t right, \
      index_t dilation_down, index_t dilation_right, index_t top, index_t left, index_t workers
#define WINDOWS                                                                                 \
  {lengths, tops, batch, height, width, in,        out_height, out_width, out, rows, columns,   \
   down,    right, dilation_down, dilation_right, top, left}
