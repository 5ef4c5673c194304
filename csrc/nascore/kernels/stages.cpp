#include "nascore/kernels/stages.hpp"

#include <algorithm>
#include <cmath>

#include "nascore/kernels/isa.hpp"
#include "nascore/kernels/packing.hpp"
#include "nascore/kernels/separable_sample.hpp"

namespace nascore::kernels {
namespace {

constexpr std::int64_t kCached = 24 * 1024;  // floats of a band, so that it stays in the cache

bool needs_all_rows(const Instruction& at) {
  return at.kernel == Kernel::kFlatten || at.kernel == Kernel::kGlobalPool ||
         at.kernel == Kernel::kNorm;
}

// Floats of the part of the input that is under one row of the output, and of each more.
std::int64_t window_row(const Instruction& at) {
  const std::int64_t reach = std::int64_t{at.dilation} * (at.kernel_width - 1) + 1;
  const std::int64_t width = std::int64_t{at.out_width - 1} * at.stride + reach;
  return width * (at.kernel == Kernel::kSepConv ? padded(at.in_channels) : at.in_channels);
}

}  // namespace

std::int64_t scratch_of(const Instruction& at, int rows) {
  if (at.kernel == Kernel::kNorm) return 4 * at.in_channels + 2 * padded(at.out_channels);
  if (at.kernel != Kernel::kConv && at.kernel != Kernel::kSepConv) return 0;
  const std::int64_t reach = std::int64_t{at.dilation} * (at.kernel_height - 1) + 1;
  const std::int64_t window = (std::int64_t{rows - 1} * at.stride + reach) * window_row(at);
  return window + kPanel + (at.kernel == Kernel::kSepConv ? middle_of(at) : 0);
}

int band_of(const Instruction& at, int most) {
  if (needs_all_rows(at)) return at.out_height;
  int rows = std::min(most, at.out_height);
  while (rows > 1 && scratch_of(at, rows) > kCached) rows = (rows + 1) / 2;
  return rows;
}

std::vector<float> batch_norm(const double* sums, std::int64_t samples, std::int64_t channels,
                              double pixels, const float* scale, const float* shift, float epsilon,
                              float* mean, float* variance) {
  const std::int64_t width = padded(channels);
  std::vector<float> affine(2 * static_cast<std::size_t>(width));
  for (std::int64_t c = 0; c < channels; ++c) {
    double sum = 0, square = 0;
    for (std::int64_t n = 0; n < samples; ++n) {
      sum += sums[2 * n * channels + c];
      square += sums[(2 * n + 1) * channels + c];
    }
    const double centre = sum / pixels, spread = std::max(square / pixels - centre * centre, 0.0);
    if (mean != nullptr) mean[c] = static_cast<float>(centre);
    if (variance != nullptr) variance[c] = static_cast<float>(spread);
    const double slope = scale[c] / std::sqrt(spread + epsilon);
    affine[static_cast<std::size_t>(c)] = static_cast<float>(slope);
    affine[static_cast<std::size_t>(width + c)] = static_cast<float>(shift[c] - centre * slope);
  }
  return affine;
}

std::int64_t separable_scratch(const Instruction& at) {
  const std::int64_t pixels = std::int64_t{at.out_height} * at.out_width;
  const std::int64_t channels = padded(at.in_channels);
  const std::int64_t reach = std::int64_t{at.dilation} * (at.kernel_height - 1);
  const std::int64_t around = (at.in_height + reach + 1) * (at.in_width + reach) * channels;
  return whole_lines(pixels * padded(at.out_channels)) + whole_lines(pixels * channels) +
         whole_lines(around + kPanel);
}

const Stages& stages() {
#if defined(NASCORE_X86)
  static const PerIsa<Stages> found{&baseline::stages, &avx2::stages, &avx512::stages};
#else
  static const PerIsa<Stages> found{&baseline::stages};
#endif
  return found.chosen();
}

const SeparableStages& separable_stages() {
#if defined(NASCORE_X86)
  static const PerIsa<SeparableStages> found{&baseline::separable_stages, &avx2::separable_stages,
                                             &avx512::separable_stages};
#else
  static const PerIsa<SeparableStages> found{&baseline::separable_stages};
#endif
  return found.chosen();
}

}  // namespace nascore::kernels
