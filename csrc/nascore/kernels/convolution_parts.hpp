// What convolutions are made of: a product of pixels and packed weights, depthwise rows. Included
// only by what is compiled per instruction set.
#pragma once

#include <algorithm>

#include "nascore/kernels/stages.hpp"
#include "nascore/kernels/vectors.hpp"
#include "nascore/kernels/window.hpp"

namespace nascore::kernels::NASCORE_ISA {
namespace {

// Pixels of a tile, and panels that are computed together: as many sums as there are registers for.
#if defined(__AVX512F__)
constexpr int kPixels = 8, kMostPanels = 3;
#elif defined(__AVX__) || defined(__aarch64__)
constexpr int kPixels = 6, kMostPanels = 1;
#else
constexpr int kPixels = 2, kMostPanels = 1;
#endif

template <int V, bool kOfHalf>
struct Vectors {
  static constexpr int kCount = V;
  static constexpr bool kHalf = kOfHalf;
};

// Calls part(Vectors, c) for all panels of `width` padded channels: so many vectors from channel c
// on. A half panel is one vector, of which kLanes count.
template <class Part>
void by_panels(std::int64_t width, const Part& part) {
  constexpr int kEach = kPanel / kVector;
  std::int64_t c = 0;
  while (width - c >= kPanel) {
    const std::int64_t left = (width - c) / kPanel;
    if constexpr (kMostPanels == 3) {
      if (left == 3 || left > 4) {
        part(Vectors<3 * kEach, false>{}, c);
        c += 3 * kPanel;
        continue;
      }
      if (left >= 2) {
        part(Vectors<2 * kEach, false>{}, c);
        c += 2 * kPanel;
        continue;
      }
    }
    part(Vectors<kEach, false>{}, c);
    c += kPanel;
  }
  if (c < width) part(Vectors<1, true>{}, c);
}

// What a product reads for each of its pixels: `count` pieces of `length` floats, at these offsets.
struct Taps {
  int count;
  std::int64_t length;
  std::int64_t at[kMostTaps];
};

// Of a pointwise product.
inline Taps one_tap(std::int64_t length) {
  Taps taps;
  taps.count = 1;
  taps.length = length;
  taps.at[0] = 0;
  return taps;
}

struct Target {
  float* to;
  std::int64_t stride;
  bool relu, accumulate;
};

// Packed weights [depth, panel] of neighbouring panels, and the biases of these channels.
struct Panels {
  const float* weights;
  std::int64_t size;  // floats of a panel
  const float* bias;
};

// P pixels times V vectors of output channels, of which `channels` are wanted.
template <int P, int V, bool kHalf>
void tile(const float* const* pixels, const Taps& taps, const Panels& panels, const Target& target,
          float* to, std::int64_t channels) {
  constexpr std::int64_t kWhole = kHalf ? kLanes : kVector;
  const float* weights[V];
  Vector sums[P][V];
#pragma GCC unroll 4
  for (int v = 0; v < V; ++v) {
    const int first = v * kVector;
    weights[v] = panels.weights + first / kPanel * panels.size + first % kPanel;
#pragma GCC unroll 16
    for (int p = 0; p < P; ++p) sums[p][v] = load_padded(panels.bias + first, kWhole);
  }
  std::int64_t depth = 0;
  for (int t = 0; t < taps.count; ++t) {
    const float* from[P];
#pragma GCC unroll 16
    for (int p = 0; p < P; ++p) from[p] = pixels[p] + taps.at[t];
    for (std::int64_t i = 0; i < taps.length; ++i, depth += kHalf ? kLanes : kPanel) {
      Vector w[V];
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) w[v] = load_padded(weights[v] + depth, kWhole);
#pragma GCC unroll 16
      for (int p = 0; p < P; ++p) {
        const Vector x = all(from[p][i]);
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) sums[p][v] += x * w[v];
      }
    }
  }
  const Target how = target;  // a copy, which no vector that is stored can change
#pragma GCC unroll 16
  for (int p = 0; p < P; ++p) {
    float* pixel = to + p * how.stride;
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      const std::int64_t wanted = channels - v * kVector;
      if (wanted <= 0) continue;
      Vector sum = sums[p][v];
      if (how.accumulate) sum += load(pixel + v * kVector, wanted);
      if (how.relu) sum = relu(sum);
      store(pixel + v * kVector, sum, wanted);
    }
  }
}

// All pixels, P at once, then fewer.
template <int P, int V, bool kHalf>
void tiles(const float* const* pixels, std::int64_t count, const Taps& taps, const Panels& panels,
           const Target& target, float* to, std::int64_t channels) {
  for (; count >= P; count -= P, pixels += P, to += P * target.stride) {
    tile<P, V, kHalf>(pixels, taps, panels, target, to, channels);
  }
  constexpr int kFewer = P > 4 ? 4 : P / 2;
  if constexpr (kFewer > 0) {
    if (count > 0) tiles<kFewer, V, kHalf>(pixels, count, taps, panels, target, to, channels);
  }
}

// The pixels in their order, at most this many at once, whose addresses lie on the stack.
constexpr std::int64_t kTogether = 16 * kPixels;

// Output pixels = bias + what `taps` read times packed weights. `address()` is the first float
// under the next output pixel.
template <class Address>
void multiply(Address address, std::int64_t count, const Taps& taps, const float* packed,
              std::int64_t channels, const Target& target) {
  const std::int64_t depth = taps.count * taps.length;
  const float* const bias = packed + depth * padded(channels);
  for (std::int64_t first = 0; first < count; first += kTogether) {
    const std::int64_t some = std::min(kTogether, count - first);
    const float* pixels[kTogether];
    for (std::int64_t i = 0; i < some; ++i) pixels[i] = address();
    float* const to = target.to + first * target.stride;
    by_panels(padded(channels), [&](auto given, std::int64_t c) {
      using Given = decltype(given);
      const Panels panels{packed + depth * c, depth * kPanel, bias + c};
      tiles<kPixels, Given::kCount, Given::kHalf>(pixels, some, taps, panels, target, to + c,
                                                  channels - c);
    });
  }
}

// Addresses `step` floats apart.
inline auto evenly(const float* pixel, std::int64_t step) {
  return [=]() mutable {
    const float* const at = pixel;
    pixel += step;
    return at;
  };
}

// Depthwise: a vector of channels of P neighbouring pixels of a row.
template <int P, int K, int S, int D, bool kHalf>
void depthwise_tile(const float* x, std::int64_t row, std::int64_t channels, const float* weights,
                    float* out) {
  constexpr std::int64_t kWhole = kHalf ? kLanes : kVector;
  Vector sums[P] = {};
#pragma GCC unroll 1
  for (int ky = 0; ky < K; ++ky, x += D * row, weights += K * channels) {
    Vector taps[K];
#pragma GCC unroll 8
    for (int kx = 0; kx < K; ++kx) {
      taps[kx] = load_padded(weights + kx * channels, kWhole);
    }
#pragma GCC unroll 32
    for (int i = 0; i <= (P - 1) * S + (K - 1) * D; ++i) {
      const Vector value = load_padded(x + i * channels, kWhole);
#pragma GCC unroll 8
      for (int p = 0; p < P; ++p) {
        const int reach = i - p * S;
        if (reach >= 0 && reach % D == 0 && reach / D < K) sums[p] += value * taps[reach / D];
      }
    }
  }
#pragma GCC unroll 8
  for (int p = 0; p < P; ++p) store_padded(out + p * channels, sums[p], kWhole);
}

// The same of one pixel, of any kernel, stride and dilation.
inline void depthwise_pixel(const Instruction& at, const float* x, std::int64_t row,
                            std::int64_t channels, const float* weights, float* out,
                            std::int64_t wanted) {
  Vector sum{};
  for (int ky = 0; ky < at.kernel_height; ++ky) {
    const float* from = x + ky * at.dilation * row;
    for (int kx = 0; kx < at.kernel_width; ++kx, weights += channels) {
      const Vector value = load_padded(from + kx * at.dilation * channels, wanted);
      sum += value * load_padded(weights, wanted);
    }
  }
  store_padded(out, sum, wanted);
}

using Tile = void (*)(const float*, std::int64_t, std::int64_t, const float*, float*);

template <int P, int K, bool kHalf>
Tile tile_of(int stride, int dilation) {
  if (stride == 1 && dilation == 1) return &depthwise_tile<P, K, 1, 1, kHalf>;
  if (stride == 1 && dilation == 2) return &depthwise_tile<P, K, 1, 2, kHalf>;
  if (stride == 2 && dilation == 1) return &depthwise_tile<P, K, 2, 1, kHalf>;
  if (stride == 2 && dilation == 2) return &depthwise_tile<P, K, 2, 2, kHalf>;
  return nullptr;
}

template <int P, bool kHalf>
Tile tile_of(const Instruction& at) {
  if (at.kernel_height != at.kernel_width) return nullptr;
  if (at.kernel_height == 3) return tile_of<P, 3, kHalf>(at.stride, at.dilation);
  if (at.kernel_height == 5) return tile_of<P, 5, kHalf>(at.stride, at.dilation);
  if (at.kernel_height == 7) return tile_of<P, 7, kHalf>(at.stride, at.dilation);
  return nullptr;
}

// The tiles of a kernel, of whole vectors and of half ones; null where only `depthwise_pixel` does.
struct Tiles {
  Tile wide[2], narrow[2];

  explicit Tiles(const Instruction& at)
      : wide{tile_of<8, false>(at), tile_of<8, kHalves>(at)},
        narrow{tile_of<4, false>(at), tile_of<4, kHalves>(at)} {}

  static constexpr bool kHalves = kVector > kLanes;
};

// One row of `width` output pixels, vector by vector so that what lies under it stays in the cache.
inline void depthwise_row(const Instruction& at, const Tiles& tiles, const float* from,
                          std::int64_t row, std::int64_t channels, const float* weights, float* to,
                          int width) {
  const std::int64_t step = at.stride * channels;
  for (std::int64_t c = 0; c < channels; c += kVector) {
    const std::int64_t wanted = channels - c;
    const bool half = wanted <= kLanes;
    const float *x = from + c, *const w = weights + c;
    float* out = to + c;
    int left = width;
    const auto run = [&](Tile tile, int pixels) {
      for (; tile != nullptr && left >= pixels; left -= pixels) {
        tile(x, row, channels, w, out);
        x += pixels * step;
        out += pixels * channels;
      }
    };
    run(tiles.wide[half], 8);
    run(tiles.narrow[half], 4);
    for (; left > 0; --left, x += step, out += channels) {
      depthwise_pixel(at, x, row, channels, w, out, wanted);
    }
  }
}

}  // namespace
}  // namespace nascore::kernels::NASCORE_ISA
