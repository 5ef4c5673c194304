// What one instruction of a program does to one sample, by all threads of a block: its input and
// output lie in shared or device memory, as floats or as 16 bits. A thread takes a vector of
// channels, of a convolution's output a quad; neighbours take neighbouring ones.
#pragma once

#include "cell_values.cuh"
#include "nascore/kernels/packing.hpp"
#include "nascore/kernels/stages.hpp"

namespace nascore::cuda {

constexpr int kCellThreads = 256;
constexpr int kMostPixels = 256;        // of a separable convolution, that are mixed at once
constexpr int kMixedBytes = 32 * 1024;  // of them, above which it mixes fewer pixels

__host__ __device__ inline int quads_of(int channels) { return (channels + kQuad - 1) / kQuad; }

// Channels rounded up as those of the weights are.
__host__ __device__ inline int padded(int channels) {
  return (channels + kernels::kLanes - 1) / kernels::kLanes * kernels::kLanes;
}

// Elements between pixels that are mixed; 16 bytes against bank conflicts.
template <class T>
__host__ __device__ int mixed_stride(int channels) {
  return (vectors_of<T>(channels) + 1) * kLanes<T>;
}

template <class T>
__host__ __device__ int pixels_at_once(int channels) {
  constexpr int kMost = kMixedBytes / static_cast<int>(sizeof(T));
  int pixels = kMostPixels;
  while (pixels > 1 && pixels * mixed_stride<T>(channels) > kMost) pixels /= 2;
  return pixels;
}

// Threads that share the pixels of a vector when these are summed: about as many as each then has.
template <class T>
__host__ __device__ int parts_of(const Instruction& at) {
  const int vectors = vectors_of<T>(at.in_channels);
  int parts = vectors < kCellThreads ? kCellThreads / vectors : 1;
  while (parts * parts / 2 > at.in_height * at.in_width) parts /= 2;
  return parts;
}

__device__ inline float4 weights_at(const float* from) {
  return __ldg(reinterpret_cast<const float4*>(from));
}

// Writes value(row, column, channel) of each output.
template <class T, class Value>
__device__ void for_pixels(const Instruction& at, T* to, const Value& value) {
  const int vectors = vectors_of<T>(at.out_channels);
  const int total = at.out_height * at.out_width * vectors;
  const Access access = access_of(to, at.to_stride);
#pragma unroll 1
  for (int item = static_cast<int>(threadIdx.x); item < total; item += kCellThreads) {
    const int channel = item % vectors * kLanes<T>, pixel = item / vectors;
    write<T>(at, to + pixel * at.to_stride + channel,
             value(pixel / at.out_width, pixel % at.out_width, channel), at.out_channels - channel,
             access);
  }
}

// A quad of channels of kPixels pixels; the weights are read once for all of them.
template <int kPixels, class T>
__device__ void multiply(const Instruction& at, const T* from, const float* weights, T* to) {
  const int quads = quads_of(at.out_channels), pixels = at.out_height * at.out_width;
  const int groups = (pixels + kPixels - 1) / kPixels;
  const int depth = at.kernel_height * at.kernel_width * at.in_channels;
  const Access access = access_of(from, at.from_stride), access_to = access_of(to, at.to_stride);
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
      int place[kPixels];  // -1 outside of the image
#pragma unroll
      for (int i = 0; i < kPixels; ++i) {
        const int row = top[i] + h, column = start[i] + w;
        const bool inside = 0 <= row && row < at.in_height && 0 <= column && column < at.in_width;
        place[i] = inside ? (row * at.in_width + column) * at.from_stride : -1;
      }
      int c = 0;
      if (kQuads<T> > 1 && access.vector) {
#pragma unroll 1
        for (; c + kLanes<T> <= at.in_channels; c += kLanes<T>) {
          Vector<T> read[kPixels];
#pragma unroll
          for (int i = 0; i < kPixels; ++i) {
            if (place[i] >= 0) read[i] = load16(from + place[i] + c);
          }
          // Two lanes at once: the weights of four would not fit the registers.
#pragma unroll
          for (int lane = 0; lane < kLanes<T>; lane += 2, weight += 2 * width) {
            const float4 rows[2] = {weights_at(weight), weights_at(weight + width)};
#pragma unroll
            for (int i = 0; i < kPixels; ++i) {
              if (place[i] < 0) continue;
              float4 x = quad_of(read[i], lane / kQuad * kQuad);
              if (at.relu) x = relu(x);
              multiply_add(sums[i], lane % kQuad == 0 ? x.x : x.z, rows[0]);
              multiply_add(sums[i], lane % kQuad == 0 ? x.y : x.w, rows[1]);
            }
          }
        }
      }
#pragma unroll 1
      for (; c + kQuad <= at.in_channels; c += kQuad, weight += kQuad * width) {
        float4 rows[kQuad];
#pragma unroll
        for (int i = 0; i < kQuad; ++i) rows[i] = weights_at(weight + i * width);
#pragma unroll
        for (int i = 0; i < kPixels; ++i) {
          if (place[i] < 0) continue;
          float4 x = read_quad(from + place[i] + c, kQuad, access);
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
          if (place[i] < 0) continue;
          const float x = to_float(from[place[i] + c]);
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
      write_quad(at, to + pixel * at.to_stride + channel, sums[i], at.out_channels - channel,
                 access_to);
    }
  }
}

// The depthwise part of the outputs [first, first + count), to mixed [count, apart].
template <class T>
__device__ void mix(const Instruction& at, const T* from, const float* weights, int first,
                    int count, int apart, T* mixed) {
  const int vectors = vectors_of<T>(at.in_channels), channels = padded(at.in_channels);
  const Access access = access_of(from, at.from_stride);
#pragma unroll 1
  for (int item = static_cast<int>(threadIdx.x); item < count * vectors; item += kCellThreads) {
    const int channel = item % vectors * kLanes<T>, pixel = item / vectors;
    const int top = (first + pixel) / at.out_width * at.stride - at.pad_top;
    const int start = (first + pixel) % at.out_width * at.stride - at.pad_left;
    const float* tap = weights + channel;
    Values<T> sum = all_of<T>(0);
#pragma unroll 1
    for (int h = 0; h < at.kernel_height; ++h) {
      const int row = top + h * at.dilation;
      for (int w = 0; w < at.kernel_width; ++w, tap += channels) {
        const int column = start + w * at.dilation;
        if (row < 0 || row >= at.in_height || column < 0 || column >= at.in_width) continue;
        Values<T> x = read(from + (row * at.in_width + column) * at.from_stride + channel,
                           at.in_channels - channel, access);
        if (at.relu) x = relu(x);
#pragma unroll
        for (int q = 0; q < kQuads<T>; ++q) {
          multiply_add(sum.quad[q], weights_at(tap + q * kQuad), x.quad[q]);
        }
      }
    }
    put(mixed + pixel * apart + channel, sum);
  }
}

// A separable one a band of pixels at a time, as the 1 x 1 convolution of what it mixed, which is
// rounded to T as what any instruction hands on.
template <class T>
__device__ void convolve(const Instruction& at, const T* from, const float* weights, T* mixed,
                         T* to) {
  const bool separable = at.kernel == Kernel::kSepConv;
  const int pixels = at.out_height * at.out_width;
  const int band = separable ? pixels_at_once<T>(at.in_channels) : pixels;
#pragma unroll 1
  for (int first = 0; first < pixels; first += band) {
    Instruction part = at;
    const T* source = from;
    const float* dense = weights;
    if (separable) {
      const int count = pixels - first < band ? pixels - first : band;
      const int apart = mixed_stride<T>(at.in_channels);
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
    T* const own = to + first * at.to_stride;
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
