// The gradients of a separable convolution's weights. Each block goes through its share of the
// tiles and leaves one partial sum; the last kernel adds these in one order.
#pragma once

#include "depthwise.cuh"
#include "norm.cuh"

namespace nascore::cuda {
namespace {

// Where the parts of the shared memory are, in floats.
struct PointwiseParts {
  int chunk;              // channels of the input at once
  int taps, mixed, outs;  // behind the input's tile
  int floats;             // in all
};

inline PointwiseParts pointwise_parts(const ConvShape& shape) {
  PointwiseParts parts;
  for (parts.chunk = kChunk;; parts.chunk /= 2) {
    const int pixels = reach(shape.kernel_h, shape) * reach(shape.kernel_w, shape);
    parts.taps = pixels * (parts.chunk + kPad);
    parts.mixed = parts.taps + shape.kernel_h * shape.kernel_w * parts.chunk;
    parts.outs = parts.mixed + kSide * kSide * (kChunk + kPad);
    parts.floats = parts.outs + kSide * kSide * (outs_of(shape) + kPad);
    if (parts.chunk == kLanes<__half> || parts.floats * sizeof(float) <= kGoodShared) return parts;
  }
}

// How many partial sums a block of pointwise_gradient_kernel leaves: where it takes 32 output
// channels, half of its threads have half of the pixels.
constexpr int kHalves = 64 / 32;
inline unsigned halves_of(const ConvShape& shape) { return outs_of(shape) == 64 ? 1 : kHalves; }

// partials [blocks in x and halves, in_channels, whole_quads(out_channels)]; kChunk input channels
// and kOuts output channels of a block. `given` is of of_raw, the gradient of the pointwise
// results.
template <class T, int kOuts>
__global__ void __launch_bounds__(kTileThreads, 4)
    pointwise_gradient_kernel(const T* x, const float* depthwise, const T* of_raw, Conv shape,
                              Conv given, PointwiseParts parts, unsigned tiles, float* partials) {
  constexpr int kQuads = kOuts / kQuad, kRows = kChunk / kQuad, kParts = 64 / kOuts;
  constexpr int kApart = kChunk + kPad, kPixels = kSide * kSide / kParts;
  NASCORE_DYNAMIC_SHARED(float4, shared);
  float* const input = reinterpret_cast<float*>(shared);
  float* const taps = input + parts.taps;
  float* const mixed = input + parts.mixed;
  float* const outs = input + parts.outs;
  const int thread = static_cast<int>(threadIdx.x);
  const int quad = thread % kQuads * kQuad, row = thread / kQuads % kRows * kQuad;
  const int part = thread / (kQuads * kRows);
  const int first = static_cast<int>(blockIdx.y) * kChunk;
  const int first_out = static_cast<int>(blockIdx.z) * kOuts;

  float4 sums[kQuad] = {};
  for (unsigned index = blockIdx.x; index < tiles; index += gridDim.x) {
    const Tile tile = find_tile(shape, index);
    for (int done = 0; done < kChunk; done += parts.chunk) {
      mix_chunk(x, depthwise, shape, tile, first + done, parts.chunk, input, taps, kApart,
                mixed + done);
      if (done == 0) load_tile(of_raw, given, find_tile(given, index), first_out, kOuts, outs);
      __syncthreads();
    }
#pragma unroll 4
    for (int pixel = part * kPixels; pixel < (part + 1) * kPixels; ++pixel) {
      const float4 left = quad_at(mixed + pixel * kApart + row);
      const float4 right = quad_at(outs + pixel * (kOuts + kPad) + quad);
      multiply_add(sums[0], left.x, right);
      multiply_add(sums[1], left.y, right);
      multiply_add(sums[2], left.z, right);
      multiply_add(sums[3], left.w, right);
    }
  }
  const std::size_t width = whole_quads(shape.out_channels);
  const std::size_t own = static_cast<std::size_t>(first_out + quad);
  const std::size_t slot = std::size_t{blockIdx.x} * kParts + static_cast<std::size_t>(part);
#pragma unroll
  for (int c = 0; c < kQuad; ++c) {
    if (first + row + c >= shape.in_channels || own >= width) return;
    const std::size_t channel = slot * static_cast<std::size_t>(shape.in_channels) +
                                static_cast<std::size_t>(first + row + c);
    store4(partials + channel * width + own, sums[c]);
  }
}

struct DepthwiseParts {
  int chunk;              // channels at once
  int taps, image, sums;  // behind the gradient's tile
  int groups;             // of threads, each with some of the tile's rows
  int floats;             // in all
};

// Threads take a quad of channels and a row of the kernel, or a tap.
__host__ __device__ inline bool is_dense(const ConvShape& shape) {
  const int side = shape.kernel_w;
  return shape.dilation == 1 && (side == 3 || side == 5 || side == 7);
}

// Of the transposed convolution.
inline DepthwiseParts depthwise_parts(const ConvShape& shape) {
  DepthwiseParts parts;
  const int window = shape.kernel_h * shape.kernel_w;
  for (parts.chunk = kChunk;; parts.chunk /= 2) {
    const int pixels = reach(shape.kernel_h, shape) * reach(shape.kernel_w, shape);
    const int items = (is_dense(shape) ? shape.kernel_h : window) * parts.chunk / kQuad;
    parts.groups = min(max(kTileThreads / items, 1), kSide);
    parts.taps = pixels * (parts.chunk + kPad);
    parts.image = parts.taps + window * parts.chunk;
    parts.sums = parts.image + kSide * kSide * (parts.chunk + kPad);
    parts.floats = parts.sums + parts.groups * window * parts.chunk;
    if (parts.chunk == kLanes<__half> || parts.floats * sizeof(float) <= kGoodShared) return parts;
  }
}

// Adds to kKernel sums the products of every groups-th row of the image, from `group` on, and of
// what lies under each tap in the gradient's tile.
template <int kKernel>
__device__ void add_rows(const float* image, const float* tile, int columns, int apart, int chunk,
                         int group, int groups, float* sums) {
  float4 sum[kKernel];
#pragma unroll
  for (int w = 0; w < kKernel; ++w) sum[w] = quad_at(sums + w * chunk);
#pragma unroll 1
  for (int row = group; row < kSide; row += groups) {
#pragma unroll 1
    for (int column = 0; column < kSide; column += kRun) {
      float4 window[kKernel + kRun - 1];
#pragma unroll
      for (int i = 0; i < kKernel + kRun - 1; ++i) {
        window[i] = quad_at(tile + (row * columns + column + i) * apart);
      }
#pragma unroll
      for (int i = 0; i < kRun; ++i) {
        const float4 x = quad_at(image + (row * kSide + column + i) * apart);
#pragma unroll
        for (int w = 0; w < kKernel; ++w) multiply_add(sum[w], x, window[i + w]);
      }
    }
  }
#pragma unroll
  for (int w = 0; w < kKernel; ++w) *reinterpret_cast<float4*>(sums + w * chunk) = sum[w];
}

// Adds a tile to sums [groups, taps, chunk], of which each thread has its own.
__device__ inline void add_tile(const float* image, const float* tile, const Conv& shape,
                                int columns, const DepthwiseParts& parts, float* sums) {
  const int chunk = parts.chunk, quads = chunk / kQuad, apart = chunk + kPad;
  const int window = shape.kernel_h * shape.kernel_w, groups = parts.groups;
  const bool dense = is_dense(shape);
  const int items = (dense ? shape.kernel_h : window) * quads;
  for (int item = static_cast<int>(threadIdx.x); item < items * groups; item += kTileThreads) {
    const int quad = item % quads * kQuad, which = item % items / quads, group = item / items;
    const int h = dense ? which : which / shape.kernel_w, w = dense ? 0 : which % shape.kernel_w;
    float* const own = sums + (group * window + h * shape.kernel_w + w) * chunk + quad;
    const float* const x = image + quad;
    const float* const under = tile + (h * columns + w) * shape.dilation * apart + quad;
    if (dense && shape.kernel_w == 3) {
      add_rows<3>(x, under, columns, apart, chunk, group, groups, own);
    } else if (dense && shape.kernel_w == 5) {
      add_rows<5>(x, under, columns, apart, chunk, group, groups, own);
    } else if (dense) {
      add_rows<7>(x, under, columns, apart, chunk, group, groups, own);
    } else {
      add_rows<1>(x, under, columns, apart, chunk, group, groups, own);
    }
  }
}

// of_x = the transposed convolution of of_mixed, the gradient of the depthwise results, where x was
// positive; partials [blocks in x, taps, whole_quads(channels)]. `image` is of x alone, `shape` of
// the transposed convolution, whose input is of_mixed with `spread` - 1 zeros between its pixels.
template <class T>
__global__ void __launch_bounds__(kTileThreads, 4)
    depthwise_gradient_kernel(const T* x, const float* depthwise, const T* of_mixed, Conv image,
                              Conv shape, int spread, DepthwiseParts parts, unsigned tiles, T* of_x,
                              float* partials) {
  NASCORE_DYNAMIC_SHARED(float4, shared);
  float* const given = reinterpret_cast<float*>(shared);
  float* const taps = given + parts.taps;
  float* const under = given + parts.image;
  float* const sums = given + parts.sums;
  const int chunk = parts.chunk, thread = static_cast<int>(threadIdx.x);
  const int window = shape.kernel_h * shape.kernel_w;
  const int first = static_cast<int>(blockIdx.y) * chunk;
  for (int i = thread; i < parts.groups * window * chunk; i += kTileThreads) sums[i] = 0;
  load_taps<true>(depthwise, shape, first, chunk, taps);

  for (unsigned index = blockIdx.x; index < tiles; index += gridDim.x) {
    const Tile tile = find_tile(shape, index);
    load_tile<T, true>(of_mixed, shape, tile, first, chunk, given, spread);
    load_tile(x, image, find_tile(image, index), first, chunk, under);
    __syncthreads();
    mix(given, taps, shape, tile.columns, chunk,
        [&](int row, int column, int quad, const float4(&values)[kRun]) {
          const int own = first + quad;
          if (tile.row + row >= shape.out_height || own >= shape.out_channels) return;
          const std::size_t pixel = (std::size_t(tile.sample) * std::size_t(shape.out_height) +
                                     std::size_t(tile.row + row)) *
                                        std::size_t(shape.out_width) +
                                    std::size_t(tile.column + column);
          T* to = of_x + pixel * std::size_t(shape.out_stride) + own;
#pragma unroll
          for (int i = 0; i < kRun; ++i, to += shape.out_stride) {
            if (tile.column + column + i >= shape.out_width) return;
            const float4 at = quad_at(under + (row * kSide + column + i) * (chunk + kPad) + quad);
            const bool all = !image.relu;
            const float4 value = make_float4(
                all || at.x > 0 ? values[i].x : 0.0f, all || at.y > 0 ? values[i].y : 0.0f,
                all || at.z > 0 ? values[i].z : 0.0f, all || at.w > 0 ? values[i].w : 0.0f);
            if (shape.quad_output && own + kQuad <= shape.out_channels) {
              store4(to, value);
            } else {
              const float each[kQuad] = {value.x, value.y, value.z, value.w};
#pragma unroll
              for (int c = 0; c < kQuad; ++c) {
                if (own + c < shape.out_channels) to[c] = from_float<T>(each[c]);
              }
            }
          }
        });
    add_tile(under, given, shape, tile.columns, parts, sums);
    __syncthreads();
  }
  const int quads = chunk / kQuad;
  const std::size_t width = whole_quads(shape.in_channels);
  for (int item = thread; item < window * quads; item += kTileThreads) {
    const int tap = item / quads, quad = item % quads * kQuad;
    const std::size_t own = static_cast<std::size_t>(first + quad);
    if (own >= width) continue;
    float4 sum = {};
    for (int group = 0; group < parts.groups; ++group) {
      multiply_add(sum, 1, quad_at(sums + (group * window + tap) * chunk + quad));
    }
    const std::size_t row = std::size_t{blockIdx.x} * static_cast<std::size_t>(window) +
                            static_cast<std::size_t>(window - 1 - tap);
    store4(partials + row * width + own, sum);
  }
}

// Of partials a block sums these rows and quads of columns: whole sectors of what is read, and half
// ones of what is written, which is less by far.
constexpr unsigned kPartialRows = 4, kPartialQuads = 2, kPartialItems = 8;

// partials [count, rows, whole_quads(columns)] -> to [columns, rows], their sum over `count`.
__global__ void __launch_bounds__(kNormThreads)
    sum_partials_kernel(const float* partials, unsigned count, unsigned rows, int columns,
                        float* to) {
  __shared__ float4 shared[kNormThreads];
  const std::size_t width = whole_quads(columns);
  const unsigned item = threadIdx.x % kPartialItems;
  const unsigned across = static_cast<unsigned>(divide_up(width, kQuad * kPartialQuads));
  const std::size_t row = blockIdx.x / across * kPartialRows + item / kPartialQuads;
  const std::size_t first =
      std::size_t{blockIdx.x % across * kPartialQuads + item % kPartialQuads} * kQuad;
  const bool there = row < rows && first < width;
  float4 sum = {};
#pragma unroll 4
  for (unsigned i = threadIdx.x / kPartialItems; i < (there ? count : 0);
       i += kNormThreads / kPartialItems) {
    multiply_add(sum, 1, load4(partials + (std::size_t{i} * rows + row) * width + first));
  }
  sum = sum_over<kNormThreads, kPartialItems>(sum, shared);
  if (threadIdx.x >= kPartialItems || !there) return;
  const float value[kQuad] = {sum.x, sum.y, sum.z, sum.w};
#pragma unroll
  for (int c = 0; c < kQuad; ++c) {
    const std::size_t column = first + static_cast<std::size_t>(c);
    if (column < static_cast<std::size_t>(columns)) to[column * rows + row] = value[c];
  }
}

}  // namespace
}  // namespace nascore::cuda
