// What one instruction of a program does to one sample, by all threads of a block: its input and
// output lie in shared or device memory. A thread takes a quad of channels, neighbours take
// neighbouring ones.
#pragma once

#include "nascore/kernels/packing.hpp"
#include "nascore/kernels/stages.hpp"
#include "tiles.cuh"

namespace nascore::cuda {

constexpr int kCellThreads = 256;
constexpr int kMostPixels = 256;  // of a separable convolution, that are mixed at once
constexpr int kMixed = 8 * 1024;  // floats of them, above which it mixes fewer pixels

__host__ __device__ inline int quads_of(int channels) { return (channels + kQuad - 1) / kQuad; }

// Channels rounded up as those of the weights are.
__host__ __device__ inline int padded(int channels) {
  return (channels + kernels::kLanes - 1) / kernels::kLanes * kernels::kLanes;
}

__host__ __device__ inline int pixels_at_once(int channels) {
  int pixels = kMostPixels;
  while (pixels > 1 && pixels * (quads_of(channels) * kQuad + kPad) > kMixed) pixels /= 2;
  return pixels;
}

// Threads that share the pixels of a quad when these are summed.
__host__ __device__ inline int parts_of(int channels) {
  const int quads = quads_of(channels);
  return quads < kCellThreads ? kCellThreads / quads : 1;
}

__device__ inline bool is_wide(const float* pixel, int stride) {
  return reinterpret_cast<std::uintptr_t>(pixel) % sizeof(float4) == 0 && stride % kQuad == 0;
}

// A quad, of which `channels` are there, and 0 for the others.
__device__ inline float4 read(const float* from, int channels, bool wide) {
  if (wide && channels >= kQuad) return quad_at(from);
  return make_float4(from[0], channels > 1 ? from[1] : 0.0f, channels > 2 ? from[2] : 0.0f,
                     channels > 3 ? from[3] : 0.0f);
}

__device__ inline float4 weights_at(const float* from) {
  return __ldg(reinterpret_cast<const float4*>(from));
}

__device__ inline float written(const Instruction& at, float value, float before) {
  if (at.accumulate) value += before;
  return at.relu_after ? relu(value) : value;
}

// A quad to where `channels` belong to the instruction.
__device__ inline void write(const Instruction& at, float* to, float4 value, int channels,
                             bool wide) {
  if (wide && channels >= kQuad) {
    const float4 before = at.accumulate ? quad_at(to) : value;
    const float4 result =
        make_float4(written(at, value.x, before.x), written(at, value.y, before.y),
                    written(at, value.z, before.z), written(at, value.w, before.w));
    *reinterpret_cast<float4*>(to) = result;
    return;
  }
  const float values[kQuad] = {value.x, value.y, value.z, value.w};
#pragma unroll
  for (int c = 0; c < kQuad; ++c) {
    if (c < channels) to[c] = written(at, values[c], at.accumulate ? to[c] : 0.0f);
  }
}

// Writes value(row, column, channel) of each output.
template <class Value>
__device__ void for_pixels(const Instruction& at, float* to, const Value& value) {
  const int quads = quads_of(at.out_channels), total = at.out_height * at.out_width * quads;
  const bool wide = is_wide(to, at.to_stride);
#pragma unroll 1
  for (int item = static_cast<int>(threadIdx.x); item < total; item += kCellThreads) {
    const int channel = item % quads * kQuad, pixel = item / quads;
    write(at, to + pixel * at.to_stride + channel,
          value(pixel / at.out_width, pixel % at.out_width, channel), at.out_channels - channel,
          wide);
  }
}

// A quad of channels of kPixels pixels; the weights are read once for all of them.
template <int kPixels>
__device__ void multiply(const Instruction& at, const float* from, const float* weights,
                         float* to) {
  const int quads = quads_of(at.out_channels), pixels = at.out_height * at.out_width;
  const int groups = (pixels + kPixels - 1) / kPixels;
  const int depth = at.kernel_height * at.kernel_width * at.in_channels;
  const bool wide_from = is_wide(from, at.from_stride), wide_to = is_wide(to, at.to_stride);
#pragma unroll 1
  for (int item = static_cast<int>(threadIdx.x); item < groups * quads; item += kCellThreads) {
    const int channel = item % quads * kQuad, group = item / quads;
    const int panel = channel / kernels::kPanel * kernels::kPanel;
    const int left = padded(at.out_channels) - panel;
    const int width = left < kernels::kPanel ? left : kernels::kPanel;
    const float* weight = weights + std::size_t(panel) * std::size_t(depth) + (channel - panel);
    int top[kPixels], start[kPixels];
#pragma unroll
    for (int i = 0; i < kPixels; ++i) {
      const int pixel = group + i * groups;
      top[i] = pixel / at.out_width * at.stride - at.pad_top;
      start[i] = pixel % at.out_width * at.stride - at.pad_left;
    }
    float4 sums[kPixels] = {};
#pragma unroll 1
    for (int tap = 0; tap < at.kernel_height * at.kernel_width; ++tap) {
      const int h = tap / at.kernel_width * at.dilation, w = tap % at.kernel_width * at.dilation;
      const float* pixel[kPixels];
#pragma unroll
      for (int i = 0; i < kPixels; ++i) {
        const int row = top[i] + h, column = start[i] + w;
        const bool inside = 0 <= row && row < at.in_height && 0 <= column && column < at.in_width;
        pixel[i] = inside ? from + (row * at.in_width + column) * at.from_stride : nullptr;
      }
      int c = 0;
#pragma unroll 1
      for (; c + kQuad <= at.in_channels; c += kQuad, weight += kQuad * width) {
        float4 rows[kQuad];
#pragma unroll
        for (int i = 0; i < kQuad; ++i) rows[i] = weights_at(weight + i * width);
#pragma unroll
        for (int i = 0; i < kPixels; ++i) {
          if (pixel[i] == nullptr) continue;
          float4 x = read(pixel[i] + c, kQuad, wide_from);
          if (at.relu) x = relu(x);
          multiply_add(sums[i], x.x, rows[0]);
          multiply_add(sums[i], x.y, rows[1]);
          multiply_add(sums[i], x.z, rows[2]);
          multiply_add(sums[i], x.w, rows[3]);
        }
      }
#pragma unroll 1
      for (; c < at.in_channels; ++c, weight += width) {
        const float4 row = weights_at(weight);
#pragma unroll
        for (int i = 0; i < kPixels; ++i) {
          if (pixel[i] == nullptr) continue;
          const float x = pixel[i][c];
          multiply_add(sums[i], at.relu ? relu(x) : x, row);
        }
      }
    }
    const float4 bias =
        weights_at(weights + std::size_t(depth) * std::size_t(padded(at.out_channels)) + channel);
#pragma unroll
    for (int i = 0; i < kPixels; ++i) {
      const int pixel = group + i * groups;
      if (pixel >= pixels) continue;
      multiply_add(sums[i], 1.0f, bias);
      write(at, to + pixel * at.to_stride + channel, sums[i], at.out_channels - channel, wide_to);
    }
  }
}

// The depthwise part of the outputs [first, first + count), to mixed [count, apart].
__device__ inline void mix(const Instruction& at, const float* from, const float* weights,
                           int first, int count, int apart, float* mixed) {
  const int quads = quads_of(at.in_channels), channels = padded(at.in_channels);
  const bool wide = is_wide(from, at.from_stride);
#pragma unroll 1
  for (int item = static_cast<int>(threadIdx.x); item < count * quads; item += kCellThreads) {
    const int channel = item % quads * kQuad, pixel = item / quads;
    const int top = (first + pixel) / at.out_width * at.stride - at.pad_top;
    const int start = (first + pixel) % at.out_width * at.stride - at.pad_left;
    const float* tap = weights + channel;
    float4 sum = {};
#pragma unroll 1
    for (int h = 0; h < at.kernel_height; ++h) {
      const int row = top + h * at.dilation;
      for (int w = 0; w < at.kernel_width; ++w, tap += channels) {
        const int column = start + w * at.dilation;
        if (row < 0 || row >= at.in_height || column < 0 || column >= at.in_width) continue;
        const float4 x = read(from + (row * at.in_width + column) * at.from_stride + channel,
                              at.in_channels - channel, wide);
        multiply_add(sum, weights_at(tap), at.relu ? relu(x) : x);
      }
    }
    *reinterpret_cast<float4*>(mixed + pixel * apart + channel) = sum;
  }
}

// A separable one a band of pixels at a time, as the 1 x 1 convolution of what it mixed.
__device__ inline void convolve(const Instruction& at, const float* from, const float* weights,
                                float* mixed, float* to) {
  const bool separable = at.kernel == Kernel::kSepConv;
  const int pixels = at.out_height * at.out_width;
  const int band = separable ? pixels_at_once(at.in_channels) : pixels;
#pragma unroll 1
  for (int first = 0; first < pixels; first += band) {
    Instruction part = at;
    const float* source = from;
    const float* dense = weights;
    if (separable) {
      const int count = pixels - first < band ? pixels - first : band;
      const int apart = quads_of(at.in_channels) * kQuad + kPad;
      mix(at, from, weights, first, count, apart, mixed);
      __syncthreads();
      part.in_height = part.out_height = part.kernel_height = part.kernel_width = 1;
      part.stride = part.dilation = 1;
      part.in_width = part.out_width = count;
      part.from_stride = apart;
      part.relu = part.pad_top = part.pad_left = 0;
      source = mixed;
      dense +=
          std::size_t(at.kernel_height * at.kernel_width) * std::size_t(padded(at.in_channels));
    }
    float* const own = to + first * at.to_stride;
    // Where there is too little for all threads each takes one pixel.
    if (part.out_height * part.out_width * quads_of(at.out_channels) <= 2 * kCellThreads) {
      multiply<1>(part, source, dense, own);
    } else {
      multiply<4>(part, source, dense, own);
    }
    if (separable) __syncthreads();
  }
}

}  // namespace nascore::cuda
