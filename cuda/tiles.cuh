// What the two convolutions share: a block's tile of 8 x 8 outputs, the part of the input that it
// needs in shared memory, and the product of pixels and weights in registers.
#pragma once

#include <cuda_pipeline.h>

#include "common.cuh"
#include "kernels.hpp"

namespace nascore::cuda {

constexpr int kTileThreads = 128;
constexpr int kSide = 8;                  // of a tile of outputs
constexpr int kOuts = 64;                 // output channels at once
constexpr int kChunk = 32;                // input channels at once
constexpr int kPixels = kSide;            // of a thread: one column of the tile,
constexpr int kQuad = 4;                  // times four channels
constexpr int kPad = 4;                   // floats after a pixel's channels, against bank conflicts
constexpr int kWeights = kChunk * kOuts;  // floats that a step of the product reads
constexpr int kFetches = kWeights / kQuad / kTileThreads;

// Four floats of shared memory at once.
__device__ inline float4 quad_at(const float* from) {
  return *reinterpret_cast<const float4*>(from);
}

__device__ inline void multiply_add(float4& sum, float4 a, float4 b) {
  sum.x = fmaf(a.x, b.x, sum.x);
  sum.y = fmaf(a.y, b.y, sum.y);
  sum.z = fmaf(a.z, b.z, sum.z);
  sum.w = fmaf(a.w, b.w, sum.w);
}

__device__ inline void multiply_add(float4& sum, float a, float4 b) {
  multiply_add(sum, make_float4(a, a, a, a), b);
}

// With which of its accesses can take 16 bytes, or a quad of outputs.
struct Conv : ConvShape {
  bool wide_input = false, wide_weights = false, wide_output = false;
};

// Where a block's tile is.
struct Tile {
  int sample, row, column;  // of its first output
  int rows, columns;        // of input, with the border
  int top, left;            // of input, negative in the padding
};

__host__ __device__ inline int out_size(int size, int stride) { return (size - 1) / stride + 1; }

__host__ __device__ inline int tiles_of(int size, int stride) {
  return (out_size(size, stride) + kSide - 1) / kSide;
}

// Input pixels on a side of a tile.
__host__ __device__ inline int reach(int kernel, const ConvShape& shape) {
  return (kSide - 1) * shape.stride + (kernel - 1) * shape.dilation + 1;
}

__device__ inline Tile find_tile(const Conv& shape) {
  const unsigned across = static_cast<unsigned>(tiles_of(shape.width, shape.stride));
  const unsigned down = static_cast<unsigned>(tiles_of(shape.height, shape.stride));
  const unsigned strip = blockIdx.x / across;
  Tile tile;
  tile.column = static_cast<int>(blockIdx.x % across) * kSide;
  tile.row = static_cast<int>(strip % down) * kSide;
  tile.sample = static_cast<int>(strip / down);
  tile.rows = reach(shape.kernel_h, shape);
  tile.columns = reach(shape.kernel_w, shape);
  tile.top = tile.row * shape.stride - shape.dilation * (shape.kernel_h / 2);
  tile.left = tile.column * shape.stride - shape.dilation * (shape.kernel_w / 2);
  return tile;
}

// kLanes<T> channels from `channel` on; those from `channels` on are 0.
template <class T>
__device__ Vector<T> load_channels(const T* pixel, int channel, int channels, bool wide) {
  if (wide && channel + kLanes<T> <= channels) return load16(pixel + channel);
  Vector<T> read;
#pragma unroll
  for (int lane = 0; lane < kLanes<T>; ++lane) {
    read.lane[lane] = channel + lane < channels ? pixel[channel + lane] : from_float<T>(0);
  }
  return read;
}

// `chunk` channels from `first` on of the tile's input, 0 outside of the image, to
// to [rows, columns, chunk + kPad]. Two loads of a thread are in flight.
template <class T>
__device__ void load_tile(const T* x, const Conv& shape, const Tile& tile, int first, int chunk,
                          float* to) {
  constexpr int kAtOnce = 2;
  const int groups = chunk / kLanes<T>, total = tile.rows * tile.columns * groups;
#pragma unroll 1
  for (int begin = static_cast<int>(threadIdx.x); begin < total; begin += kAtOnce * kTileThreads) {
    Vector<T> read[kAtOnce];
#pragma unroll
    for (int u = 0; u < kAtOnce; ++u) {
      const int item = begin + u * kTileThreads, pixel = item / groups;
      const int row = tile.top + pixel / tile.columns, column = tile.left + pixel % tile.columns;
      const bool inside =
          item < total && 0 <= row && row < shape.height && 0 <= column && column < shape.width;
      const std::size_t place =
          inside ? (std::size_t(tile.sample) * std::size_t(shape.height) + std::size_t(row)) *
                           std::size_t(shape.width) +
                       std::size_t(column)
                 : 0;
      read[u] =
          load_channels(x + place * std::size_t(shape.in_stride), first + item % groups * kLanes<T>,
                        inside ? shape.in_channels : 0, shape.wide_input);
    }
#pragma unroll
    for (int u = 0; u < kAtOnce; ++u) {
      const int item = begin + u * kTileThreads;
      if (item >= total) continue;
      float* const at = to + item / groups * (chunk + kPad) + item % groups * kLanes<T>;
#pragma unroll
      for (int lane = 0; lane < kLanes<T>; lane += kQuad) {
        float value[kQuad];
#pragma unroll
        for (int i = 0; i < kQuad; ++i) {
          value[i] = to_float(read[u].lane[lane + i]);
          if (shape.relu && value[i] < 0) value[i] = 0;
        }
        *reinterpret_cast<float4*>(at + lane) = make_float4(value[0], value[1], value[2], value[3]);
      }
    }
  }
}

// Sends kChunk rows of weights [rows, out_channels], kOuts columns, on their way to shared memory:
// from `row` on, where there are `rows`, and 0 beyond.
__device__ inline void fetch_weights(const float* weights, std::size_t row, int rows, int column,
                                     const Conv& shape, float* to) {
#pragma unroll 1
  for (int f = 0; f < kFetches; ++f) {
    const int item = f * kTileThreads + static_cast<int>(threadIdx.x);
    const int r = item / (kOuts / kQuad), c = column + item % (kOuts / kQuad) * kQuad;
    const int channels = r < rows ? shape.out_channels - c : 0;
    const float* const from =
        weights + (row + std::size_t(r)) * std::size_t(shape.out_channels) + c;
    if (shape.wide_weights) {  // all four or none
      __pipeline_memcpy_async(to + item * kQuad, channels > 0 ? from : weights,
                              kQuad * sizeof(float), channels > 0 ? 0 : kQuad * sizeof(float));
    } else {
#pragma unroll
      for (int i = 0; i < kQuad; ++i) {
        const bool there = i < channels;
        __pipeline_memcpy_async(to + item * kQuad + i, there ? from + i : weights, sizeof(float),
                                there ? 0 : sizeof(float));
      }
    }
  }
  __pipeline_commit();
}

// A thread's results: column threadIdx.x / 16 of the tile, channels threadIdx.x % 16 * 4 on.
__device__ inline int own_column() { return static_cast<int>(threadIdx.x) / (kOuts / kQuad); }
__device__ inline int own_channel() {
  return static_cast<int>(threadIdx.x) % (kOuts / kQuad) * kQuad;
}

struct Sums {
  float4 pixel[kPixels];
};

// sums[i] += pixels[i * apart + c] * weights[c] for `channels` c, a multiple of 4.
__device__ inline void multiply(const float* pixels, int apart, const float* weights, int channels,
                                Sums& sums) {
#pragma unroll 1
  for (int c = 0; c < channels; c += kQuad) {
    float4 weight[kQuad];
#pragma unroll
    for (int i = 0; i < kQuad; ++i) weight[i] = quad_at(weights + (c + i) * kOuts);
#pragma unroll
    for (int i = 0; i < kPixels; ++i) {
      const float4 x = quad_at(pixels + i * apart + c);
      multiply_add(sums.pixel[i], x.x, weight[0]);
      multiply_add(sums.pixel[i], x.y, weight[1]);
      multiply_add(sums.pixel[i], x.z, weight[2]);
      multiply_add(sums.pixel[i], x.w, weight[3]);
    }
  }
}

// All steps of a product: while one is multiplied the next one's weights are on their way.
// `buffer` holds 2 * kWeights floats, row_of(step) is the first row of weights, pixels_of(step) the
// thread's first pixel, rows_of(step) how many rows there are. Its first barrier also ends what was
// written to shared memory before, and its last one frees it.
template <class RowOf, class RowsOf, class PixelsOf>
__device__ void multiply_steps(int steps, const float* weights, int column, const Conv& shape,
                               float* buffer, int apart, const RowOf& row_of, const RowsOf& rows_of,
                               const PixelsOf& pixels_of, Sums& sums) {
  fetch_weights(weights, row_of(0), rows_of(0), column, shape, buffer);
  for (int step = 0; step < steps; ++step) {
    __pipeline_wait_prior(0);
    __syncthreads();
    if (step + 1 < steps) {
      fetch_weights(weights, row_of(step + 1), rows_of(step + 1), column, shape,
                    buffer + (step + 1) % 2 * kWeights);
    }
    const int channels = (rows_of(step) + kQuad - 1) / kQuad * kQuad;
    multiply(pixels_of(step), apart, buffer + step % 2 * kWeights + own_channel(), channels, sums);
  }
  __syncthreads();
}

__device__ inline void store4(float* to, float4 value) {
  Vector<float> vector{{value.x, value.y, value.z, value.w}};
  store16(to, vector);
}

// 8 bytes.
template <class T>
__device__ void store4(T* to, float4 value) {
  const T halves[kQuad] = {from_float<T>(value.x), from_float<T>(value.y), from_float<T>(value.z),
                           from_float<T>(value.w)};
  uint2 bits;
  memcpy(&bits, halves, sizeof bits);
  __stwb(reinterpret_cast<uint2*>(to), bits);
}

// y (+)= bias + sums, from output channel `column` on.
template <class T>
__device__ void write_tile(const Sums& sums, const float* bias, const Conv& shape, const Tile& tile,
                           int column, T* y) {
  const int height = out_size(shape.height, shape.stride);
  const int width = out_size(shape.width, shape.stride);
  const int first = column + own_channel(), at = tile.column + own_column();
  if (at >= width) return;
  float shift[kQuad];
#pragma unroll
  for (int c = 0; c < kQuad; ++c)
    shift[c] = bias != nullptr && first + c < shape.out_channels ? bias[first + c] : 0;
#pragma unroll
  for (int i = 0; i < kPixels; ++i) {
    const int row = tile.row + i;
    if (row >= height) return;
    T* const to =
        y +
        ((std::size_t(tile.sample) * std::size_t(height) + std::size_t(row)) * std::size_t(width) +
         std::size_t(at)) *
            std::size_t(shape.out_stride) +
        first;
    float value[kQuad] = {sums.pixel[i].x, sums.pixel[i].y, sums.pixel[i].z, sums.pixel[i].w};
#pragma unroll
    for (int c = 0; c < kQuad; ++c) {
      value[c] += shift[c];
      if (shape.accumulate && first + c < shape.out_channels) value[c] += to_float(to[c]);
    }
    if (shape.wide_output && first + kQuad <= shape.out_channels) {
      store4(to, make_float4(value[0], value[1], value[2], value[3]));
      continue;
    }
#pragma unroll
    for (int c = 0; c < kQuad; ++c) {
      if (first + c < shape.out_channels) to[c] = from_float<T>(value[c]);
    }
  }
}

// The host's part: checks, flags and the grid. `bytes` of shared memory want an opt-in above
// kFreeShared, which fails where the device has not as much.
struct ConvLaunch {
  Conv conv;
  unsigned blocks = 0;  // tiles
  cudaError_t status = cudaSuccess;
};

template <class T>
ConvLaunch prepare(const T* x, const float* weights, const ConvShape& shape, const T* y) {
  ConvLaunch launch;
  static_cast<ConvShape&>(launch.conv) = shape;
  const bool sizes = shape.samples >= 0 && shape.height > 0 && shape.width > 0 &&
                     shape.in_channels > 0 && shape.out_channels > 0 &&
                     shape.in_stride >= shape.in_channels && shape.out_stride >= shape.out_channels;
  const bool window = shape.kernel_h > 0 && shape.kernel_h % 2 == 1 && shape.kernel_w > 0 &&
                      shape.kernel_w % 2 == 1 && shape.stride > 0 && shape.dilation > 0;
  if (!sizes || !window) {
    launch.status = cudaErrorInvalidValue;
    return launch;
  }
  launch.conv.wide_input = is_aligned(x) && shape.in_stride % kLanes<T> == 0;
  launch.conv.wide_weights = is_aligned(weights) && shape.out_channels % kQuad == 0;
  launch.conv.wide_output = reinterpret_cast<std::uintptr_t>(y) % (kQuad * sizeof(T)) == 0 &&
                            shape.out_stride % kQuad == 0;
  const std::size_t blocks = static_cast<std::size_t>(shape.samples) *
                             static_cast<std::size_t>(tiles_of(shape.height, shape.stride)) *
                             static_cast<std::size_t>(tiles_of(shape.width, shape.stride));
  if (blocks > kMaxGrid) launch.status = cudaErrorInvalidConfiguration;
  launch.blocks = static_cast<unsigned>(blocks);
  return launch;
}

template <class Kernel>
cudaError_t allow_shared(Kernel* kernel, std::size_t bytes) {
  if (bytes <= kFreeShared) return cudaSuccess;
  return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                              static_cast<int>(bytes));
}

}  // namespace nascore::cuda
