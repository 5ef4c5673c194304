// The part of the input that a convolution reads, with its padding. Included only by what is
// compiled per instruction set.
#pragma once

#include <algorithm>

#include "nascore/kernels/stages.hpp"
#include "nascore/kernels/vectors.hpp"

namespace nascore::kernels::NASCORE_ISA {
namespace {

// The input's pixels under the kernel, zeros where there is no image: rows of `width` pixels of
// `channels` floats, and the widest vector more.
struct Window {
  float* pixels;
  std::int64_t channels, width;
  std::int64_t left, inside;  // pixels of a row before those of the image, and these

  std::int64_t row() const { return width * channels; }
};

inline Window window_of(const Instruction& at, std::int64_t channels, float* pixels) {
  const std::int64_t reach_x = std::int64_t{at.dilation} * (at.kernel_width - 1) + 1;
  const std::int64_t width = std::int64_t{at.out_width - 1} * at.stride + reach_x;
  const std::int64_t left = std::clamp<std::int64_t>(at.pad_left, 0, width);
  const std::int64_t skip = std::max<std::int64_t>(-at.pad_left, 0);
  return {pixels, channels, width, left,
          std::clamp<std::int64_t>(at.in_width - skip, 0, width - left)};
}

// Zeros, and a vector more at most, which what comes after them overwrites.
inline void clear(float* out, std::int64_t count) {
  for (std::int64_t i = 0; i < count; i += kVector) store(out + i, Vector{});
}

// Writes rows [first, last) of the window, whose row 0 is under row `work.first` of the output.
inline void fill(const Work& work, const Window& given, std::int64_t first, std::int64_t last) {
  const Instruction at = *work.instruction;  // copies, which no vector that is stored can change
  const Window under = given;
  const float* const image = work.from;
  const std::int64_t top = std::int64_t{work.first} * at.stride - at.pad_top;
  const std::int64_t skip = std::max<std::int64_t>(-at.pad_left, 0);  // pixels left of the window
  const std::int64_t channels = under.channels;
  for (std::int64_t y = first; y < last; ++y) {
    float* const out = under.pixels + y * under.row();
    if (top + y < 0 || top + y >= at.in_height || under.inside == 0) {
      clear(out, under.row());
      continue;
    }
    const float* from = image + ((top + y) * at.in_width + skip) * at.from_stride;
    clear(out, under.left * channels);
    float* pixel = out + under.left * channels;
    for (std::int64_t x = 0; x < under.inside; ++x, pixel += channels, from += at.from_stride) {
      // Whole vectors, of which the next pixel overwrites what is too much.
      for (std::int64_t c = 0; c < channels; c += kVector) {
        const Vector value = load(from + c, at.in_channels - c);
        store(pixel + c, at.relu ? relu(value) : value);
      }
    }
    clear(pixel, out + under.row() - pixel);
  }
}

// Calls part(y, rows) for the rows of the output, counted from `work.first`, as many at once as
// `rows_together` says; what is under them is in the window, and in the cache, as it was written
// just before.
template <class Part>
void by_rows(const Work& work, const Window& under, const Part& part) {
  const Instruction& at = *work.instruction;
  const std::int64_t reach = std::int64_t{at.dilation} * (at.kernel_height - 1) + 1;
  const int all = work.last - work.first, together = rows_together(at);
  std::int64_t filled = 0;
  for (int y = 0; y < all; y += together) {
    const int rows = std::min(together, all - y);
    const std::int64_t needed = std::int64_t{y + rows - 1} * at.stride + reach;
    fill(work, under, filled, needed);
    filled = needed;
    part(y, rows);
  }
}

}  // namespace
}  // namespace nascore::kernels::NASCORE_ISA
