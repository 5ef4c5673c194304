// What convolutions are made of: the window of the input, a product of pixels and packed weights,
// depthwise rows. Included only by what is compiled per instruction set.
#pragma once

#include <algorithm>

#include "nascore/kernels/stages.hpp"
#include "nascore/kernels/vectors.hpp"

namespace nascore::kernels::NASCORE_ISA {
namespace {

// Pixels of a tile: as many sums as there are registers for.
#if defined(__AVX__) || defined(__aarch64__)
constexpr int kPixels = 6;
#else
constexpr int kPixels = 2;
#endif

// The input's pixels under the kernel, zeros where there is no image, in `scratch`: rows of `width`
// pixels of `channels` floats, and a vector more.
struct Window {
  const float* pixels;
  std::int64_t channels, width;
};

inline Window window(const Work& work, std::int64_t channels, float* scratch) {
  const Instruction& at = *work.instruction;
  const std::int64_t reach_y = std::int64_t{at.dilation} * (at.kernel_height - 1) + 1;
  const std::int64_t reach_x = std::int64_t{at.dilation} * (at.kernel_width - 1) + 1;
  const std::int64_t width = std::int64_t{at.out_width - 1} * at.stride + reach_x;
  const std::int64_t first = std::int64_t{work.first} * at.stride - at.pad_top;
  const std::int64_t rows = std::int64_t{work.last - work.first - 1} * at.stride + reach_y;
  const std::int64_t left = std::clamp<std::int64_t>(at.pad_left, 0, width);
  const std::int64_t skip = std::max<std::int64_t>(-at.pad_left, 0);  // pixels left of the window
  const std::int64_t inside = std::clamp<std::int64_t>(at.in_width - skip, 0, width - left);
  const std::int64_t row_floats = width * channels;
  float* out = scratch;
  for (std::int64_t y = first; y < first + rows; ++y, out += row_floats) {
    if (y < 0 || y >= at.in_height || inside == 0) {
      std::fill(out, out + row_floats, 0.0f);
      continue;
    }
    const float* from = work.from + (y * at.in_width + skip) * at.from_stride;
    std::fill(out, out + left * channels, 0.0f);
    float* pixel = out + left * channels;
    for (std::int64_t x = 0; x < inside; ++x, pixel += channels, from += at.from_stride) {
      // Whole vectors, of which the next pixel overwrites what is too much.
      for (std::int64_t c = 0; c < channels; c += kLanes) {
        const Vector value = load(from + c, at.in_channels - c);
        store(pixel + c, at.relu ? relu(value) : value);
      }
    }
    std::fill(pixel, out + row_floats, 0.0f);
  }
  return {scratch, channels, width};
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

// P pixels times V vectors of output channels, of which `channels` are wanted.
template <int P, int V>
void tile(const float* const* pixels, const Taps& taps, const float* weights, const float* bias,
          const Target& target, float* to, std::int64_t channels) {
  Vector sums[P][V];
#pragma GCC unroll 8
  for (int p = 0; p < P; ++p) {
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) sums[p][v] = load(bias + v * kLanes);
  }
  for (int t = 0; t < taps.count; ++t) {
    const float* from[P];
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) from[p] = pixels[p] + taps.at[t];
    for (std::int64_t i = 0; i < taps.length; ++i) {
      Vector w[V];
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) w[v] = load(weights + v * kLanes);
      weights += V * kLanes;
#pragma GCC unroll 8
      for (int p = 0; p < P; ++p) {
        const Vector x = all(from[p][i]);
#pragma GCC unroll 2
        for (int v = 0; v < V; ++v) sums[p][v] += x * w[v];
      }
    }
  }
#pragma GCC unroll 8
  for (int p = 0; p < P; ++p) {
    float* pixel = to + p * target.stride;
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) {
      const std::int64_t wanted = channels - v * kLanes;
      if (wanted <= 0) continue;
      Vector sum = sums[p][v];
      if (target.accumulate) sum += load(pixel + v * kLanes, wanted);
      if (target.relu) sum = relu(sum);
      store(pixel + v * kLanes, sum, wanted);
    }
  }
}

// As many pixels as are left, at most P.
template <int P, int V>
void rest(const float* const* pixels, std::int64_t count, const Taps& taps, const float* weights,
          const float* bias, const Target& target, float* to, std::int64_t channels) {
  if constexpr (P > 0) {
    if (count == P) return tile<P, V>(pixels, taps, weights, bias, target, to, channels);
    rest<P - 1, V>(pixels, count, taps, weights, bias, target, to, channels);
  }
}

template <int V>
void panel(const float* const* pixels, std::int64_t count, const Taps& taps, const float* weights,
           const float* bias, const Target& target, float* to, std::int64_t channels) {
  std::int64_t p = 0;
  for (; p + kPixels <= count; p += kPixels) {
    tile<kPixels, V>(pixels + p, taps, weights, bias, target, to + p * target.stride, channels);
  }
  rest<kPixels - 1, V>(pixels + p, count - p, taps, weights, bias, target, to + p * target.stride,
                       channels);
}

// The pixels in their order, at most this many at once, whose addresses lie on the stack.
constexpr std::int64_t kTogether = 16 * kPixels;

// Output pixels = bias + what `taps` read times packed weights. `address(i)` is the first float
// under output pixel i.
template <class Address>
void multiply(Address address, std::int64_t count, const Taps& taps, const float* packed,
              std::int64_t channels, const Target& target) {
  const std::int64_t depth = taps.count * taps.length;
  const float* const bias = packed + depth * padded(channels);
  for (std::int64_t first = 0; first < count; first += kTogether) {
    const std::int64_t some = std::min(kTogether, count - first);
    const float* pixels[kTogether];
    for (std::int64_t i = 0; i < some; ++i) pixels[i] = address(first + i);
    const float* weights = packed;
    float* to = target.to + first * target.stride;
    for (std::int64_t c = 0; c < channels; c += kPanel) {
      const std::int64_t left = channels - c;
      if (left > kLanes) {
        panel<2>(pixels, some, taps, weights, bias + c, target, to + c, left);
      } else {
        panel<1>(pixels, some, taps, weights, bias + c, target, to + c, left);
      }
      weights += depth * kPanel;
    }
  }
}

// Depthwise: a vector of channels of P neighbouring pixels of a row.
template <int P, int K, int S, int D>
void depthwise_tile(const float* x, std::int64_t row, std::int64_t channels, const float* weights,
                    float* out) {
  Vector sums[P] = {};
#pragma GCC unroll 1
  for (int ky = 0; ky < K; ++ky, x += D * row, weights += K * channels) {
    Vector taps[K];
#pragma GCC unroll 8
    for (int kx = 0; kx < K; ++kx) taps[kx] = load(weights + kx * channels);
#pragma GCC unroll 32
    for (int i = 0; i <= (P - 1) * S + (K - 1) * D; ++i) {
      const Vector value = load(x + i * channels);
#pragma GCC unroll 8
      for (int p = 0; p < P; ++p) {
        const int reach = i - p * S;
        if (reach >= 0 && reach % D == 0 && reach / D < K) sums[p] += value * taps[reach / D];
      }
    }
  }
#pragma GCC unroll 8
  for (int p = 0; p < P; ++p) store(out + p * channels, sums[p]);
}

// The same of one pixel, of any kernel, stride and dilation.
inline void depthwise_pixel(const Instruction& at, const float* x, std::int64_t row,
                            std::int64_t channels, const float* weights, float* out) {
  Vector sum{};
  for (int ky = 0; ky < at.kernel_height; ++ky) {
    const float* from = x + ky * at.dilation * row;
    for (int kx = 0; kx < at.kernel_width; ++kx, weights += channels) {
      sum += load(from + kx * at.dilation * channels) * load(weights);
    }
  }
  store(out, sum);
}

using Tile = void (*)(const float*, std::int64_t, std::int64_t, const float*, float*);

template <int P, int K>
Tile tile_of(int stride, int dilation) {
  if (stride == 1 && dilation == 1) return &depthwise_tile<P, K, 1, 1>;
  if (stride == 1 && dilation == 2) return &depthwise_tile<P, K, 1, 2>;
  if (stride == 2 && dilation == 1) return &depthwise_tile<P, K, 2, 1>;
  if (stride == 2 && dilation == 2) return &depthwise_tile<P, K, 2, 2>;
  return nullptr;
}

template <int P>
Tile tile_of(const Instruction& at) {
  if (at.kernel_height != at.kernel_width) return nullptr;
  if (at.kernel_height == 3) return tile_of<P, 3>(at.stride, at.dilation);
  if (at.kernel_height == 5) return tile_of<P, 5>(at.stride, at.dilation);
  if (at.kernel_height == 7) return tile_of<P, 7>(at.stride, at.dilation);
  return nullptr;
}

// One row of `width` output pixels, vector by vector so that what lies under it stays in the cache.
inline void depthwise_row(const Instruction& at, const float* from, std::int64_t row,
                          std::int64_t channels, const float* weights, float* to, int width) {
  const Tile wide = tile_of<8>(at), narrow = tile_of<4>(at);
  const std::int64_t step = at.stride * channels;
  for (std::int64_t c = 0; c < channels; c += kLanes) {
    const float *x = from + c, *const w = weights + c;
    float* out = to + c;
    int left = width;
    const auto tiles = [&](Tile tile, int pixels) {
      for (; tile != nullptr && left >= pixels; left -= pixels) {
        tile(x, row, channels, w, out);
        x += pixels * step;
        out += pixels * channels;
      }
    };
    tiles(wide, 8);
    tiles(narrow, 4);
    for (; left > 0; --left, x += step, out += channels) {
      depthwise_pixel(at, x, row, channels, w, out);
    }
  }
}

}  // namespace
}  // namespace nascore::kernels::NASCORE_ISA
