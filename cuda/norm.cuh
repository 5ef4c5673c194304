// What the passes of a batch norm share: sums over a block, the layout of what blocks leave for the
// next kernel, and the pixels of a thread that keeps its channels.
#pragma once

#include "product.cuh"

namespace nascore::cuda {

// That share what is summed over all pixels; the emulator's few blocks have many tiles each.
#if !defined(NASCORE_NORM_BLOCKS)
#define NASCORE_NORM_BLOCKS 512
#endif
constexpr unsigned kNormBlocks = NASCORE_NORM_BLOCKS;

constexpr int kNormThreads = 256;
constexpr int kNormAtOnce = 4;  // pixels of a thread whose loads are in flight
constexpr int kNormQuads = 2;   // of channels, which a block combines over all blocks

// Channels of what a block leaves, so that a quad is one access.
__host__ __device__ inline std::size_t whole_quads(int channels) {
  return divide_up(static_cast<std::size_t>(channels), kQuad) * kQuad;
}

__host__ __device__ inline std::size_t pixels_of(const ConvShape& shape) {
  return static_cast<std::size_t>(shape.samples) * static_cast<std::size_t>(shape.out_height) *
         static_cast<std::size_t>(shape.out_width);
}

// What training runs on, and no more blocks than a grid has.
inline cudaError_t check_training(const ConvShape& shape, const float* workspace) {
  const bool dense = shape.samples > 0 && shape.in_stride == shape.in_channels &&
                     shape.out_stride == shape.out_channels;
  const bool plain = !shape.accumulate && !shape.relu_after;
  if (!dense || !plain || !is_aligned(workspace)) return cudaErrorInvalidValue;
  const int most = max(shape.in_channels, shape.out_channels);
  const bool fits = pixels_of(shape) <= kMaxGrid &&
                    static_cast<std::size_t>(most) <= kMaxGridY * std::size_t{kLanes<__half>};
  return fits ? cudaSuccess : cudaErrorInvalidConfiguration;
}

// The sum of `own` over the block's threads that are kApart from each other, for all of them; in
// one order. shared [kBlock] is free before, and must not be written before the next barrier.
template <int kBlock, int kApart>
__device__ float4 sum_over(float4 own, float4* shared) {
  const int thread = static_cast<int>(threadIdx.x);
  shared[thread] = own;
#pragma unroll
  for (int half = kBlock / 2; half >= kApart; half /= 2) {
    __syncthreads();
    if (thread < half) {
      multiply_add(own, 1, shared[thread + half]);
      shared[thread] = own;
    }
  }
  __syncthreads();
  return shared[thread % kApart];
}

// `values` [channels] from `first` on, 0 beyond.
__device__ inline float4 quad_of(const float* values, int first, int channels) {
  float value[kQuad];
#pragma unroll
  for (int c = 0; c < kQuad; ++c) value[c] = first + c < channels ? values[first + c] : 0.0f;
  return make_float4(value[0], value[1], value[2], value[3]);
}

__device__ inline void put_quad(float4 value, float* values, int first, int channels) {
  const float value_of[kQuad] = {value.x, value.y, value.z, value.w};
#pragma unroll
  for (int c = 0; c < kQuad; ++c) {
    if (first + c < channels) values[first + c] = value_of[c];
  }
}

// The channels of a thread, the same in each of its pixels: a vector where `kWide`, else one.
template <class T, bool kWide>
struct Columns {
  static constexpr int kCount = kWide ? kLanes<T> : 1;
  int channels, across;  // of all, and of the block's columns

  explicit Columns(int channels) : channels(channels) {
    const int groups = channels / kCount, blocks = (groups + kNormThreads - 1) / kNormThreads;
    across = (groups + blocks - 1) / blocks;
  }
  unsigned blocks() const {
    return static_cast<unsigned>(
        divide_up(static_cast<std::size_t>(channels), static_cast<std::size_t>(across) * kCount));
  }
  __host__ __device__ int rows() const { return kNormThreads / across; }  // pixels at once
  __device__ int row() const { return static_cast<int>(threadIdx.x) / across; }
  __device__ int channel() const {
    return (static_cast<int>(blockIdx.y) * across + static_cast<int>(threadIdx.x) % across) *
           kCount;
  }
  __device__ bool holds() const { return row() < rows() && channel() < channels; }

  // `values` [channels] of the thread's channels, aligned where `kWide`.
  __device__ void load(const float* values, float (&to)[kCount]) const {
    if constexpr (kWide) {
#pragma unroll
      for (int c = 0; c < kCount; c += kQuad) {
        const float4 read = load4(values + channel() + c);
        to[c] = read.x;
        to[c + 1] = read.y;
        to[c + 2] = read.z;
        to[c + 3] = read.w;
      }
    } else {
      to[0] = values[channel()];
    }
  }

  __device__ Vector<T> load(const T* from) const {
    if constexpr (kWide) return load16(from);
    Vector<T> vector = {};
    vector.lane[0] = *from;
    return vector;
  }
};

}  // namespace nascore::cuda
