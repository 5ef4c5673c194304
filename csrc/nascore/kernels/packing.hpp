// How the weights of an instruction lie in memory, so that the kernels read them in order.
#pragma once

#include <cstdint>

namespace nascore::kernels {

inline constexpr int kLanes = 8;           // floats of a vector
inline constexpr int kPanel = 2 * kLanes;  // output channels that are computed together

// Channels rounded up to whole vectors.
constexpr std::int64_t padded(std::int64_t channels) {
  return (channels + kLanes - 1) / kLanes * kLanes;
}

// Weights [depth, channels] as panels of kPanel channels, the last of kLanes where these are
// enough: each [depth, its channels], zeros beyond the last channel. Then a bias per channel.
constexpr std::int64_t packed_size(std::int64_t depth, std::int64_t channels) {
  return (depth + 1) * padded(channels);
}

// A convolution's weights [out, in, height, width] in the order of `depth` = [height, width, in],
// each output channel times its scale; `bias` may be null.
void pack_convolution(const float* weights, const float* scale, const float* bias, std::int64_t out,
                      std::int64_t in, std::int64_t height, std::int64_t width, float* packed);

// A depthwise convolution's weights [channels, height * width] as [height * width, padded].
void pack_depthwise(const float* weights, std::int64_t channels, std::int64_t taps, float* packed);

// A number per channel, zeros up to `padded`.
void pack_channels(const float* values, std::int64_t channels, float* packed);

}  // namespace nascore::kernels
