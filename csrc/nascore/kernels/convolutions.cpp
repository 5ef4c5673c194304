#include "nascore/kernels/convolutions.hpp"

#include "nascore/kernels/convolution_parts.hpp"

namespace nascore::kernels::NASCORE_ISA {
namespace {

Target target(const Work& work) {
  const Instruction& at = *work.instruction;
  const std::int64_t pixel = std::int64_t{work.first} * at.out_width;
  return {work.to + pixel * at.to_stride, at.to_stride, at.relu_after != 0, at.accumulate != 0};
}

}  // namespace

void convolve(const Work& work) {
  const Instruction& at = *work.instruction;
  const std::int64_t count = std::int64_t{work.last - work.first} * at.out_width;
  const bool whole = at.kernel_height == 1 && at.kernel_width == 1 && at.stride == 1 &&
                     at.pad_top == 0 && at.pad_left == 0 && !at.relu;
  if (whole) {
    const float* const from = work.from + std::int64_t{work.first} * at.in_width * at.from_stride;
    multiply([&](std::int64_t i) { return from + i * at.from_stride; }, count,
             one_tap(at.in_channels), work.weights, at.out_channels, target(work));
    return;
  }
  Taps taps;
  const Window under = window(work, at.in_channels, work.scratch);
  const std::int64_t row = under.width * under.channels;
  if (at.dilation == 1) {  // a row of the kernel lies in one piece
    taps.count = at.kernel_height;
    taps.length = at.kernel_width * under.channels;
    for (int ky = 0; ky < at.kernel_height; ++ky) taps.at[ky] = ky * row;
  } else {
    taps.count = at.kernel_height * at.kernel_width;
    taps.length = under.channels;
    for (int t = 0; t < taps.count; ++t) {
      const int ky = t / at.kernel_width, kx = t % at.kernel_width;
      taps.at[t] = at.dilation * (ky * row + kx * under.channels);
    }
  }
  const auto address = [&](std::int64_t i) {
    const std::int64_t y = i / at.out_width, x = i % at.out_width;
    return under.pixels + at.stride * (y * row + x * under.channels);
  };
  multiply(address, count, taps, work.weights, at.out_channels, target(work));
}

void separable(const Work& work) {
  const Instruction& at = *work.instruction;
  const std::int64_t channels = padded(at.in_channels);
  const int rows = work.last - work.first;
  const std::int64_t count = std::int64_t{rows} * at.out_width;
  float* const middle = work.scratch;  // [count, channels], of the depthwise convolution
  const Window under = window(work, channels, middle + count * channels);
  const std::int64_t row = under.width * channels;
  for (int y = 0; y < rows; ++y) {
    depthwise_row(at, under.pixels + y * at.stride * row, row, channels, work.weights,
                  middle + y * at.out_width * channels, at.out_width);
  }
  const std::int64_t depthwise = std::int64_t{at.kernel_height} * at.kernel_width * channels;
  multiply([&](std::int64_t i) { return middle + i * channels; }, count, one_tap(at.in_channels),
           work.weights + depthwise, at.out_channels, target(work));
}

}  // namespace nascore::kernels::NASCORE_ISA
