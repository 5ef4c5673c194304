// What the two convolutions share: a block's tile of 8 x 8 outputs, and the part of the input that
// it needs in shared memory.
#pragma once

#include "common.cuh"
#include "kernels.hpp"

namespace nascore::cuda {

constexpr int kTileThreads = 128;
constexpr int kSide = 8;    // of a tile of outputs
constexpr int kChunk = 32;  // input channels at once
constexpr int kQuad = 4;    // channels of a thread
constexpr int kPad = 4;     // floats after a pixel's channels, against bank conflicts

// Four floats at once, of shared or device memory.
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

// Keeps what is not a number.
__device__ inline float relu(float x) { return x < 0 ? 0 : x; }
__device__ inline float4 relu(float4 x) {
  return make_float4(relu(x.x), relu(x.y), relu(x.z), relu(x.w));
}

// With which of its accesses can take 16 bytes, or a quad.
struct Conv : ConvShape {
  bool wide_input = false, quad_input = false, quad_weights = false, quad_output = false;
};

// Where a block's tile is.
struct Tile {
  int sample, row, column;  // of its first output
  int rows, columns;        // of input, with the border
  int top, left;            // of input, negative in the padding
};

// On a side of the output.
__host__ __device__ inline unsigned tiles_of(int size) {
  return static_cast<unsigned>(size + kSide - 1) / kSide;
}

// Input pixels on a side of a tile.
__host__ __device__ inline int reach(int kernel, const ConvShape& shape) {
  return (kSide - 1) * shape.stride + (kernel - 1) * shape.dilation + 1;
}

__device__ inline Tile find_tile(const Conv& shape, unsigned index = blockIdx.x) {
  const unsigned across = tiles_of(shape.out_width), down = tiles_of(shape.out_height);
  const unsigned strip = index / across;
  Tile tile;
  tile.column = static_cast<int>(index % across) * kSide;
  tile.row = static_cast<int>(strip % down) * kSide;
  tile.sample = static_cast<int>(strip / down);
  tile.rows = reach(shape.kernel_h, shape);
  tile.columns = reach(shape.kernel_w, shape);
  tile.top = tile.row * shape.stride - shape.pad_top;
  tile.left = tile.column * shape.stride - shape.pad_left;
  return tile;
}

// kLanes<T> channels from `channel` on; those from `channels` on are 0.
template <class T>
__device__ Vector<T> load_channels(const T* pixel, int channel, int channels, const Conv& shape) {
  if (shape.wide_input && channel + kLanes<T> <= channels) return load16(pixel + channel);
  Vector<T> read;
#pragma unroll
  for (int first = 0; first < kLanes<T>; first += kQuad) {
    if constexpr (sizeof(T) == 2) {
      if (shape.quad_input && channel + first + kQuad <= channels) {
        const uint2 bits = *reinterpret_cast<const uint2*>(pixel + channel + first);
        memcpy(read.lane + first, &bits, sizeof bits);
        continue;
      }
    }
#pragma unroll
    for (int lane = first; lane < first + kQuad; ++lane) {
      read.lane[lane] = channel + lane < channels ? pixel[channel + lane] : from_float<T>(0);
    }
  }
  return read;
}

// `chunk` channels from `first` on of the tile's input, 0 outside of the image, to
// to [rows, columns, chunk + kPad]. Two loads of a thread are in flight. Where `kSpread`, the tile
// is of the image with spread - 1 zeros between its pixels.
template <class T, bool kSpread = false>
__device__ void load_tile(const T* x, const Conv& shape, const Tile& tile, int first, int chunk,
                          float* to, int spread = 1) {
  constexpr int kAtOnce = 2;
  const int groups = chunk / kLanes<T>, total = tile.rows * tile.columns * groups;
#pragma unroll 1
  for (int begin = static_cast<int>(threadIdx.x); begin < total; begin += kAtOnce * kTileThreads) {
    Vector<T> read[kAtOnce];
#pragma unroll
    for (int u = 0; u < kAtOnce; ++u) {
      const int item = begin + u * kTileThreads, pixel = item / groups;
      int row = tile.top + pixel / tile.columns, column = tile.left + pixel % tile.columns;
      bool inside = item < total && 0 <= row && 0 <= column;
      if constexpr (kSpread) {
        inside = inside && row % spread == 0 && column % spread == 0;
        row /= spread;
        column /= spread;
      }
      inside = inside && row < shape.height && column < shape.width;
      const std::size_t place =
          inside ? (std::size_t(tile.sample) * std::size_t(shape.height) + std::size_t(row)) *
                           std::size_t(shape.width) +
                       std::size_t(column)
                 : 0;
      read[u] =
          load_channels(x + place * std::size_t(shape.in_stride), first + item % groups * kLanes<T>,
                        inside ? shape.in_channels : 0, shape);
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
          if (shape.relu) value[i] = relu(value[i]);
        }
        *reinterpret_cast<float4*>(at + lane) = make_float4(value[0], value[1], value[2], value[3]);
      }
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

// Whether each quad of channels lies in one access.
template <class T>
bool has_quads(const T* address, int stride) {
  return reinterpret_cast<std::uintptr_t>(address) % (kQuad * sizeof(T)) == 0 &&
         stride % kQuad == 0;
}

template <class T>
ConvLaunch prepare(const T* x, const float* weights, const ConvShape& shape, const T* y) {
  ConvLaunch launch;
  static_cast<ConvShape&>(launch.conv) = shape;
  const bool sizes = shape.samples >= 0 && shape.height > 0 && shape.width > 0 &&
                     shape.out_height > 0 && shape.out_width > 0 && shape.in_channels > 0 &&
                     shape.out_channels > 0 && shape.in_stride >= shape.in_channels &&
                     shape.out_stride >= shape.out_channels;
  const bool window =
      shape.kernel_h > 0 && shape.kernel_w > 0 && shape.stride > 0 && shape.dilation > 0;
  if (!sizes || !window) {
    launch.status = cudaErrorInvalidValue;
    return launch;
  }
  launch.conv.wide_input = is_aligned(x) && shape.in_stride % kLanes<T> == 0;
  launch.conv.quad_input = has_quads(x, shape.in_stride);
  launch.conv.quad_weights = has_quads(weights, shape.out_channels);
  launch.conv.quad_output = has_quads(y, shape.out_stride);
  const std::size_t blocks = static_cast<std::size_t>(shape.samples) * tiles_of(shape.out_height) *
                             tiles_of(shape.out_width);
  if (blocks > kMaxGrid) launch.status = cudaErrorInvalidConfiguration;
  launch.blocks = static_cast<unsigned>(blocks);
  return launch;
}

// All that the device has, whatever is asked: host threads may launch one kernel at a time with
// different sizes.
template <class Kernel>
cudaError_t allow_shared(Kernel* kernel, std::size_t bytes) {
  if (bytes <= kFreeShared) return cudaSuccess;
  int device = 0, most = 0;
  if (const cudaError_t status = cudaGetDevice(&device)) return status;
  if (const cudaError_t status =
          cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device)) {
    return status;
  }
  if (bytes > static_cast<std::size_t>(most)) return cudaErrorInvalidValue;
  return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, most);
}

}  // namespace nascore::cuda
