// The product of a tile's pixels in shared memory and weights [rows, out_channels], kOuts output
// channels at once, in registers.
#pragma once

#include <cuda_pipeline.h>

#include "tiles.cuh"

namespace nascore::cuda {

// Four channels as floats: 16 bytes, or 8 of the short types.
__device__ inline float4 load4(const float* from) {
  const Vector<float> read = load16(from);
  return make_float4(read.lane[0], read.lane[1], read.lane[2], read.lane[3]);
}
template <class T>
__device__ float4 load4(const T* from) {
  const uint2 bits = *reinterpret_cast<const uint2*>(from);
  T read[kQuad];
  memcpy(read, &bits, sizeof bits);
  return make_float4(to_float(read[0]), to_float(read[1]), to_float(read[2]), to_float(read[3]));
}

__device__ inline void store4(float* to, float4 value) {
  store16(to, Vector<float>{{value.x, value.y, value.z, value.w}});
}
template <class T>
__device__ void store4(T* to, float4 value) {
  const T written[kQuad] = {from_float<T>(value.x), from_float<T>(value.y), from_float<T>(value.z),
                            from_float<T>(value.w)};
  uint2 bits;
  memcpy(&bits, written, sizeof bits);
  __stwb(reinterpret_cast<uint2*>(to), bits);
}

// A thread computes a quad of channels of kPixels pixels of one column of the tile, kRows apart.
template <int kOuts>
class Product {
 public:
  static constexpr int kWeights = kChunk * kOuts;  // floats that a step reads
  static constexpr int kBuffer = 2 * kWeights;     // floats of shared memory
  static constexpr int kQuads = kOuts / kQuad;
  static constexpr int kRows = kTileThreads / kQuads / kSide;
  static constexpr int kPixels = kSide / kRows;

  __device__ static int column() { return static_cast<int>(threadIdx.x) / kQuads % kSide; }
  __device__ static int row() { return static_cast<int>(threadIdx.x) / kQuads / kSide; }

  // While one step is multiplied the next one's weights are on their way to `buffer`. row_of(step)
  // is the first row of weights, rows_of(step) how many there are, pixels_of(step) the thread's
  // first pixel, the others `apart` floats on. The first barrier also ends what was written to
  // shared memory before, and the last one frees it.
  template <class RowOf, class RowsOf, class PixelsOf>
  __device__ void add(int steps, const float* weights, int first, const Conv& shape, float* buffer,
                      int apart, const RowOf& row_of, const RowsOf& rows_of,
                      const PixelsOf& pixels_of) {
    fetch(weights, row_of(0), rows_of(0), first, shape, buffer);
    for (int step = 0; step < steps; ++step) {
      __pipeline_wait_prior(0);
      __syncthreads();
      if (step + 1 < steps) {
        fetch(weights, row_of(step + 1), rows_of(step + 1), first, shape,
              buffer + (step + 1) % 2 * kWeights);
      }
      const int channels = (rows_of(step) + kQuad - 1) / kQuad * kQuad;
      multiply(pixels_of(step), apart, buffer + step % 2 * kWeights + channel(), channels);
    }
    __syncthreads();
  }

  // The same of all `channels` of a tile's pixels, tile [kSide * kSide, apart].
  __device__ void add_tile(const float* tile, int apart, int channels, const float* weights,
                           int first, const Conv& shape, float* buffer) {
    const float* const own = tile + (row() * kSide + column()) * apart;
    add((channels + kChunk - 1) / kChunk, weights, first, shape, buffer, kRows * kSide * apart,
        [](int step) { return static_cast<std::size_t>(step * kChunk); },
        [&](int step) {
          const int left = channels - step * kChunk;
          return left < kChunk ? left : kChunk;
        },
        [&](int step) { return own + step * kChunk; });
  }

  // The sums of the thread's i-th pixel, and which channels they are, from `first` on.
  __device__ float4 sum(int i) const { return sums_[i]; }
  __device__ static int channel() { return static_cast<int>(threadIdx.x) % kQuads * kQuad; }

  // y (+)= bias + the product, perhaps a ReLU of it, from output channel `first` on.
  template <class T>
  __device__ void write(const float* bias, const Conv& shape, const Tile& tile, int first,
                        T* y) const {
    const int height = shape.out_height, width = shape.out_width;
    const int own = first + channel(), at = tile.column + column();
    if (at >= width) return;
    float shift[kQuad];
#pragma unroll
    for (int c = 0; c < kQuad; ++c) {
      shift[c] = bias != nullptr && own + c < shape.out_channels ? bias[own + c] : 0;
    }
    const bool quad = shape.quad_output && own + kQuad <= shape.out_channels;
    const std::size_t pixel =
        (std::size_t(tile.sample) * std::size_t(height) + std::size_t(tile.row + row())) *
            std::size_t(width) +
        std::size_t(at);
    T* to = y + pixel * std::size_t(shape.out_stride) + own;
    const std::size_t apart = std::size_t(kRows * width) * std::size_t(shape.out_stride);
#pragma unroll
    for (int i = 0; i < kPixels; ++i, to += apart) {
      if (tile.row + row() + i * kRows >= height) return;
      float4 value = make_float4(sums_[i].x + shift[0], sums_[i].y + shift[1],
                                 sums_[i].z + shift[2], sums_[i].w + shift[3]);
      if (quad) {
        if (shape.accumulate) multiply_add(value, 1, load4(to));
        store4(to, shape.relu_after ? relu(value) : value);
        continue;
      }
      const float values[kQuad] = {value.x, value.y, value.z, value.w};
#pragma unroll
      for (int c = 0; c < kQuad; ++c) {
        if (own + c >= shape.out_channels) continue;
        const float sum = values[c] + (shape.accumulate ? to_float(to[c]) : 0.0f);
        to[c] = from_float<T>(shape.relu_after ? relu(sum) : sum);
      }
    }
  }

 private:
  // Sends kChunk rows and kOuts columns of weights on their way: from `row` and `first` on, where
  // there are `rows`, and 0 beyond.
  __device__ static void fetch(const float* weights, std::size_t row, int rows, int first,
                               const Conv& shape, float* to) {
#pragma unroll 1
    for (int item = static_cast<int>(threadIdx.x); item < kChunk * kQuads; item += kTileThreads) {
      const int r = item / kQuads, c = first + item % kQuads * kQuad;
      const int channels = r < rows ? shape.out_channels - c : 0;
      const float* const from =
          weights + (row + std::size_t(r)) * std::size_t(shape.out_channels) + c;
      if (shape.quad_weights) {  // all four or none
        const bool there = channels > 0;
        __pipeline_memcpy_async(to + item * kQuad, there ? from : weights, kQuad * sizeof(float),
                                there ? 0 : kQuad * sizeof(float));
        continue;
      }
#pragma unroll
      for (int i = 0; i < kQuad; ++i) {
        const bool there = i < channels;
        __pipeline_memcpy_async(to + item * kQuad + i, there ? from + i : weights, sizeof(float),
                                there ? 0 : sizeof(float));
      }
    }
    __pipeline_commit();
  }

  // `channels` is a multiple of 4.
  __device__ void multiply(const float* pixels, int apart, const float* weights, int channels) {
#pragma unroll 1
    for (int c = 0; c < channels; c += kQuad) {
      float4 weight[kQuad];
#pragma unroll
      for (int i = 0; i < kQuad; ++i) weight[i] = quad_at(weights + (c + i) * kOuts);
#pragma unroll
      for (int i = 0; i < kPixels; ++i) {
        const float4 x = quad_at(pixels + i * apart + c);
        multiply_add(sums_[i], x.x, weight[0]);
        multiply_add(sums_[i], x.y, weight[1]);
        multiply_add(sums_[i], x.z, weight[2]);
        multiply_add(sums_[i], x.w, weight[3]);
      }
    }
  }

  float4 sums_[kPixels] = {};
};

// Output channels at once: 32 where 64 would compute more that nobody wants.
inline int outs_of(const ConvShape& shape) {
  const auto padded = [&](int outs) { return (shape.out_channels + outs - 1) / outs * outs; };
  return padded(32) < padded(64) ? 32 : 64;
}

}  // namespace nascore::cuda
