// A batch norm's backward pass: sums over all pixels in two stages, and what they make of a
// gradient.
#pragma once

#include "norm.cuh"

namespace nascore::cuda {
namespace {

constexpr int kSumsAtOnce = 2;  // pixels of a thread whose loads are in flight

// partials [blocks in x, 2, whole_quads(channels)]: the block's sums of grad, and of grad times raw
// less its mean.
template <class T, bool kWide>
__global__ void __launch_bounds__(kNormThreads, 3)
    norm_sums_kernel(const T* grad, const T* raw, Columns<T, kWide> columns, std::size_t pixels,
                     const float* mean, float* partials) {
  constexpr int kCount = Columns<T, kWide>::kCount, kAtOnce = kSumsAtOnce;
  __shared__ float shared[2 * kCount][kNormThreads];
  const bool holds = columns.holds();
  const int channel = columns.channel(), row = columns.row();
  const auto stride = static_cast<std::size_t>(columns.channels);
  const std::size_t step = std::size_t{gridDim.x} * static_cast<std::size_t>(columns.rows());
  float sums[2 * kCount] = {}, middle[kCount] = {};
  if (holds) columns.load(mean, middle);
#pragma unroll 1
  for (std::size_t first = std::size_t{blockIdx.x} * static_cast<std::size_t>(columns.rows()) +
                           static_cast<std::size_t>(row);
       holds && first < pixels; first += kAtOnce * step) {
    Vector<T> g[kAtOnce], z[kAtOnce];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const std::size_t pixel = first + std::size_t(i) * step;
      if (pixel >= pixels) continue;
      g[i] = columns.load(grad + pixel * stride + channel);
      z[i] = columns.load(raw + pixel * stride + channel);
    }
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      if (first + std::size_t(i) * step >= pixels) continue;
#pragma unroll
      for (int c = 0; c < kCount; ++c) {
        const float slope = to_float(g[i].lane[c]);
        sums[c] += slope;
        sums[kCount + c] = fmaf(slope, to_float(z[i].lane[c]) - middle[c], sums[kCount + c]);
      }
    }
  }
  const int thread = static_cast<int>(threadIdx.x);
#pragma unroll
  for (int i = 0; i < 2 * kCount; ++i) shared[i][thread] = sums[i];
  for (int rows = columns.rows(); rows > 1;) {
    const int half = (rows + 1) / 2;
    __syncthreads();
    if (row + half < rows) {
#pragma unroll
      for (int i = 0; i < 2 * kCount; ++i) {
        sums[i] += shared[i][thread + half * columns.across];
        shared[i][thread] = sums[i];
      }
    }
    rows = half;
  }
  if (row > 0 || !holds) return;
  const std::size_t channels = whole_quads(columns.channels);
  float* const to = partials + std::size_t{blockIdx.x} * 2 * channels + channel;
#pragma unroll
  for (int c = 0; c < kCount; ++c) {
    to[c] = sums[c];
    to[channels + static_cast<std::size_t>(c)] = sums[kCount + c];
  }
}

// slopes [4, whole_quads(channels)], of which `through` makes the gradient before the norm: its
// factors of grad and of raw less its mean, that mean, and what is added.
__global__ void __launch_bounds__(kNormThreads)
    norm_slopes_kernel(const float* partials, unsigned blocks, int channels, float pixels,
                       const float* mean, const float* variance, const float* scale, float epsilon,
                       float* of_scale, float* of_shift, float* slopes) {
  constexpr unsigned kRows = kNormThreads / kNormQuads;
  __shared__ float4 shared[2][kNormThreads];
  const std::size_t width = whole_quads(channels);
  const std::size_t own = (blockIdx.x * kNormQuads + threadIdx.x % kNormQuads) * kQuad;
  const unsigned last = own < width ? blocks : 0;
  float4 sums = {}, products = {};
#pragma unroll 4
  for (unsigned block = threadIdx.x / kNormQuads; block < last; block += kRows) {
    const float* const from = partials + std::size_t{block} * 2 * width + own;
    multiply_add(sums, 1, load4(from));
    multiply_add(products, 1, load4(from + width));
  }
  sums = sum_over<kNormThreads, kNormQuads>(sums, shared[0]);
  products = sum_over<kNormThreads, kNormQuads>(products, shared[1]);
  if (threadIdx.x >= kNormQuads || own >= width) return;
  const int first = static_cast<int>(own);
  const float sum[kQuad] = {sums.x, sums.y, sums.z, sums.w};
  const float product[kQuad] = {products.x, products.y, products.z, products.w};
#pragma unroll
  for (int c = 0; c < kQuad; ++c) {
    float factor = 0, of_raw = 0, middle = 0, added = 0;  // beyond the channels too
    if (first + c < channels) {
      const float inverse = 1 / sqrtf(variance[first + c] + epsilon);
      const float scaled = inverse * product[c];
      of_scale[first + c] = scaled;
      of_shift[first + c] = sum[c];
      factor = scale[first + c] * inverse;
      of_raw = -factor * inverse * scaled / pixels;
      middle = mean[first + c];
      added = -factor * sum[c] / pixels;
    }
    float* const to = slopes + own + c;
    to[0] = factor;
    to[width] = of_raw;
    to[2 * width] = middle;
    to[3 * width] = added;
  }
}

}  // namespace

// Of four channels, by slopes [4, apart] in shared memory from the first of them on.
__device__ inline float4 through(float4 grad, float4 raw, const float* slopes, int apart) {
  float4 value = quad_at(slopes + 3 * apart);
  multiply_add(raw, -1, quad_at(slopes + 2 * apart));
  multiply_add(value, quad_at(slopes + apart), raw);
  multiply_add(value, quad_at(slopes), grad);
  return value;
}

}  // namespace nascore::cuda
