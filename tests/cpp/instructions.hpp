// Instructions and numbers for tests of programs.
#pragma once

#include <cstdint>
#include <vector>

#include "nascore/program.hpp"
#include "nascore/rng.hpp"

namespace nascore {

using Floats = std::vector<float>;

inline Floats noise(std::int64_t count, std::uint64_t seed) {
  Floats out(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = static_cast<float>(Draw(seed, 1, i).normal());
  }
  return out;
}

// An instruction of this kernel at small odd sizes, the input inside wider pixels.
inline Instruction ragged(Kernel kernel, std::uint64_t seed) {
  std::uint64_t draws = 0;
  const auto below = [&](int bound) {
    return static_cast<int>(Draw(seed, 2, draws++).below(static_cast<std::uint32_t>(bound)));
  };
  Instruction at{};
  at.kernel = kernel;
  at.in_channels = 1 + below(37);
  at.in_height = 1 + below(13);
  at.in_width = 1 + below(21);
  at.out_channels =
      kernel == Kernel::kConv || kernel == Kernel::kSepConv ? 1 + below(37) : at.in_channels;
  at.kernel_height = at.kernel_width = at.stride = at.dilation = 1;
  const bool windows = kernel <= Kernel::kAvgPool;
  if (windows) {
    at.kernel_height = 1 + 2 * below(4);
    at.kernel_width = below(3) ? at.kernel_height : 1 + below(5);
    at.stride = 1 + below(3);
    at.dilation = kernel <= Kernel::kSepConv ? 1 + below(2) : 1;
    at.pad_top = at.dilation * (at.kernel_height / 2);
    at.pad_left = at.dilation * (at.kernel_width / 2);
    at.out_height = (at.in_height - 1) / at.stride + 1;
    at.out_width = (at.in_width - 1) / at.stride + 1;
    if (kernel == Kernel::kConv && below(4) == 0) at.pad_top = at.pad_left = -1;
  } else {
    at.out_height = at.in_height;
    at.out_width = at.in_width;
  }
  if (kernel == Kernel::kCopy) {
    at.out_height += below(5);
    at.out_width += below(5);
  } else if (kernel == Kernel::kPad) {
    at.pad_top = below(3);
    at.pad_left = below(3);
    at.out_height += 2 * at.pad_top;
    at.out_width += at.pad_left;
  } else if (kernel == Kernel::kFlatten) {
    at.out_channels = at.in_channels * at.in_height * at.in_width;
    at.out_height = at.out_width = 1;
  } else if (kernel == Kernel::kGlobalPool) {
    at.out_height = at.out_width = 1;
  }
  const bool plain = kernel == Kernel::kFlatten || kernel == Kernel::kPad;
  const bool may_read_relu = kernel <= Kernel::kSepConv || kernel == Kernel::kCopy;
  at.relu = may_read_relu && below(2);
  at.relu_after = !plain && below(3) == 0;
  at.accumulate = !plain && below(3) == 0;
  at.together = kernel == Kernel::kNorm && below(2);
  at.from_channel = below(3);
  at.from_stride = at.in_channels + at.from_channel + below(3);
  at.to_channel = plain ? 0 : below(9);
  at.to_stride = at.out_channels + at.to_channel + (plain ? 0 : below(9));
  at.input = at.output = 0;
  at.weights = kernel == Kernel::kCopy && below(2) ? -1 : 0;
  return at;
}

}  // namespace nascore
