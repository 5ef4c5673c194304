// The depthwise convolution of a tile of 8 x 8 outputs, in shared memory.
#pragma once

#include "product.cuh"

namespace nascore::cuda {

constexpr int kRun = 4;  // neighbours in a row, which a thread convolves together
constexpr int kRuns = kSide * kSide / kRun;
constexpr std::size_t kGoodShared = 64 * 1024;  // bytes, so that a processor holds three blocks

// Where the parts of the shared memory are, in floats.
struct Parts {
  int chunk;  // channels of the input at once
  int taps;   // depthwise weights [kernel_h, kernel_w, chunk], behind the input's tile
  int mixed;  // depthwise results [kSide * kSide, apart], behind both or the product's buffer
  int apart;
  int floats;  // in all
};

inline Parts parts_of(const ConvShape& shape) {
  Parts parts;
  const int buffer = outs_of(shape) == 64 ? Product<64>::kBuffer : Product<32>::kBuffer;
  for (parts.chunk = kChunk;; parts.chunk /= 2) {
    const int pixels = reach(shape.kernel_h, shape) * reach(shape.kernel_w, shape);
    parts.taps = pixels * (parts.chunk + kPad);
    const int read = parts.taps + shape.kernel_h * shape.kernel_w * parts.chunk;
    parts.mixed = read > buffer ? read : buffer;
    parts.apart = (shape.in_channels + parts.chunk - 1) / parts.chunk * parts.chunk + kPad;
    parts.floats = parts.mixed + kSide * kSide * parts.apart;
    if (parts.chunk == kLanes<__half> || parts.floats * sizeof(float) <= kGoodShared) return parts;
  }
}

// A run of four outputs of a quad of channels: kernel and stride known, each input is read once
// for each row of the kernel.
template <int kKernel>
__device__ void convolve_dense(const float* pixel, const float* taps, int columns, int chunk,
                               float4 (&sums)[kRun]) {
#pragma unroll 1
  for (int h = 0; h < kKernel; ++h) {
    float4 window[kKernel + kRun - 1];
#pragma unroll
    for (int i = 0; i < kKernel + kRun - 1; ++i) {
      window[i] = quad_at(pixel + (h * columns + i) * (chunk + kPad));
    }
#pragma unroll
    for (int w = 0; w < kKernel; ++w) {
      const float4 tap = quad_at(taps + (h * kKernel + w) * chunk);
#pragma unroll
      for (int i = 0; i < kRun; ++i) multiply_add(sums[i], tap, window[i + w]);
    }
  }
}

__device__ inline void convolve(const float* pixel, const float* taps, const Conv& shape,
                                int columns, int chunk, float4 (&sums)[kRun]) {
#pragma unroll 1
  for (int h = 0; h < shape.kernel_h; ++h) {
#pragma unroll 1
    for (int w = 0; w < shape.kernel_w; ++w) {
      const float4 tap = quad_at(taps + (h * shape.kernel_w + w) * chunk);
      const float* const at = pixel + (h * columns + w) * shape.dilation * (chunk + kPad);
#pragma unroll
      for (int i = 0; i < kRun; ++i) {
        multiply_add(sums[i], tap, quad_at(at + i * shape.stride * (chunk + kPad)));
      }
    }
  }
}

// Of tile [rows, columns, chunk + kPad] and taps [kernel_h, kernel_w, chunk]: calls
// put(row, column, quad, sums) with each run of outputs, and the first of its channels.
template <class Put>
__device__ void mix(const float* tile, const float* taps, const Conv& shape, int columns, int chunk,
                    const Put& put) {
  const int quads = chunk / kQuad;
  const bool dense = shape.stride == 1 && shape.dilation == 1 && shape.kernel_h == shape.kernel_w;
  for (int item = static_cast<int>(threadIdx.x); item < kRuns * quads; item += kTileThreads) {
    const int quad = item % quads * kQuad, run = item / quads;
    const int row = run / (kSide / kRun), column = run % (kSide / kRun) * kRun;
    const float* const pixel =
        tile + (row * columns + column) * shape.stride * (chunk + kPad) + quad;
    float4 sums[kRun] = {};
    if (dense && shape.kernel_h == 3) {
      convolve_dense<3>(pixel, taps + quad, columns, chunk, sums);
    } else if (dense && shape.kernel_h == 5) {
      convolve_dense<5>(pixel, taps + quad, columns, chunk, sums);
    } else if (dense && shape.kernel_h == 7) {
      convolve_dense<7>(pixel, taps + quad, columns, chunk, sums);
    } else {
      convolve(pixel, taps + quad, shape, columns, chunk, sums);
    }
    put(row, column, quad, sums);
  }
}

// `chunk` channels of depthwise [taps, in_channels] from `first` on, 0 beyond; in the opposite
// order where `flipped`.
template <bool kFlipped = false>
__device__ void load_taps(const float* depthwise, const Conv& shape, int first, int chunk,
                          float* to) {
  const int window = shape.kernel_h * shape.kernel_w;
  for (int item = static_cast<int>(threadIdx.x); item < window * chunk; item += kTileThreads) {
    const int channel = first + item % chunk;
    const int tap = kFlipped ? window - 1 - item / chunk : item / chunk;
    to[item] = channel < shape.in_channels ? depthwise[tap * shape.in_channels + channel] : 0.0f;
  }
}

// The depthwise results of `chunk` channels from `first` on, to mixed [kSide * kSide, apart], which
// a barrier must follow; `input` and `taps` are free before.
template <class T>
__device__ void mix_chunk(const T* x, const float* depthwise, const Conv& shape, const Tile& tile,
                          int first, int chunk, float* input, float* taps, int apart,
                          float* mixed) {
  load_tile(x, shape, tile, first, chunk, input);
  load_taps(depthwise, shape, first, chunk, taps);
  __syncthreads();
  mix(input, taps, shape, tile.columns, chunk,
      [&](int row, int column, int quad, const float4(&sums)[kRun]) {
#pragma unroll
        for (int i = 0; i < kRun; ++i) {
          *reinterpret_cast<float4*>(mixed + (row * kSide + column + i) * apart + quad) = sums[i];
        }
      });
}

}  // namespace nascore::cuda
