// The instructions of a program that are no convolutions: see cell.cuh.
#pragma once

#include <cmath>

#include "cell.cuh"

namespace nascore::cuda {

template <bool kMax>
__device__ float join(float a, float b) {
  if (!kMax) return a + b;
  return a > b || a != a ? a : b;  // what is not a number stays so
}

template <bool kMax>
__device__ void pool(const Instruction& at, const float* from, float* to) {
  const bool wide = is_wide(from, at.from_stride);
  for_pixels(at, to, [&](int y, int x, int channel) {
    const int top = max(y * at.stride - at.pad_top, 0);
    const int bottom = min(y * at.stride - at.pad_top + at.kernel_height, at.in_height);
    const int left = max(x * at.stride - at.pad_left, 0);
    const int right = min(x * at.stride - at.pad_left + at.kernel_width, at.in_width);
    const float none = kMax ? -INFINITY : 0.0f;
    float4 value = make_float4(none, none, none, none);
    for (int row = top; row < bottom; ++row) {
      for (int column = left; column < right; ++column) {
        const float4 next = read(from + (row * at.in_width + column) * at.from_stride + channel,
                                 at.in_channels - channel, wide);
        value = make_float4(join<kMax>(value.x, next.x), join<kMax>(value.y, next.y),
                            join<kMax>(value.z, next.z), join<kMax>(value.w, next.w));
      }
    }
    if (kMax) return value;
    const float share = 1.0f / static_cast<float>((bottom - top) * (right - left));
    return make_float4(value.x * share, value.y * share, value.z * share, value.w * share);
  });
}

// x times a scale plus a shift, each at a channel.
__device__ inline float4 scaled(float4 x, const float* scale, const float* shift) {
  float4 value = quad_at(shift);
  multiply_add(value, quad_at(scale), x);
  return value;
}

// The pixel of the input for pixel i of the output, as torch rounds it.
__device__ inline int nearest(int i, int in, int out) {
  const float scale = static_cast<float>(in) / static_cast<float>(out);
  return min(static_cast<int>(static_cast<float>(i) * scale), in - 1);
}

// The nearest pixel, perhaps times a scale [padded] plus a shift that lies `apart` floats on.
__device__ inline void copy(const Instruction& at, const float* from, const float* scale, int apart,
                            float* to) {
  const bool wide = is_wide(from, at.from_stride);
  for_pixels(at, to, [&](int y, int x, int channel) {
    const int row = nearest(y, at.in_height, at.out_height);
    const int column = nearest(x, at.in_width, at.out_width);
    const float4 given = read(from + (row * at.in_width + column) * at.from_stride + channel,
                              at.in_channels - channel, wide);
    const float4 value = at.relu ? relu(given) : given;
    return scale == nullptr ? value : scaled(value, scale + channel, scale + apart + channel);
  });
}

__device__ inline void pad(const Instruction& at, const float* from, float* to) {
  const bool wide = is_wide(from, at.from_stride);
  for_pixels(at, to, [&](int y, int x, int channel) {
    const int row = y - at.pad_top, column = x - at.pad_left;
    if (row < 0 || row >= at.in_height || column < 0 || column >= at.in_width) return float4{};
    return read(from + (row * at.in_width + column) * at.from_stride + channel,
                at.in_channels - channel, wide);
  });
}

__device__ inline void flatten(const Instruction& at, const float* from, float* to) {
  const int pixels = at.in_height * at.in_width;
  for (int item = static_cast<int>(threadIdx.x); item < at.out_channels; item += kCellThreads) {
    to[item] = from[item % pixels * at.from_stride + item / pixels];
  }
}

// Sums of each channel over all pixels, and of the squares: to the first of sums [parts, 2, width],
// where width is a multiple of kQuad.
__device__ inline void sum_pixels(const Instruction& at, const float* from, double* sums) {
  const int quads = quads_of(at.in_channels), width = quads * kQuad;
  const int parts = parts_of(at.in_channels);
  const bool wide = is_wide(from, at.from_stride);
#pragma unroll 1
  for (int item = static_cast<int>(threadIdx.x); item < quads * parts; item += kCellThreads) {
    const int channel = item % quads * kQuad, part = item / quads;
    double sum[kQuad] = {}, square[kQuad] = {};
#pragma unroll 1
    for (int pixel = part; pixel < at.in_height * at.in_width; pixel += parts) {
      float4 x = read(from + pixel * at.from_stride + channel, at.in_channels - channel, wide);
      if (at.relu) x = relu(x);
      const double values[kQuad] = {x.x, x.y, x.z, x.w};
#pragma unroll
      for (int i = 0; i < kQuad; ++i) {
        sum[i] += values[i];
        square[i] += values[i] * values[i];
      }
    }
#pragma unroll
    for (int i = 0; i < kQuad; ++i) {
      sums[2 * part * width + channel + i] = sum[i];
      sums[(2 * part + 1) * width + channel + i] = square[i];
    }
  }
  __syncthreads();
  for (int c = static_cast<int>(threadIdx.x); c < 2 * width; c += kCellThreads) {
    for (int part = 1; part < parts; ++part) sums[c] += sums[2 * part * width + c];
  }
  __syncthreads();
}

__device__ inline void global_pool(const Instruction& at, const float* from, double* sums,
                                   float* to) {
  sum_pixels(at, from, sums);
  const double share = 1.0 / (double(at.in_height) * at.in_width);
  for_pixels(at, to, [&](int, int, int c) {
    return make_float4(float(sums[c] * share), float(sums[c + 1] * share),
                       float(sums[c + 2] * share), float(sums[c + 3] * share));
  });
}

// Doubles of sum_pixels.
__host__ __device__ inline int sums_of(int channels) {
  return parts_of(channels) * 2 * quads_of(channels) * kQuad;
}

__device__ inline void norm(const Instruction& at, const float* from, const float* weights,
                            double* sums, float* to) {
  const int width = quads_of(at.in_channels) * kQuad;
  float* const own = reinterpret_cast<float*>(sums + sums_of(at.in_channels));  // [2, width]
  sum_pixels(at, from, sums);
  for (int c = static_cast<int>(threadIdx.x); c < at.in_channels; c += kCellThreads) {
    const int first = at.together ? 0 : c, last = at.together ? at.in_channels : c + 1;
    double mean = 0, square = 0;
    for (int i = first; i < last; ++i) {
      mean += sums[i];
      square += sums[width + i];
    }
    const double count = double(last - first) * at.in_height * at.in_width;
    mean /= count;
    const double spread = square / count - mean * mean;
    const double scale =
        weights[c] / sqrt((spread < 0 ? 0 : spread) + static_cast<double>(kernels::kEpsilon));
    own[c] = static_cast<float>(scale);
    own[width + c] = static_cast<float>(weights[padded(at.in_channels) + c] - mean * scale);
  }
  __syncthreads();
  copy(at, from, own, width, to);
}

}  // namespace nascore::cuda
