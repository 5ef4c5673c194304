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
__device__ float4 join(float4 a, float4 b) {
  return make_float4(join<kMax>(a.x, b.x), join<kMax>(a.y, b.y), join<kMax>(a.z, b.z),
                     join<kMax>(a.w, b.w));
}

template <bool kMax, class T>
__device__ void pool(const Instruction& at, const T* from, T* to) {
  const Access access = access_of(from, at.from_stride);
  for_pixels(at, to, [&](int y, int x, int channel) {
    const int top = max(y * at.stride - at.pad_top, 0);
    const int bottom = min(y * at.stride - at.pad_top + at.kernel_height, at.in_height);
    const int left = max(x * at.stride - at.pad_left, 0);
    const int right = min(x * at.stride - at.pad_left + at.kernel_width, at.in_width);
    Values<T> value = all_of<T>(kMax ? -INFINITY : 0.0f);
    for (int row = top; row < bottom; ++row) {
      for (int column = left; column < right; ++column) {
        const Values<T> next = read(from + (row * at.in_width + column) * at.from_stride + channel,
                                    at.in_channels - channel, access);
#pragma unroll
        for (int q = 0; q < kQuads<T>; ++q) {
          value.quad[q] = join<kMax>(value.quad[q], next.quad[q]);
        }
      }
    }
    if (kMax) return value;
    const float share = 1.0f / static_cast<float>((bottom - top) * (right - left));
#pragma unroll
    for (float4& v : value.quad)
      v = make_float4(v.x * share, v.y * share, v.z * share, v.w * share);
    return value;
  });
}

// x times a scale plus a shift, each at a channel.
template <class T>
__device__ Values<T> scaled(const Values<T>& x, const float* scale, const float* shift) {
  Values<T> value;
#pragma unroll
  for (int q = 0; q < kQuads<T>; ++q) {
    value.quad[q] = quad_at(shift + q * kQuad);
    multiply_add(value.quad[q], quad_at(scale + q * kQuad), x.quad[q]);
  }
  return value;
}

// The pixel of the input for pixel i of the output, as torch rounds it.
__device__ inline int nearest(int i, int in, int out) {
  const float scale = static_cast<float>(in) / static_cast<float>(out);
  return min(static_cast<int>(static_cast<float>(i) * scale), in - 1);
}

// The nearest pixel, perhaps times a scale [padded] plus a shift that lies `apart` floats on.
template <class T>
__device__ void copy(const Instruction& at, const T* from, const float* scale, int apart, T* to) {
  const Access access = access_of(from, at.from_stride);
  for_pixels(at, to, [&](int y, int x, int channel) {
    const int row = nearest(y, at.in_height, at.out_height);
    const int column = nearest(x, at.in_width, at.out_width);
    Values<T> value = read(from + (row * at.in_width + column) * at.from_stride + channel,
                           at.in_channels - channel, access);
    if (at.relu) value = relu(value);
    return scale == nullptr ? value : scaled(value, scale + channel, scale + apart + channel);
  });
}

template <class T>
__device__ void pad(const Instruction& at, const T* from, T* to) {
  const Access access = access_of(from, at.from_stride);
  for_pixels(at, to, [&](int y, int x, int channel) {
    const int row = y - at.pad_top, column = x - at.pad_left;
    if (row < 0 || row >= at.in_height || column < 0 || column >= at.in_width) return all_of<T>(0);
    return read(from + (row * at.in_width + column) * at.from_stride + channel,
                at.in_channels - channel, access);
  });
}

template <class T>
__device__ void flatten(const Instruction& at, const T* from, T* to) {
  const int pixels = at.in_height * at.in_width;
  for (int item = static_cast<int>(threadIdx.x); item < at.out_channels; item += kCellThreads) {
    to[item] = from[item % pixels * at.from_stride + item / pixels];
  }
}

// Sums of each channel over all pixels, and of the squares: to the first of sums [parts, 2, width],
// where width is that of whole vectors.
template <class T>
__device__ void sum_pixels(const Instruction& at, const T* from, double* sums) {
  constexpr int kChannels = kLanes<T>;
  const int vectors = vectors_of<T>(at.in_channels), width = vectors * kChannels;
  const int parts = parts_of<T>(at);
  const Access access = access_of(from, at.from_stride);
#pragma unroll 1
  for (int item = static_cast<int>(threadIdx.x); item < vectors * parts; item += kCellThreads) {
    const int channel = item % vectors * kChannels, part = item / vectors;
    double sum[kChannels] = {}, square[kChannels] = {};
#pragma unroll 1
    for (int pixel = part; pixel < at.in_height * at.in_width; pixel += parts) {
      Values<T> x = read(from + pixel * at.from_stride + channel, at.in_channels - channel, access);
      if (at.relu) x = relu(x);
#pragma unroll
      for (int q = 0; q < kQuads<T>; ++q) {
        const double values[kQuad] = {x.quad[q].x, x.quad[q].y, x.quad[q].z, x.quad[q].w};
#pragma unroll
        for (int i = 0; i < kQuad; ++i) {
          sum[q * kQuad + i] += values[i];
          square[q * kQuad + i] += values[i] * values[i];
        }
      }
    }
#pragma unroll
    for (int i = 0; i < kChannels; ++i) {
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

template <class T>
__device__ void global_pool(const Instruction& at, const T* from, double* sums, T* to) {
  sum_pixels(at, from, sums);
  const double share = 1.0 / (double(at.in_height) * at.in_width);
  for_pixels(at, to, [&](int, int, int c) {
    Values<T> value;
#pragma unroll
    for (int q = 0; q < kQuads<T>; ++q, c += kQuad) {
      value.quad[q] = make_float4(float(sums[c] * share), float(sums[c + 1] * share),
                                  float(sums[c + 2] * share), float(sums[c + 3] * share));
    }
    return value;
  });
}

// Doubles of sum_pixels.
template <class T>
__host__ __device__ int sums_of(const Instruction& at) {
  return parts_of<T>(at) * 2 * vectors_of<T>(at.in_channels) * kLanes<T>;
}

template <class T>
__device__ void norm(const Instruction& at, const T* from, const float* weights, double* sums,
                     T* to) {
  const int width = vectors_of<T>(at.in_channels) * kLanes<T>;
  float* const own = reinterpret_cast<float*>(sums + sums_of<T>(at));  // [2, width]
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
