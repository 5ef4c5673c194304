#include "nascore/kernels/separable_sample.hpp"

#include <type_traits>

#include "nascore/kernels/convolution_parts.hpp"

namespace nascore::kernels::NASCORE_ISA {
namespace {

void sums(const SeparableSample& sample, double* sums) {
  const Instruction& at = *sample.at;
  const std::int64_t channels = at.out_channels;
  for (int y = 0; y < at.out_height; ++y) {
    const std::int64_t first = std::int64_t{y} * at.out_width * channels;
    for (std::int64_t c = 0; c < channels; c += kVector) {
      const std::int64_t wanted = channels - c;
      const Vector pivot = load(sample.raw + first + c, wanted);  // as in `statistics`
      Vector sum{}, product{};
      for (int x = 0; x < at.out_width; ++x) {
        const std::int64_t i = first + x * channels + c;
        const Vector grad = load(sample.grad + i, wanted);
        sum += grad;
        product += grad * (load(sample.raw + i, wanted) - pivot);
      }
      for (int lane = 0; lane < kVector && lane < wanted; ++lane) {
        sums[c + lane] += double(sum[lane]);
        sums[channels + c + lane] +=
            double(product[lane]) + double(pivot[lane]) * double(sum[lane]);
      }
    }
  }
}

// The gradient before the norm, [pixels, padded].
void through_norm(const SeparableSample& sample, const float* norm, float* out) {
  const Instruction& at = *sample.at;
  const std::int64_t channels = at.out_channels, width = padded(channels);
  const std::int64_t pixels = std::int64_t{at.out_height} * at.out_width;
  for (std::int64_t i = 0; i < pixels; ++i) {
    for (std::int64_t c = 0; c < channels; c += kVector) {
      const std::int64_t at_channel = i * channels + c, wanted = channels - c;
      const Vector grad = load(sample.grad + at_channel, wanted);
      const Vector raw = load(sample.raw + at_channel, wanted);
      const Vector by_grad = load_padded(norm + c, wanted);
      const Vector by_raw = load_padded(norm + width + c, wanted);
      const Vector value =
          grad * by_grad + raw * by_raw + load_padded(norm + 2 * width + c, wanted);
      store_padded(out + i * width + c, value, wanted);
    }
  }
}

// P rows of out [., width] += the products of P columns of a [count, a_width] and V vectors of b.
template <int P, int V, bool kHalf>
void outer(const float* a, std::int64_t a_width, const float* b, std::int64_t width,
           std::int64_t count, float* out) {
  constexpr std::int64_t kWhole = kHalf ? kLanes : kVector;
  Vector sums[P][V];
#pragma GCC unroll 16
  for (int p = 0; p < P; ++p) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) sums[p][v] = load_padded(out + p * width + v * kVector, kWhole);
  }
  for (std::int64_t i = 0; i < count; ++i, a += a_width, b += width) {
    Vector right[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) right[v] = load_padded(b + v * kVector, kWhole);
#pragma GCC unroll 16
    for (int p = 0; p < P; ++p) {
      const Vector left = all(a[p]);
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) sums[p][v] += left * right[v];
    }
  }
#pragma GCC unroll 16
  for (int p = 0; p < P; ++p) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) store_padded(out + p * width + v * kVector, sums[p][v], kWhole);
  }
}

// All rows, P at once, then fewer.
template <int P, int V, bool kHalf>
void outer_rows(const float* a, std::int64_t rows, std::int64_t a_width, const float* b,
                std::int64_t width, std::int64_t count, float* out) {
  for (; rows >= P; rows -= P, a += P, out += P * width) {
    outer<P, V, kHalf>(a, a_width, b, width, count, out);
  }
  constexpr int kFewer = P > 4 ? 4 : P / 2;
  if constexpr (kFewer > 0) {
    if (rows > 0) outer_rows<kFewer, V, kHalf>(a, rows, a_width, b, width, count, out);
  }
}

// out [rows, width] += transposed a [count, a_width] times b [count, width], of padded channels.
void add_product(const float* a, std::int64_t rows, std::int64_t a_width, const float* b,
                 std::int64_t width, std::int64_t count, float* out) {
  by_panels(width, [&](auto given, std::int64_t c) {
    using Given = decltype(given);
    outer_rows<kPixels, Given::kCount, Given::kHalf>(a, rows, a_width, b + c, width, count,
                                                     out + c);
  });
}

// Rows of a kernel of K columns that are computed together: as many sums as there are registers
// for.
#if defined(__AVX512F__)
template <int K>
constexpr int kRows = K == 7 ? 4 : K;
#elif defined(__AVX__) || defined(__aarch64__)
template <int K>
constexpr int kRows = K == 3 ? 3 : 2;
#else
template <int K>
constexpr int kRows = 1;
#endif

// A vector of channels of R x C taps, `x` under the first of them: of_weights [taps, channels] +=
// the sums over pixels of grad and of what lies under each tap.
template <int R, int C, bool kHalf>
void taps_tile(const Instruction& at, const Window& under, const float* x, const float* grad,
               float* of_weights) {
  constexpr std::int64_t kWhole = kHalf ? kLanes : kVector;
  const std::int64_t channels = under.channels, row = under.row();
  const std::int64_t down = at.dilation * row, along = at.dilation * channels;
  Vector sums[R][C] = {};
  for (int y = 0; y < at.out_height; ++y, x += at.stride * row) {
    const float* pixel = x;
    for (int i = 0; i < at.out_width; ++i, pixel += at.stride * channels, grad += channels) {
      const Vector value = load_padded(grad, kWhole);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
        for (int c = 0; c < C; ++c) {
          sums[r][c] += value * load_padded(pixel + r * down + c * along, kWhole);
        }
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int c = 0; c < C; ++c) {
      float* const of = of_weights + (r * at.kernel_width + c) * channels;
      store_padded(of, load_padded(of, kWhole) + sums[r][c], kWhole);
    }
  }
}

// All taps; of a kernel that is not K wide one by one.
template <int K, bool kHalf>
void vector_of_taps(const Instruction& at, const Window& under, const float* grad,
                    std::int64_t channel, float* of_weights) {
  const auto some = [&](auto rows, auto columns, int y, int x) {
    const float* const from =
        under.pixels + at.dilation * (y * under.width + x) * under.channels + channel;
    taps_tile<decltype(rows)::value, decltype(columns)::value, kHalf>(
        at, under, from, grad + channel,
        of_weights + (y * at.kernel_width + x) * under.channels + channel);
  };
  if constexpr (K > 0) {
    constexpr int R = kRows<K>, kRest = K % R;
    const std::integral_constant<int, K> columns;
    for (int y = 0; y + R <= K; y += R) some(std::integral_constant<int, R>{}, columns, y, 0);
    if constexpr (kRest > 0) some(std::integral_constant<int, kRest>{}, columns, K - kRest, 0);
  } else {
    const std::integral_constant<int, 1> one;
    for (int y = 0; y < at.kernel_height; ++y) {
      for (int x = 0; x < at.kernel_width; ++x) some(one, one, y, x);
    }
  }
}

template <int K>
void add_taps(const Instruction& at, const Window& under, const float* grad, float* of_weights) {
  for (std::int64_t c = 0; c < under.channels; c += kVector) {
    constexpr bool kHalves = kVector > kLanes;
    if (kHalves && under.channels - c <= kLanes) {
      vector_of_taps<K, kHalves>(at, under, grad, c, of_weights);
    } else {
      vector_of_taps<K, false>(at, under, grad, c, of_weights);
    }
  }
}

void add_taps(const Instruction& at, const Window& under, const float* grad, float* of_weights) {
  if (at.kernel_width == 3) return add_taps<3>(at, under, grad, of_weights);
  if (at.kernel_width == 5) return add_taps<5>(at, under, grad, of_weights);
  if (at.kernel_width == 7) return add_taps<7>(at, under, grad, of_weights);
  add_taps<0>(at, under, grad, of_weights);
}

// The gradient of the depthwise convolution's input where that was positive: a depthwise
// convolution by the flipped kernel of `grad`, with `stride` - 1 zeros between its pixels.
void of_input(const SeparableSample& sample, const SeparableWork& work, const float* grad,
              std::int64_t channels, float* spread) {
  const Instruction& at = *sample.at;
  Instruction flipped = at;
  flipped.stride = 1;
  const Tiles tiles(flipped);
  const std::int64_t reach = std::int64_t{at.dilation} * (at.kernel_height - 1);
  const std::int64_t top = reach - at.pad_top;
  const std::int64_t height = at.in_height + reach, width = at.in_width + reach;
  float* const row_out = spread + height * width * channels;  // [in_width, channels]
  std::fill(spread, row_out, 0.0f);
  for (int y = 0; y < at.out_height; ++y) {
    for (int x = 0; x < at.out_width; ++x, grad += channels) {
      const std::int64_t row = y * at.stride + top, column = x * at.stride + top;
      std::copy(grad, grad + channels, spread + (row * width + column) * channels);
    }
  }
  for (std::int64_t y = 0; y < at.in_height; ++y) {
    depthwise_row(flipped, tiles, spread + y * width * channels, width * channels, channels,
                  work.flipped, row_out, at.in_width);
    const std::int64_t first = y * at.in_width * at.in_channels;
    for (std::int64_t x = 0; x < at.in_width; ++x) {
      for (std::int64_t c = 0; c < at.in_channels; c += kVector) {
        const std::int64_t i = first + x * at.in_channels + c, wanted = at.in_channels - c;
        const Vector value = load(row_out + x * channels + c);
        store(work.of_x + i, load(sample.x + i, wanted) > 0 ? value : Vector{}, wanted);
      }
    }
  }
}

void backward(const SeparableSample& sample, const SeparableWork& work) {
  const Instruction& at = *sample.at;
  const std::int64_t pixels = std::int64_t{at.out_height} * at.out_width;
  const std::int64_t channels = padded(at.in_channels), width = padded(at.out_channels);
  float* const grad = work.scratch;  // [pixels, width], of the pointwise result
  float* const middle =
      grad + whole_lines(pixels * width);  // [pixels, channels], then its gradient
  float* const rest = middle + whole_lines(pixels * channels);
  through_norm(sample, work.norm, grad);
  const Window under = window_of(at, channels, rest);
  const std::int64_t reach = std::int64_t{at.dilation} * (at.kernel_height - 1) + 1;
  fill({&at, sample.x, nullptr, nullptr, 0, at.out_height, nullptr}, under, 0,
       std::int64_t{at.out_height - 1} * at.stride + reach);
  const std::int64_t row = under.row();
  const Tiles tiles(at);
  for (int y = 0; y < at.out_height; ++y) {
    depthwise_row(at, tiles, under.pixels + y * at.stride * row, row, channels, work.depthwise,
                  middle + std::int64_t{y} * at.out_width * channels, at.out_width);
  }
  add_product(middle, at.in_channels, channels, grad, width, pixels, work.of_pointwise);
  multiply(evenly(grad, width), pixels, one_tap(at.out_channels), work.transposed, at.in_channels,
           {middle, channels, false, false});
  if (channels > at.in_channels) {  // what the product does not write
    for (std::int64_t i = 0; i < pixels; ++i) {
      std::fill(middle + i * channels + at.in_channels, middle + (i + 1) * channels, 0.0f);
    }
  }
  add_taps(at, under, middle, work.of_depthwise);
  of_input(sample, work, middle, channels, rest);
}

}  // namespace

SeparableStages separable_stages() { return {&sums, &backward}; }

}  // namespace nascore::kernels::NASCORE_ISA
