// What the tests of both convolutions share: a problem at a ragged shape, and the plain convolution
// in double precision that the kernels are compared with.
#pragma once

#include <algorithm>
#include <cmath>

#include "kernel_test.hpp"
#include "kernels.hpp"

namespace emulator {

using nascore::cuda::ConvShape;

template <class T>
constexpr double kRounding = 0x1p-24;
template <>
inline constexpr double kRounding<__half> = 0x1p-11;
template <>
inline constexpr double kRounding<__nv_bfloat16> = 0x1p-8;

inline std::size_t size_of(int a, int b = 1, int c = 1, int d = 1) {
  return static_cast<std::size_t>(a) * static_cast<std::size_t>(b) * static_cast<std::size_t>(c) *
         static_cast<std::size_t>(d);
}

// Padded so that each pixel of the input, or each stride-th, is the middle of a window.
inline ConvShape shape_of(int samples, int height, int width, int in, int out, int kernel_h,
                          int kernel_w, int stride, int dilation) {
  ConvShape shape;
  shape.samples = samples;
  shape.height = height;
  shape.width = width;
  shape.in_channels = shape.in_stride = in;
  shape.out_channels = shape.out_stride = out;
  shape.out_height = (height + stride - 1) / stride;
  shape.out_width = (width + stride - 1) / stride;
  shape.pad_top = kernel_h / 2 * dilation;
  shape.pad_left = kernel_w / 2 * dilation;
  shape.kernel_h = kernel_h;
  shape.kernel_w = kernel_w;
  shape.stride = stride;
  shape.dilation = dilation;
  return shape;
}

// Any window, anywhere; small sizes, in a concatenation or not.
inline ConvShape random_shape(Numbers& numbers) {
  const auto below = [&](int bound) {
    return static_cast<int>(numbers.next() % static_cast<std::uint32_t>(bound));
  };
  ConvShape shape = shape_of(1 + below(2), 1 + below(11), 1 + below(11), 1 + below(40),
                             1 + below(70), 1 + below(7), 1 + below(7), 1 + below(3), 1 + below(3));
  shape.out_height = 1 + below(11);
  shape.out_width = 1 + below(11);
  shape.pad_top = below(9) - 2;
  shape.pad_left = below(9) - 2;
  shape.in_stride += below(2) * below(9);
  shape.out_stride += below(2) * below(9);
  shape.relu = below(2) == 0;
  shape.relu_after = below(2) == 0;
  shape.accumulate = below(2) == 0;
  return shape;
}

inline std::string said(const ConvShape& shape) {
  return std::to_string(shape.kernel_h) + "x" + std::to_string(shape.kernel_w) + " by " +
         std::to_string(shape.stride) + ", " + std::to_string(shape.height) + "x" +
         std::to_string(shape.width) + "x" + std::to_string(shape.in_channels) + " to " +
         std::to_string(shape.out_channels);
}

inline std::vector<float> random_floats(std::size_t size, std::uint32_t seed) {
  Numbers numbers(seed);
  std::vector<float> values(size);
  for (float& value : values) value = numbers.real();
  return values;
}

// Bytes that the blocks have to ask for: the input under each 8 x 8 tile of the output, its border
// included, and the weights for each tile; the output once.
template <class T>
std::size_t due_bytes(const ConvShape& s, std::size_t weights) {
  const auto along = [&](int size, int kernel) {
    std::size_t read = 0;
    for (int first = 0; first < size; first += 8 * s.stride) {
      const int before = kernel / 2 * s.dilation, last = first + 7 * s.stride + before;
      read += size_of(std::min(last + 1, size) - std::max(first - before, 0));
    }
    return read;
  };
  const int height = s.out_height, width = s.out_width;
  const std::size_t read = along(s.height, s.kernel_h) * along(s.width, s.kernel_w);
  const std::size_t values = read * size_of(s.in_channels) + size_of(height, width, s.out_channels);
  return size_of(s.samples) * (values * sizeof(T) + size_of((height + 7) / 8, (width + 7) / 8) *
                                                        weights * sizeof(float));
}

// Values and the sums of their terms' sizes, [pixels, channels].
struct Plain {
  std::vector<double> value, sizes;
  explicit Plain(std::size_t size) : value(size), sizes(size) {}
  void add(std::size_t at, double a, double b) {
    value[at] += a * b;
    sizes[at] += std::fabs(a * b);
  }
};

// Calls term(sample, out row, out column, tap, row, column) for all that lie in the image.
template <class Term>
void for_taps(const ConvShape& s, const Term& term) {
  for (int n = 0; n < s.samples; ++n) {
    for (int i = 0; i < s.out_height; ++i) {
      for (int j = 0; j < s.out_width; ++j) {
        for (int tap = 0; tap < s.kernel_h * s.kernel_w; ++tap) {
          const int row = i * s.stride + tap / s.kernel_w * s.dilation - s.pad_top;
          const int column = j * s.stride + tap % s.kernel_w * s.dilation - s.pad_left;
          if (row < 0 || row >= s.height || column < 0 || column >= s.width) continue;
          term(n, i, j, tap, row, column);
        }
      }
    }
  }
}

// x and y with their strides between pixels, some elements off what is aligned; what lies between
// the channels of x is NaN, and of y it must stay as it is.
template <class T>
struct Convolution {
  ConvShape shape;
  std::size_t shift;
  std::size_t pixels;  // of the output
  Array<T> x;
  std::vector<T> before;  // y

  Convolution(const ConvShape& shape, std::size_t shift)
      : shape(shape),
        shift(shift),
        pixels(size_of(shape.samples, shape.out_height, shape.out_width)),
        x(size_of(shape.samples, shape.height, shape.width, shape.in_stride) + shift),
        before(pixels * size_of(shape.out_stride) + shift) {
    Numbers numbers(1);
    const auto stride = size_of(shape.in_stride);
    for (std::size_t i = shift; i < x.size(); ++i) {
      if ((i - shift) % stride < size_of(shape.in_channels)) x[i] = numbers.real();
    }
    for (T& value : before) value = numbers.real();
  }

  double input(int n, int row, int column, int channel) const {
    const std::size_t pixel =
        size_of(n, shape.height, shape.width) + size_of(row, shape.width) + size_of(column);
    const auto value =
        static_cast<float>(x[shift + pixel * size_of(shape.in_stride) + size_of(channel)]);
    return shape.relu && value < 0 ? 0 : double{value};
  }

  std::size_t output_pixel(int n, int i, int j) const {
    const int height = shape.out_height, width = shape.out_width;
    return size_of(n, height, width) + size_of(i, width) + size_of(j);
  }

  // launch(x, y) in all orders, against `wanted` and the bias.
  template <class Launch>
  void check(Plain wanted, const Array<float>* bias, const Launch& launch) const {
    const auto channels = size_of(shape.out_channels), stride = size_of(shape.out_stride);
    for (std::size_t at = 0; at < wanted.value.size(); ++at) {
      if (bias) wanted.add(at, 1, (*bias)[at % channels]);
      if (!shape.accumulate) continue;
      wanted.add(at, 1, static_cast<float>(before[shift + at / channels * stride + at % channels]));
    }
    if (shape.relu_after) {
      for (double& value : wanted.value) value = std::max(value, 0.0);
    }
    in_orders([&] {
      Array<T> y(before);
      CHECK_EQ(launch(x.data() + shift, y.data() + shift), cudaSuccess);
      for (std::size_t i = 0; i < y.size(); ++i) {
        const bool between = i < shift || (i - shift) % stride >= channels;
        if (between) {
          CHECK_EQ(static_cast<float>(y[i]), static_cast<float>(before[i]));
          continue;
        }
        const std::size_t at = (i - shift) / stride * channels + (i - shift) % stride;
        CHECK(std::fabs(double{static_cast<float>(y[i])} - wanted.value[at]) <=
              kRounding<T> * std::fabs(wanted.value[at]) + 0x1p-20 * wanted.sizes[at]);
      }
    });
  }
};

}  // namespace emulator
