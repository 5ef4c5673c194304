#include "nascore/kernels/convolutions.hpp"

#include "nascore/kernels/convolution_parts.hpp"

namespace nascore::kernels::NASCORE_ISA {
namespace {

// Of row `work.first` + y on.
Target target(const Work& work, int y = 0) {
  const Instruction& at = *work.instruction;
  const std::int64_t pixel = std::int64_t{work.first + y} * at.out_width;
  return {work.to + pixel * at.to_stride, at.to_stride, at.relu_after != 0, at.accumulate != 0};
}

}  // namespace

void convolve(const Work& work) {
  const Instruction& at = *work.instruction;
  const bool whole = at.kernel_height == 1 && at.kernel_width == 1 && at.stride == 1 &&
                     at.pad_top == 0 && at.pad_left == 0 && !at.relu;
  if (whole) {
    const float* const from = work.from + std::int64_t{work.first} * at.in_width * at.from_stride;
    const std::int64_t count = std::int64_t{work.last - work.first} * at.out_width;
    multiply(evenly(from, at.from_stride), count, one_tap(at.in_channels), work.weights,
             at.out_channels, target(work));
    return;
  }
  Taps taps;
  const Window under = window_of(at, at.in_channels, work.scratch);
  if (at.dilation == 1) {  // a row of the kernel lies in one piece
    taps.count = at.kernel_height;
    taps.length = at.kernel_width * under.channels;
    for (int ky = 0; ky < at.kernel_height; ++ky) taps.at[ky] = ky * under.row();
  } else {
    taps.count = at.kernel_height * at.kernel_width;
    taps.length = under.channels;
    for (int t = 0; t < taps.count; ++t) {
      const int ky = t / at.kernel_width, kx = t % at.kernel_width;
      taps.at[t] = at.dilation * (ky * under.row() + kx * under.channels);
    }
  }
  by_rows(work, under, [&](int y, int rows) {
    const float* row = under.pixels + std::int64_t{y} * at.stride * under.row();
    int x = 0;
    auto address = [&] {
      const float* const pixel = row + std::int64_t{x} * at.stride * under.channels;
      if (++x == at.out_width) {
        x = 0;
        row += at.stride * under.row();
      }
      return pixel;
    };
    multiply(address, std::int64_t{rows} * at.out_width, taps, work.weights, at.out_channels,
             target(work, y));
  });
}

void separable(const Work& work) {
  const Instruction& at = *work.instruction;
  const std::int64_t channels = padded(at.in_channels), row = at.out_width * channels;
  float* const middle = work.scratch;  // rows of the depthwise convolution
  const Window under = window_of(at, channels, middle + middle_of(at));
  const float* const pointwise =
      work.weights + std::int64_t{at.kernel_height} * at.kernel_width * channels;
  const Tiles tiles(at);
  by_rows(work, under, [&](int y, int rows) {
    for (int i = 0; i < rows; ++i) {
      depthwise_row(at, tiles, under.pixels + std::int64_t{y + i} * at.stride * under.row(),
                    under.row(), channels, work.weights, middle + i * row, at.out_width);
    }
    multiply(evenly(middle, channels), std::int64_t{rows} * at.out_width, one_tap(at.in_channels),
             pointwise, at.out_channels, target(work, y));
  });
}

}  // namespace nascore::kernels::NASCORE_ISA
