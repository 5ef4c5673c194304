// Separable convolution and the norm of its batch: a block of the first kernel leaves each
// channel's mean over its tile and the squares about that, the second combines them in one order,
// the third normalises.
#include "depthwise.cuh"
#include "norm.cuh"

namespace nascore::cuda {
namespace {

// Of a tile's pixels, those in the image.
__device__ inline int count_of(const Conv& shape, const Tile& tile) {
  return min(kSide, shape.out_height - tile.row) * min(kSide, shape.out_width - tile.column);
}

// The product's means and squares about them, of what was rounded to T, to_mean and to_squares
// [kOuts]; `buffer` is free before and after a barrier.
template <class T, int kOuts>
__device__ void gather(const Product<kOuts>& sums, const Conv& shape, const Tile& tile, int wanted,
                       float4* buffer, float* to_mean, float* to_squares) {
  using Sums = Product<kOuts>;
  static_assert(2 * kTileThreads * kQuad <= Sums::kBuffer);
  const bool inside = tile.column + Sums::column() < shape.out_width;
  float4 value[Sums::kPixels], sum = {}, squares = {};
#pragma unroll
  for (int i = 0; i < Sums::kPixels; ++i) {
    const float4 exact = sums.sum(i);
    value[i] = make_float4(to_float(from_float<T>(exact.x)), to_float(from_float<T>(exact.y)),
                           to_float(from_float<T>(exact.z)), to_float(from_float<T>(exact.w)));
    const bool there = inside && tile.row + Sums::row() + i * Sums::kRows < shape.out_height;
    multiply_add(sum, there ? 1.0f : 0.0f, value[i]);
  }
  const float share = 1.0f / static_cast<float>(count_of(shape, tile));
  float4 mean = {};
  multiply_add(mean, share, sum_over<kTileThreads, Sums::kQuads>(sum, buffer));
#pragma unroll
  for (int i = 0; i < Sums::kPixels; ++i) {
    const bool there = inside && tile.row + Sums::row() + i * Sums::kRows < shape.out_height;
    multiply_add(value[i], -1, mean);
    if (there) multiply_add(squares, value[i], value[i]);
  }
  squares = sum_over<kTileThreads, Sums::kQuads>(squares, buffer + kTileThreads);
  if (threadIdx.x >= Sums::kQuads || Sums::channel() >= wanted) return;
  store4(to_mean + Sums::channel(), mean);
  store4(to_squares + Sums::channel(), squares);
}

// partials [tiles, 2, whole_quads(out_channels)]
template <class T, int kOuts>
__global__ void __launch_bounds__(kTileThreads, 4)
    sep_conv_norm_kernel(const T* x, const float* depthwise, const float* pointwise, Conv shape,
                         Parts parts, T* raw, float* partials) {
  NASCORE_DYNAMIC_SHARED(float4, shared);
  float* const input = reinterpret_cast<float*>(shared);
  float* const taps = input + parts.taps;
  float* const mixed = input + parts.mixed;
  const Tile tile = find_tile(shape);
  for (int first = 0; first < shape.in_channels; first += parts.chunk) {
    mix_chunk(x, depthwise, shape, tile, first, parts.chunk, input, taps, parts.apart,
              mixed + first);
    __syncthreads();
  }
  const std::size_t channels = whole_quads(shape.out_channels);
  float* const means = partials + std::size_t{blockIdx.x} * 2 * channels;
  for (int out = 0; out < shape.out_channels; out += kOuts) {
    Product<kOuts> sums;
    sums.add_tile(mixed, parts.apart, shape.in_channels, pointwise, out, shape, input);
    sums.write(nullptr, shape, tile, out, raw);
    gather<T>(sums, shape, tile, static_cast<int>(channels) - out, shared, means + out,
              means + channels + out);
    __syncthreads();
  }
}

// The batch's mean and biased variance [out_channels].
__global__ void __launch_bounds__(kNormThreads)
    norm_statistics_kernel(const float* partials, Conv shape, unsigned tiles, float* mean,
                           float* variance) {
  constexpr unsigned kRows = kNormThreads / kNormQuads;
  __shared__ float4 shared[2][kNormThreads];
  const std::size_t channels = whole_quads(shape.out_channels);
  const std::size_t own = (blockIdx.x * kNormQuads + threadIdx.x % kNormQuads) * kQuad;
  const unsigned last = own < channels ? tiles : 0;
  const float share = 1.0f / static_cast<float>(pixels_of(shape));
  float4 sum = {};
#pragma unroll 4
  for (unsigned tile = threadIdx.x / kNormQuads; tile < last; tile += kRows) {
    const auto count = static_cast<float>(count_of(shape, find_tile(shape, tile)));
    multiply_add(sum, count, load4(partials + tile * 2 * channels + own));
  }
  float4 all = {};
  multiply_add(all, share, sum_over<kNormThreads, kNormQuads>(sum, shared[0]));
  float4 squares = {};
#pragma unroll 4
  for (unsigned tile = threadIdx.x / kNormQuads; tile < last; tile += kRows) {
    const auto count = static_cast<float>(count_of(shape, find_tile(shape, tile)));
    float4 apart = load4(partials + tile * 2 * channels + own);
    multiply_add(apart, -1, all);
    multiply_add(squares, 1, load4(partials + (tile * 2 + 1) * channels + own));
    multiply_add(squares,
                 make_float4(count * apart.x, count * apart.y, count * apart.z, count * apart.w),
                 apart);
  }
  float4 spread = {};
  multiply_add(spread, share, sum_over<kNormThreads, kNormQuads>(squares, shared[1]));
  if (threadIdx.x >= kNormQuads) return;
  put_quad(all, mean, static_cast<int>(own), shape.out_channels);
  put_quad(spread, variance, static_cast<int>(own), shape.out_channels);
}

// y = scale (raw - mean) / sqrt(variance + epsilon) + shift
template <class T, bool kWide>
__global__ void __launch_bounds__(kNormThreads, 3)
    normalise_kernel(const T* raw, Columns<T, kWide> columns, std::size_t pixels, const float* mean,
                     const float* variance, const float* scale, const float* shift, float epsilon,
                     T* y) {
  constexpr int kCount = Columns<T, kWide>::kCount;
  if (!columns.holds()) return;
  const int channel = columns.channel();
  const auto stride = static_cast<std::size_t>(columns.channels);
  const auto rows = static_cast<std::size_t>(columns.rows());
  const std::size_t first =
      std::size_t{blockIdx.x} * kNormAtOnce * rows + static_cast<std::size_t>(columns.row());
  Vector<T> read[kNormAtOnce];
#pragma unroll
  for (int i = 0; i < kNormAtOnce; ++i) {
    const std::size_t pixel = first + std::size_t(i) * rows;
    if (pixel < pixels) read[i] = columns.load(raw + pixel * stride + channel);
  }
  float middle[kCount], slope[kCount], spread[kCount], offset[kCount];
  columns.load(mean, middle);
  columns.load(variance, spread);
  columns.load(scale, slope);
  columns.load(shift, offset);
#pragma unroll
  for (int c = 0; c < kCount; ++c) slope[c] /= sqrtf(spread[c] + epsilon);
#pragma unroll
  for (int i = 0; i < kNormAtOnce; ++i) {
    const std::size_t pixel = first + std::size_t(i) * rows;
    if (pixel >= pixels) return;
#pragma unroll
    for (int c = 0; c < kCount; ++c) {
      const float value = to_float(read[i].lane[c]) - middle[c];
      read[i].lane[c] = from_float<T>(fmaf(value, slope[c], offset[c]));
    }
    T* const to = y + pixel * stride + channel;
    if constexpr (kWide) {
      store16(to, read[i]);
    } else {
      *to = read[i].lane[0];
    }
  }
}

template <bool kWide, class T>
void normalise(const T* raw, const ConvShape& shape, const Norm& norm, const float* mean,
               const float* variance, T* y, cudaStream_t stream) {
  const Columns<T, kWide> columns(shape.out_channels);
  const std::size_t pixels = pixels_of(shape);
  const std::size_t each = static_cast<std::size_t>(kNormAtOnce * columns.rows());
  const dim3 grid(static_cast<unsigned>(divide_up(pixels, each)), columns.blocks());
  NASCORE_LAUNCH((normalise_kernel<T, kWide>), grid, kNormThreads, 0, stream, raw, columns, pixels,
                 mean, variance, norm.scale, norm.shift, norm.epsilon, y);
}

}  // namespace

std::size_t sep_conv_norm_workspace(const ConvShape& shape) {
  return static_cast<std::size_t>(shape.samples) * tiles_of(shape.out_height) *
         tiles_of(shape.out_width) * 2 * whole_quads(shape.out_channels);
}

template <class T>
cudaError_t sep_conv_norm(const T* x, const float* depthwise, const float* pointwise,
                          const Norm& norm, const ConvShape& shape, T* raw, T* y, float* mean,
                          float* variance, float* workspace, cudaStream_t stream) {
  const ConvLaunch launch = prepare(x, pointwise, shape, raw);
  if (launch.status != cudaSuccess) return launch.status;
  if (const cudaError_t status = check_training(shape, workspace)) return status;
  const Parts parts = parts_of(shape);
  const std::size_t bytes = static_cast<std::size_t>(parts.floats) * sizeof(float);
  const auto kernel =
      outs_of(shape) == 64 ? sep_conv_norm_kernel<T, 64> : sep_conv_norm_kernel<T, 32>;
  const cudaError_t status = allow_shared(kernel, bytes);
  if (status != cudaSuccess) return status;
  NASCORE_LAUNCH(kernel, launch.blocks, kTileThreads, bytes, stream, x, depthwise, pointwise,
                 launch.conv, parts, raw, workspace);
  const auto quads = divide_up(whole_quads(shape.out_channels), kQuad * kNormQuads);
  NASCORE_LAUNCH(norm_statistics_kernel, static_cast<unsigned>(quads), kNormThreads, 0, stream,
                 workspace, launch.conv, launch.blocks, mean, variance);
  bool wide = shape.out_channels % kLanes<T> == 0 && is_aligned(raw) && is_aligned(y);
  for (const float* read : {norm.scale, norm.shift, static_cast<const float*>(mean),
                            static_cast<const float*>(variance)}) {
    wide = wide && is_aligned(read);
  }
  if (wide) {
    normalise<true>(raw, shape, norm, mean, variance, y, stream);
  } else {
    normalise<false>(raw, shape, norm, mean, variance, y, stream);
  }
  return cudaGetLastError();
}

#define NASCORE_INSTANCES(T)                                                            \
  template cudaError_t sep_conv_norm(const T*, const float*, const float*, const Norm&, \
                                     const ConvShape&, T*, T*, float*, float*, float*,  \
                                     cudaStream_t);
NASCORE_INSTANCES(float)
NASCORE_INSTANCES(__half)
NASCORE_INSTANCES(__nv_bfloat16)

}  // namespace nascore::cuda
