// Convolution of images [batch, height, width, channels] with filters [TAPS, TAPS, in, out] that
// move by single pixels, by tiles (tiles.h): the parts before and behind the products of a library
// (the GPU; stepwise.py), and, on the host alone, all of it in one call (conv_host.h).
//
// A block per tile, a thread per channel: no thread reads what another one writes.
#include "tiles.h"

// v [ELEMENTS, tiles, channels]; zeros [channels] stand outside of the images. lengths may be null.
KERNEL conv_input_tiles(const float* x, const float* zeros, const int* lengths, float* v,
                        index_t tiles, index_t height, index_t width, index_t channels,
                        index_t rows, index_t columns, index_t top, index_t left,
                        index_t workers) {
  Images images = {height, width, channels, rows, columns, top, left, lengths};
  BLOCKS(tile, tiles) {
    const float* at[ELEMENTS];
    pixels_of<TILE>(images, x, tile, zeros, at);
    write_input(at, channels, v + tile * channels, tiles * channels);
  }
}

// m [ELEMENTS, tiles, channels], of the gradient of the output.
KERNEL conv_gradient_tiles(const float* dy, const float* zeros, float* m, index_t tiles,
                           index_t height, index_t width, index_t channels, index_t rows,
                           index_t columns, index_t workers) {
  Images images = {height, width, channels, rows, columns, 0, 0, nullptr};
  BLOCKS(tile, tiles) {
    const float* at[STEP * STEP];
    pixels_of<STEP>(images, dy, tile, zeros, at);
    write_gradient(at, channels, m + tile * channels, tiles * channels);
  }
}

KERNEL conv_output_tiles(const float* m, float* y, index_t tiles, index_t height, index_t width,
                         index_t channels, index_t rows, index_t columns, index_t workers) {
  Images images = {height, width, channels, rows, columns, 0, 0, nullptr};
  float* nowhere = nullptr;
  BLOCKS(tile, tiles) {
    float* at[STEP * STEP];
    pixels_of<STEP>(images, y, tile, nowhere, at);
    write_output(m + tile * channels, tiles * channels, channels, at);
  }
}

// u [ELEMENTS, in, out] of filters [TAPS, TAPS, in, out].
KERNEL conv_filter_tiles(const float* filters, float* u, index_t in, index_t out,
                         index_t workers) {
  BLOCKS(input, in) {
    each_channel(out, [=](auto kind, index_t c) {
      decltype(kind) g[TAPS * TAPS], elements[ELEMENTS];
      for (int tap = 0; tap < TAPS * TAPS; ++tap)
        get(g[tap], filters + (tap * in + input) * out + c);
      filter_tile(g, elements);
      for (int e = 0; e < ELEMENTS; ++e) put(elements[e], u + (e * in + input) * out + c);
    });
  }
}

KERNEL conv_filter_gradient_tiles(const float* sums, float* dfilters, index_t in, index_t out,
                                  index_t workers) {
  BLOCKS(input, in) write_filter_gradient(sums, input, in, out, dfilters);
}

#include "conv_host.h"
