#include "nascore/kernels/separable_sample.hpp"

#include "nascore/kernels/convolution_parts.hpp"

namespace nascore::kernels::NASCORE_ISA {
namespace {

void sums(const SeparableSample& sample, double* sums) {
  const Instruction& at = *sample.at;
  const std::int64_t channels = at.out_channels;
  for (int y = 0; y < at.out_height; ++y) {
    const std::int64_t first = std::int64_t{y} * at.out_width * channels;
    for (std::int64_t c = 0; c < channels; c += kLanes) {
      const std::int64_t wanted = channels - c;
      const Vector pivot = load(sample.raw + first + c, wanted);  // as in `statistics`
      Vector sum{}, product{};
      for (int x = 0; x < at.out_width; ++x) {
        const std::int64_t i = first + x * channels + c;
        const Vector grad = load(sample.grad + i, wanted);
        sum += grad;
        product += grad * (load(sample.raw + i, wanted) - pivot);
      }
      for (int lane = 0; lane < kLanes && lane < wanted; ++lane) {
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
    for (std::int64_t c = 0; c < channels; c += kLanes) {
      const std::int64_t at_channel = i * channels + c, wanted = channels - c;
      const Vector grad = load(sample.grad + at_channel, wanted);
      const Vector raw = load(sample.raw + at_channel, wanted);
      store(out + i * width + c,
            grad * load(norm + c) + raw * load(norm + width + c) + load(norm + 2 * width + c));
    }
  }
}

// P rows of out [., width] += the products of P columns of a [count, a_width] and V vectors of b.
template <int P, int V>
void outer(const float* a, std::int64_t a_width, const float* b, std::int64_t width,
           std::int64_t count, float* out) {
  Vector sums[P][V];
#pragma GCC unroll 8
  for (int p = 0; p < P; ++p) {
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) sums[p][v] = load(out + p * width + v * kLanes);
  }
  for (std::int64_t i = 0; i < count; ++i, a += a_width, b += width) {
    Vector right[V];
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) right[v] = load(b + v * kLanes);
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) {
      const Vector left = all(a[p]);
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) sums[p][v] += left * right[v];
    }
  }
#pragma GCC unroll 8
  for (int p = 0; p < P; ++p) {
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) store(out + p * width + v * kLanes, sums[p][v]);
  }
}

// out [rows, width] += transposed a [count, a_width] times b [count, width], of whole vectors.
void add_product(const float* a, std::int64_t rows, std::int64_t a_width, const float* b,
                 std::int64_t width, std::int64_t count, float* out) {
  const auto columns = [&](auto rows_at_once, std::int64_t row) {
    constexpr int P = decltype(rows_at_once)::value;
    std::int64_t c = 0;
    for (; c + kPanel <= width; c += kPanel) {
      outer<P, 2>(a + row, a_width, b + c, width, count, out + row * width + c);
    }
    if (c < width) outer<P, 1>(a + row, a_width, b + c, width, count, out + row * width + c);
  };
  std::int64_t row = 0;
  for (; row + kPixels <= rows; row += kPixels) {
    columns(std::integral_constant<int, kPixels>{}, row);
  }
  for (; row < rows; ++row) columns(std::integral_constant<int, 1>{}, row);
}

// of_weights [taps, channels] += the sums over pixels of grad and of what lies under each tap.
template <int K>
void add_taps(const Instruction& at, const Window& under, const float* grad, float* of_weights) {
  const std::int64_t channels = under.channels, row = under.width * channels;
  const int side = K > 0 ? K : at.kernel_width;
  const std::int64_t step = at.dilation * channels, next = at.stride * channels;
  for (std::int64_t c = 0; c < channels; c += kLanes) {
    for (int ky = 0; ky < at.kernel_height; ++ky) {
      for (int first = 0; first < side; first += kPixels) {
        constexpr int kMost = K > 0 ? (K < kPixels ? K : kPixels) : kPixels;
        const int some = std::min(side - first, kMost);
        float* const of = of_weights + (ky * side + first) * channels + c;
        Vector sums[kMost] = {};
        for (int y = 0; y < at.out_height; ++y) {
          const float* x =
              under.pixels + (y * at.stride + ky * at.dilation) * row + c + first * step;
          const float* g = grad + std::int64_t{y} * at.out_width * channels + c;
          if (some == kMost) {
            for (int i = 0; i < at.out_width; ++i, x += next, g += channels) {
              const Vector value = load(g);
#pragma GCC unroll 8
              for (int kx = 0; kx < kMost; ++kx) sums[kx] += value * load(x + kx * step);
            }
          } else {
            for (int i = 0; i < at.out_width; ++i, x += next, g += channels) {
              const Vector value = load(g);
              for (int kx = 0; kx < some; ++kx) sums[kx] += value * load(x + kx * step);
            }
          }
        }
        for (int kx = 0; kx < some; ++kx) {
          store(of + kx * channels, load(of + kx * channels) + sums[kx]);
        }
      }
    }
  }
}

void add_taps(const Instruction& at, const Window& under, const float* grad, float* of_weights) {
  if (at.kernel_width == 3) return add_taps<3>(at, under, grad, of_weights);
  if (at.kernel_width == 5) return add_taps<5>(at, under, grad, of_weights);
  add_taps<0>(at, under, grad, of_weights);
}

// The gradient of the depthwise convolution's input where that was positive: a depthwise
// convolution by the flipped kernel of `grad`, with `stride` - 1 zeros between its pixels.
void of_input(const SeparableSample& sample, const SeparableWork& work, const float* grad,
              std::int64_t channels, float* spread) {
  const Instruction& at = *sample.at;
  Instruction flipped = at;
  flipped.stride = 1;
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
    depthwise_row(flipped, spread + y * width * channels, width * channels, channels, work.flipped,
                  row_out, at.in_width);
    const std::int64_t first = y * at.in_width * at.in_channels;
    for (std::int64_t x = 0; x < at.in_width; ++x) {
      for (std::int64_t c = 0; c < at.in_channels; c += kLanes) {
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
  float* const grad = work.scratch;             // [pixels, width], of the pointwise result
  float* const middle = grad + pixels * width;  // [pixels, channels], then its gradient
  float* const rest = middle + pixels * channels;
  through_norm(sample, work.norm, grad);
  const Window under =
      window({&at, sample.x, nullptr, nullptr, 0, at.out_height, nullptr}, channels, rest);
  const std::int64_t row = under.width * channels;
  for (int y = 0; y < at.out_height; ++y) {
    depthwise_row(at, under.pixels + y * at.stride * row, row, channels, work.depthwise,
                  middle + std::int64_t{y} * at.out_width * channels, at.out_width);
  }
  add_product(middle, at.in_channels, channels, grad, width, pixels, work.of_pointwise);
  multiply([&](std::int64_t i) { return grad + i * width; }, pixels, one_tap(at.out_channels),
           work.transposed, at.in_channels, {middle, channels, false, false});
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
