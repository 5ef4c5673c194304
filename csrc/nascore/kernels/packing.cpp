#include "nascore/kernels/packing.hpp"

#include <algorithm>

namespace nascore::kernels {

void pack_convolution(const float* weights, const float* scale, const float* bias, std::int64_t out,
                      std::int64_t in, std::int64_t height, std::int64_t width, float* packed) {
  const std::int64_t taps = height * width;
  for (std::int64_t first = 0; first < padded(out); first += kPanel) {
    const std::int64_t panel = std::min<std::int64_t>(kPanel, padded(out) - first);
    for (std::int64_t tap = 0; tap < taps; ++tap) {
      for (std::int64_t i = 0; i < in; ++i) {
        for (std::int64_t o = first; o < first + panel; ++o) {
          *packed++ = o < out ? scale[o] * weights[(o * in + i) * taps + tap] : 0;
        }
      }
    }
  }
  for (std::int64_t o = 0; o < padded(out); ++o) *packed++ = o < out && bias ? bias[o] : 0;
}

void pack_depthwise(const float* weights, std::int64_t channels, std::int64_t taps, float* packed) {
  for (std::int64_t tap = 0; tap < taps; ++tap) {
    for (std::int64_t c = 0; c < padded(channels); ++c) {
      *packed++ = c < channels ? weights[c * taps + tap] : 0;
    }
  }
}

void pack_channels(const float* values, std::int64_t channels, float* packed) {
  std::copy(values, values + channels, packed);
  std::fill(packed + channels, packed + padded(channels), 0.0f);
}

}  // namespace nascore::kernels
